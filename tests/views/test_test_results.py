"""Suites as tests, from logs to rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from settings import Settings, SuiteSettings
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from tests import logs
from tests.logs import Seen
from views import test_results
from views.results import RESULTS


def with_threshold(threshold: float | None) -> Settings:
    suite = SuiteSettings(name="easy", path=Path("easy.jsonl"), pass_threshold=threshold)
    return Settings(suite=(suite,))


def shown(engine: Engine, threshold: float | None = 0.75) -> list[dict[str, Any]]:
    view = test_results.view(with_threshold(threshold))
    assert bring_up_to_date(engine, [LIFECYCLE, RESULTS, *view.projections]) == []
    with engine.connect() as connection:
        return view.rows(connection)


@pytest.fixture
def checkpoint(engine: Engine) -> str:
    """A checkpoint with 3 of 4 right, over two difficulties."""
    examples = [
        logs.example("easy", f"question {k}", "yes", k, "easy" if k < 4 else "hard")
        for k in range(1, 5)
    ]
    logs.register_suite(engine, examples, suite_id="easy")
    pool = logs.questions("pool", 2)
    logs.register_suite(engine, pool, suite_id="pool", role="mining")
    checkpoint = logs.arrive(engine, 100)
    seen = [(one, Seen("yes" if one.line < 4 else "no")) for one in examples]
    seen += [(one, Seen(one.target)) for one in pool]
    logs.evaluate(engine, checkpoint, ["easy", "pool"], seen)
    return checkpoint


@pytest.mark.parametrize(
    ("threshold", "status", "passed", "reason"),
    [
        (0.75, "PASS", True, "75 % right, and at least 75 % must be."),
        (0.76, "FAIL", False, "75 % right, and at least 76 % must be."),
        (None, "UNTESTED", None, "no pass_threshold in milepost.toml."),
    ],
)
def test_the_whole_suite_is_held_against_its_threshold(
    engine: Engine,
    checkpoint: str,
    threshold: float | None,
    status: str,
    passed: bool | None,
    reason: str,
) -> None:
    (row,) = shown(engine, threshold)
    assert (row["checkpoint_id"], row["suite"], row["n"]) == (checkpoint, "easy", 4)
    assert (row["accuracy"], row["threshold"]) == (0.75, threshold)
    assert (row["status"], row["passed"]) == (status, passed)
    assert reason in row["reason"]


def test_a_failed_evaluation_is_neither_pass_nor_fail(engine: Engine, checkpoint: str) -> None:
    broken = logs.arrive(engine, 200)
    logs.fail(
        engine,
        logs.start(engine, broken, ["easy"], examples=4),
        broken,
        ["easy"],
        error="ModelLoadFault",
        message="no weights",
    )
    rows = shown(engine)
    assert [row["checkpoint_id"] for row in rows] == [checkpoint, broken]
    assert rows[1]["status"] == "FAILED"
    assert (rows[1]["passed"], rows[1]["accuracy"], rows[1]["n"]) == (None, None, 0)
    assert rows[1]["reason"] == "ModelLoadFault: no weights"


def test_what_could_not_be_scored_is_told(engine: Engine) -> None:
    examples = logs.questions("easy", 2)
    logs.register_suite(engine, examples, suite_id="easy")
    seen = [(examples[0], Seen("answer 0")), (examples[1], Seen("", error="too long"))]
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], seen)
    (row,) = shown(engine)
    assert (row["status"], row["n"], row["n_failed"]) == ("PASS", 1, 1)
    assert row["reason"].endswith("1 examples could not be scored and are left out.")


@pytest.mark.usefixtures("checkpoint")
def test_a_new_threshold_judges_anew(engine: Engine) -> None:
    assert shown(engine, 0.5)[0]["status"] == "PASS"
    assert shown(engine, 0.9)[0]["status"] == "FAIL"
