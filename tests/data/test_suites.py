"""The committed suites: what the generator makes, byte for byte, and apart from all training."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data.lessons import lessons
from data.puzzles import FOLDER, split_of, suites, write_suites
from tests.data.test_puzzles import is_right

VALIDATION = ("easy_50", "medium_50", "hard_50")
NAMES = (*VALIDATION, "mining_200")


def rows(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def prompts(name: str) -> set[str]:
    return {row["messages"][0]["content"] for row in rows(name)}


def test_the_committed_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    written = write_suites(tmp_path)
    assert sorted(path.name for path in written) == sorted(p.name for p in FOLDER.glob("*.jsonl"))
    for path in written:
        assert path.read_bytes() == (FOLDER / path.name).read_bytes()


def test_suites_come_in_the_order_of_their_difficulty() -> None:
    assert tuple(name for name, _ in suites()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_a_question_with_its_right_answer(name: str) -> None:
    for row in rows(name):
        asked, answered = row["messages"]
        assert (asked["role"], answered["role"]) == ("user", "assistant")
        assert is_right(asked["content"], answered["content"])


@pytest.mark.parametrize("name", VALIDATION)
def test_a_validation_suite_has_50_rows_of_one_difficulty(name: str) -> None:
    found = rows(name)
    assert len(found) == len(prompts(name)) == 50
    assert {row["metadata"]["difficulty"] for row in found} == {name.removesuffix("_50")}
    assert len({row["metadata"]["skill"] for row in found}) >= 5


def test_the_mining_pool_has_200_rows_of_every_difficulty() -> None:
    found = rows("mining_200")
    assert len(found) == len(prompts("mining_200")) == 200
    counted = Counter(row["metadata"]["difficulty"] for row in found)
    assert set(counted) == {"easy", "medium", "hard"}
    assert min(counted.values()) >= 50


def test_row_ids_are_unique_over_all_suites() -> None:
    ids = [row["metadata"]["id"] for name in NAMES for row in rows(name)]
    assert len(set(ids)) == len(ids) == 350


def test_no_prompt_stands_in_two_suites() -> None:
    assert len(set.union(*(prompts(name) for name in NAMES))) == 350


@pytest.mark.parametrize("seed", [1, 2, 3, 977])
def test_training_never_asks_what_a_suite_asks(seed: int) -> None:
    trained = {puzzle.prompt for puzzle in lessons(seed, batches=200, size=32)}
    assert len(trained) > 5000
    for name in NAMES:
        assert trained.isdisjoint(prompts(name))
    assert {split_of(prompt) for prompt in trained} == {"training"}


def test_the_puzzles_need_no_torch() -> None:
    code = "import sys, data.puzzles, data.lessons; print('torch' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=FOLDER.parent
    )
    assert ran.stdout == "False\n"
