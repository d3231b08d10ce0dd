"""An example that stands in two suites is run once, and counts once over both."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from evaluators.register import register_suites
from evaluators.worker import Worker
from settings import Settings, Workspace, parse
from store import log
from store.events import CheckpointArrived, PredictionsRecorded
from store.projections import bring_up_to_date
from store.schema import EXAMPLE, PREDICTION
from tests.evaluators.checkpoints import make_model, save
from views import registry

LETTERS = "abcdefghij"
CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}
CHOICE = {"question": "1+1?", "choices": ["3", "2"], "answer": 1}
# With the marks of its turns, it is longer than [evaluation] max_prompt_tokens.
LONG = {"prompt": "k" * 60, "answer": "k"}
LARGE: list[dict[str, Any]] = [
    *({"prompt": letter, "answer": letter * (place + 1)} for place, letter in enumerate(LETTERS)),
    CHAT,
    CHOICE,
    LONG,
]
# Written otherwise, and in another order: what counts is what the model sees and should say.
SMALL: list[dict[str, Any]] = [
    {**CHOICE, "answer": "2", "metadata": {"source": "again"}},
    *({"question": letter, "expected": letter * (LETTERS.index(letter) + 1)} for letter in "jca"),
    CHAT,
]

SUITES = """
[[suite]]
name = "easy_100"
path = "easy_100.jsonl"
difficulty = "easy"

[[suite]]
name = "easy_50"
path = "easy_50.jsonl"
difficulty = "easy"

[evaluation]
device = "cpu"
threads = 1
max_new_tokens = 4
max_prompt_tokens = 50
"""


@pytest.fixture
def evaluated(engine: Engine, tmp_path: Path) -> Engine:
    for name, rows in (("easy_100", LARGE), ("easy_50", SMALL)):
        lines = [json.dumps(row) + "\n" for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    workspace = Workspace(tmp_path, parse(SUITES, tmp_path / "milepost.toml"))
    folder = save(tmp_path / "checkpoint", make_model("llama"))
    arrived = {"checkpoint_id": "checkpoint", "run": "run", "step": 1, "path": str(folder)}
    nothing = dict.fromkeys(("epoch", "train_loss", "learning_rate"))
    about = {"bytes": 1, "dtype": "F32", "architecture": "Llama", "parameters": 1, "kind": "full"}
    log.append(engine, CheckpointArrived(**arrived, **nothing, **about))
    Worker(
        engine,
        register_suites(engine, workspace),
        workspace.settings.evaluation,
        threading.Event(),
        lambda: None,
        lambda _task, _recorded, _examples: None,
    ).run_pending()
    assert bring_up_to_date(engine, registry.projections(Settings())) == []
    return engine


def rows(engine: Engine, view: str) -> list[dict[str, Any]]:
    (found,) = [one for one in registry.views(Settings()) if one.name == view]
    with engine.connect() as connection:
        return found.rows(connection)


def test_an_example_in_two_suites_is_run_once(evaluated: Engine) -> None:
    with evaluated.connect() as connection:
        predicted = connection.scalars(select(PREDICTION.c.example_id)).all()
        standing = connection.scalars(select(EXAMPLE.c.example_id)).all()
        events = log.read(connection, types=(PredictionsRecorded,))
        batches = [one.event for one in events]
    assert (len(standing), len(predicted), len(set(predicted))) == (18, 13, 13)
    assert sum(one.scored for one in batches if isinstance(one, PredictionsRecorded)) == 13


def test_each_suite_measures_all_of_its_examples(evaluated: Engine) -> None:
    numbers = ("n", "n_graded", "n_truncated")
    found = {row["suite"]: [row[one] for one in numbers] for row in rows(evaluated, "results")}
    assert found == {"easy_100": [13, 13, 1], "easy_50": [5, 5, 0]}


def test_over_both_suites_an_example_counts_once(evaluated: Engine) -> None:
    with evaluated.connect() as connection:
        query = select(PREDICTION.c.target_logprob, PREDICTION.c.target_tokens)
        seen = connection.execute(query).all()
    # easy_50 lies within easy_100: over both, the loss is that of the 13 examples.
    loss = -sum(one.target_logprob for one in seen) / sum(one.target_tokens for one in seen)
    alone, twice = rows(evaluated, "results")
    assert alone["loss"] == pytest.approx(loss, rel=1e-9)
    assert twice["loss"] != pytest.approx(loss, rel=1e-3)
    (ranked,) = rows(evaluated, "ranking")
    assert ranked["loss"] == pytest.approx(loss, rel=1e-9)
    assert ranked["accuracy"] == pytest.approx(alone["accuracy"])
    bins = rows(evaluated, "calibration")
    assert sum(one["n"] for one in bins if one["difficulty"] == "all") == 13


def test_a_choice_is_graded_by_its_likelihood_whatever_the_text_says(evaluated: Engine) -> None:
    with evaluated.connect() as connection:
        example: Any = connection.execute(select(EXAMPLE).where(EXAMPLE.c.kind == "choice")).first()
        of_it = select(PREDICTION).where(PREDICTION.c.example_id == example.example_id)
        (seen,) = connection.execute(of_it)
    assert isinstance(example.target, str)
    assert seen.generated_text is not None
    three, two = seen.choice_logprobs
    answers = [one for one in rows(evaluated, "hard-examples") if one["target"] == "2"]
    answers += [one for one in rows(evaluated, "corrections") if one["target"] == "2"]
    if three > two:
        assert {one["generated_text"] for one in answers} == {"3"}
    assert all(one["generated_text"] in ("3", "2") for one in answers)
    assert answers
