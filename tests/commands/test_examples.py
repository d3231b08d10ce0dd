"""Data to train on comes from the mining pool alone, once, whole, and the log knows of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from sqlalchemy import Engine

from commands import examples
from commands.export import HardType
from data.workspace import make
from errors import ConcurrencyError, UsageError
from settings import Settings, Workspace
from store import log
from store.engine import connect, reading
from store.events import ExamplesExported
from store.records import Example
from tests import logs
from tests.logs import Seen
from views.hard_examples import TYPES
from views.mining import HARD_TYPES

STRANGE = "<b>5</b>\n\x1b[31m \u2028 ‮ é 🙂"
TARGET = "7"


class Case(NamedTuple):
    workspace: Workspace
    engine: Engine
    folder: Path

    def export(self, kind: examples.Kind, **options: Any) -> list[Path]:
        return examples.export(self.workspace, kind, str(self.folder), **options)

    def exported(self) -> list[ExamplesExported]:
        with reading(self.engine) as connection:
            events = [one.event for one in log.read(connection, types=[ExamplesExported])]
        return [one for one in events if isinstance(one, ExamplesExported)]


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    workspace = make(tmp_path / "workspace")
    engine = connect(workspace.database_url)
    yield Case(workspace, engine, tmp_path / "exports")
    engine.dispose()


def mined(
    prompts: list[str], skill: str | None = None, suite: str = "pool", target: str = TARGET
) -> list[Example]:
    return [
        logs.example(suite, prompt, target, line, "easy", skill)
        for line, prompt in enumerate(prompts, start=1)
    ]


def evaluate(
    case: Case,
    step: int,
    pool: list[Example],
    *,
    validation: list[Example] | None = None,
    texts: dict[str, Seen] | None = None,
    first: bool = True,
    grader: str = "exact",
) -> str:
    """A checkpoint that says 5, or what `texts` has by prompt. Returns its checkpoint id."""
    if first and pool:
        logs.register_suite(case.engine, pool, suite_id="pool", role="mining", grader=grader)
    if first and validation:
        logs.register_suite(case.engine, validation, suite_id="held-out")
    checkpoint_id = logs.arrive(case.engine, step)
    known = texts or {}
    asked = {one.example_id: one for one in (*pool, *(validation or ()))}.values()
    said = [(one, known.get(one.messages[0]["content"], Seen("5"))) for one in asked]
    suites = [*(["pool"] if pool else []), *(["held-out"] if validation else [])]
    logs.evaluate(case.engine, checkpoint_id, suites, said)
    return checkpoint_id


def rows(file: Path) -> list[dict[str, Any]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    lines = file.read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_hard_examples_have_just_these_keys(case: Case) -> None:
    pool = mined(["3 + 4", "1 + 6", "2 + 5"])
    evaluate(case, 100, pool, texts={"3 + 4": Seen(STRANGE, -0.1), "1 + 6": Seen("7", -2.0)})
    (file,) = case.export("hard-examples")
    assert file == case.folder / "hard-examples-run-step-100.jsonl"
    by_prompt = {row["prompt"]: row for row in rows(file)}
    assert {prompt: row["type"] for prompt, row in by_prompt.items()} == {
        "3 + 4": "confidently_wrong",
        "1 + 6": "low_confidence",
        "2 + 5": "confidently_wrong",
    }
    row = by_prompt["3 + 4"]
    assert list(row) == [
        "text", "prompt", "prediction", "expected", "confidence", "type", "checkpoint_step",
        "timestamp", "example_id",
    ]  # fmt: skip
    assert (row["text"], row["prediction"], row["expected"]) == ("3 + 4\n7", STRANGE, "7")
    assert row["confidence"] == pytest.approx(2.718281828 ** (-0.1))
    assert (row["checkpoint_step"], row["example_id"]) == (100, pool[0].example_id)
    assert "\u2028" not in file.read_text(encoding="utf-8")


def test_corrections_have_just_these_keys(case: Case) -> None:
    evaluate(case, 100, mined(["3 + 4", "1 + 6"]), texts={"1 + 6": Seen("7")})
    (file,) = case.export("corrections")
    (event,) = case.exported()
    assert rows(file) == [
        {
            "input": "3 + 4",
            "output": "7",
            "metadata": {
                "source": "pool",
                "error_type": "wrong_answer",
                "original_wrong_answer": "5",
                "correct_answer": "7",
                "checkpoint_step": 100,
                "generated_at": event.at,
            },
        }
    ]


def test_the_log_knows_the_file(case: Case) -> None:
    pool = mined(["3 + 4", "1 + 6"], "sum")
    checkpoint_id = evaluate(case, 100, pool)
    (file,) = case.export("hard-examples", only={"skill": ["sum"], "type": []})
    (event,) = case.exported()
    assert event.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (event.kind, event.file, event.filter) == (
        "hard-examples",
        str(file),
        {"skill": ("sum",)},
    )
    assert (event.run, event.step, event.checkpoint_id) == ("run", 100, checkpoint_id)
    assert sorted(event.examples) == sorted(one.example_id for one in pool)


def test_validation_is_never_exported(case: Case) -> None:
    shared = logs.example("held-out", "3 + 4", TARGET)
    near = logs.example("held-out", "What is, by any chance, the sum of one and of six", TARGET)
    pool = mined(["3 + 4", "What is, by any chance, the sum of one and of six?", "2 + 5"])
    evaluate(case, 100, pool, validation=[shared, near])
    for kind in get_args(examples.Kind):
        (file,) = case.export(kind)
        assert [row.get("prompt", row.get("input")) for row in rows(file)] == ["2 + 5"]
        beside = rows(file.with_suffix(".left-out.jsonl"))
        assert beside == [
            {
                "example_id": pool[1].example_id,
                "reason": "nearly the same as a validation example",
                "like": near.example_id,
                "jaccard": 1.0,
            }
        ]
        with pytest.raises(UsageError, match=r"'held-out' has the role validation, and is never"):
            case.export(kind, only={"suite": ["held-out"]})


def test_a_validation_suite_that_was_not_asked_here_is_spared_too(case: Case) -> None:
    logs.register_suite(case.engine, [logs.example("exam", "3 + 4", TARGET)], suite_id="exam")
    evaluate(case, 100, mined(["3 + 4", "2 + 5"]))
    (file,) = case.export("hard-examples")
    assert [row["prompt"] for row in rows(file)] == ["2 + 5"]
    assert case.exported()[0].left_out == {"it is in a validation suite": 1}


def test_without_a_mining_suite_nothing_is_exported(case: Case) -> None:
    evaluate(case, 100, [], validation=[logs.example("held-out", "3 + 4", TARGET)])
    with pytest.raises(UsageError, match="would spoil every later number"):
        case.export("corrections")
    assert not case.folder.exists()
    assert case.exported() == []


def test_a_correction_is_given_out_once(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    pool = mined(["3 + 4", "1 + 6", "4 + 3"])
    evaluate(case, 100, pool, texts={"4 + 3": Seen("7")})
    (first,) = case.export("corrections")
    assert case.export("corrections") == []
    assert "nothing to export of corrections at step 100 of run: 2 exported before" in (
        capsys.readouterr().err
    )
    evaluate(case, 200, pool, first=False)
    (second,) = case.export("corrections")
    assert [row["input"] for row in rows(second)] == ["4 + 3"]
    assert len(rows(first)) == 2
    # Hard examples are a list of what is hard now, whatever was given out.
    assert len(rows(case.export("hard-examples")[0])) == 3


def test_two_that_are_nearly_the_same_are_corrected_once(case: Case) -> None:
    evaluate(
        case, 100, mined(["How many legs does a spider have?", "how many legs does a spider have"])
    )
    (file,) = case.export("corrections")
    assert len(rows(file)) == 1
    assert case.exported()[0].left_out == {"nearly the same as another one in this file": 1}


def test_a_pattern_is_no_answer_to_learn(case: Case) -> None:
    evaluate(case, 100, mined(["3 + 4"]), grader="regex")
    assert case.export("corrections") == []


def test_no_file_is_replaced_but_by_force(case: Case) -> None:
    pool = mined(["3 + 4"])
    evaluate(case, 100, pool)
    (first,) = case.export("hard-examples")
    (second,) = case.export("hard-examples")
    assert (first.name, second.name) == (
        "hard-examples-run-step-100.jsonl",
        "hard-examples-run-step-100-2.jsonl",
    )
    (correction,) = case.export("corrections")
    before = rows(correction)
    # What the replaced file held counts as not given out.
    assert case.export("corrections", force=True) == [correction]
    assert [row["input"] for row in rows(correction)] == [row["input"] for row in before]


def test_what_is_asked_for_is_what_comes(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    pool = [*mined(["3 + 4"], "sum"), *mined(["abc"], "sort")]
    evaluate(case, 100, pool, texts={"abc": Seen("", -0.2)})
    (file,) = case.export("corrections", only={"skill": ["sort"]})
    assert [row["input"] for row in rows(file)] == ["abc"]
    assert case.export("corrections", only={"error_class": ["cut_off"]}) == []
    assert "There are: error_class: empty, wrong_answer" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"there is no suite 'no'\. There are: pool"):
        case.export("corrections", only={"suite": ["no"]})


def test_of_two_exports_at_once_one_gives_way(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(case, 100, mined(["3 + 4"]))
    write = examples._write

    def slowly(folder: Path, file: Any, *, force: bool) -> Path:
        monkeypatch.setattr(examples, "_write", write)
        case.export("corrections")
        return write(folder, file, force=force)

    monkeypatch.setattr(examples, "_write", slowly)
    with pytest.raises(ConcurrencyError):
        case.export("corrections")
    assert [file.name for file in case.folder.iterdir()] == ["corrections-run-step-100.jsonl"]
    assert len(case.exported()) == 1


def test_each_run_has_a_file_of_its_own(case: Case) -> None:
    pool = mined(["3 + 4"])
    evaluate(case, 100, pool)
    other = logs.arrive(case.engine, 40, run="other/run")
    logs.evaluate(case.engine, other, ["pool"], [(pool[0], Seen("5"))])
    names = [file.name for file in case.export("hard-examples")]
    assert names == ["hard-examples-other_run-step-40.jsonl", "hard-examples-run-step-100.jsonl"]
    (only,) = case.export("hard-examples", run="run")
    assert only.name == "hard-examples-run-step-100-2.jsonl"


def test_an_older_checkpoint_can_be_corrected(case: Case) -> None:
    pool = mined(["3 + 4"])
    evaluate(case, 100, pool)
    evaluate(case, 200, pool, first=False, texts={"3 + 4": Seen("7")})
    assert case.export("corrections") == []
    (file,) = case.export("corrections", checkpoint="100")
    assert rows(file)[0]["metadata"]["checkpoint_step"] == 100
    with pytest.raises(UsageError, match="newest checkpoint"):
        case.export("hard-examples", checkpoint="100")


def test_the_command_line_knows_every_type_of_hard_example() -> None:
    assert {one.value for one in HardType} == set(HARD_TYPES) == {*TYPES} - {"not_scored"}
    assert [one.value for one in HardType] == list(HARD_TYPES)
    assert Settings().export.exported_before == ("corrections",)
