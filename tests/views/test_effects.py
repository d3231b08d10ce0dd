"""What was exported is held against what was not: counted by hand, and the view from logs."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from sqlalchemy import Engine

from settings import Settings
from store import log
from store.events import ExamplesExported
from store.projections import bring_up_to_date, replay
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import projections_of, shown, stored
from tests.views.rows import Row, table
from views import effects as module
from views.blocks import bytes_of
from views.effects import Effect, effect, effects

VIEW = module.view(Settings())


def answer(name: str, right: bool | None, pattern: str = "sum", role: str = "mining") -> Row:
    """An answer whose mistake, should it be one, is of this skill."""
    mistake = "wrong_answer" if right is False else None
    return Row(example_id=name, correct=right, error_class=mistake, skill=pattern, role=role)


def counted(one: Effect) -> tuple[str, int, int, int, int]:
    return one.measured, one.solved_exported, one.n_exported, one.solved_other, one.n_other


def test_three_things_are_counted() -> None:
    before = table(
        [
            answer("a", False),
            answer("b", False),
            answer("c", False),
            answer("d", True),
            *(answer(f"v{k}", False, role="validation") for k in range(3)),
            *(answer(f"w{k}", False, "sort", role="validation") for k in range(2)),
            answer("x", False),
            answer("gone", False),
        ]
    )
    after = table(
        [
            answer("a", True),
            answer("b", False),
            answer("c", True),
            answer("d", False),
            answer("v0", True, role="validation"),
            answer("v1", True, role="validation"),
            answer("v2", False, role="validation"),
            answer("w0", True, "sort", role="validation"),
            answer("w1", False, "sort", role="validation"),
            answer("x", True),
            answer("gone", None),
        ]
    )
    # x was exported at another time: it is neither.
    found = effects(before, after, bytes_of(["a", "b", "d"]), bytes_of(["a", "b", "d", "x"]))
    assert [counted(one) for one in found] == [
        ("examples", 1, 2, 4, 6),
        ("answers", 2, 3, 1, 2),
        # More than half of the answers of sum, and just half of those of sort.
        ("patterns", 1, 1, 0, 1),
    ]
    assert found[1].difference == 2 / 3 - 1 / 2


@pytest.mark.parametrize(
    ("solved", "n", "other", "of", "verdict"),
    [
        (9, 10, 1, 10, "helped"),
        (1, 10, 9, 10, "worse"),
        (6, 10, 4, 10, "no difference shown"),
        (9, 9, 0, 90, "too few to tell"),
        (90, 90, 0, 9, "too few to tell"),
        (0, 0, 5, 10, "too few to tell"),
        (5, 10, 0, 0, "too few to tell"),
    ],
)
def test_the_verdict(solved: int, n: int, other: int, of: int, verdict: str) -> None:
    found = effect("examples", np.arange(n) < solved, np.arange(of) < other)
    assert found.verdict == verdict
    assert (found.reason is not None) == (verdict == "too few to tell")
    assert (found.p is None) == (found.difference is None) == (n * of == 0)


def test_of_nothing_there_is_no_number() -> None:
    none = table([])
    for one in effects(none, none, bytes_of([]), bytes_of([])):
        assert (one.n_exported, one.difference, one.p) == (0, None, None)
        assert one.reason == "There is nothing that was exported to look at."


def export(
    engine: Engine,
    checkpoint_id: str,
    evaluation_id: str,
    examples: list[Example],
    step: int = 100,
    kind: Literal["hard-examples", "corrections"] = "corrections",
) -> None:
    log.append(
        engine,
        ExamplesExported(
            kind=kind,
            file=f"/exports/{kind}-{step}.jsonl",
            digest="0" * 64,
            run="run",
            checkpoint_id=checkpoint_id,
            step=step,
            evaluation_id=evaluation_id,
            filter={},
            examples=tuple(one.example_id for one in examples),
            left_out={},
            at=f"at {step}",
        ),
    )


POOL, HELD_OUT = logs.questions("pool", 24, "easy"), logs.questions("held-out", 12, "easy")


def checkpoint(engine: Engine, step: int, right: set[str]) -> tuple[str, str]:
    """A checkpoint that has these prompts right."""
    checkpoint_id = logs.arrive(engine, step)
    seen = [
        (one, Seen(one.target if one.messages[0]["content"] in right else "no"))
        for one in (*POOL, *HELD_OUT)
    ]
    return checkpoint_id, logs.evaluate(engine, checkpoint_id, ["pool", "held-out"], seen)


def story(engine: Engine) -> Any:
    """Twelve of the pool are exported at step 100, and right at 200; each yield is a moment."""
    logs.register_suite(engine, POOL, suite_id="pool", role="mining")
    logs.register_suite(engine, HELD_OUT, suite_id="held-out")
    first = checkpoint(engine, 100, set())
    yield
    checkpoint(engine, 150, {"pool question 20"})
    yield
    export(engine, *first, POOL[:12])
    yield
    second = checkpoint(engine, 200, {f"pool question {k}" for k in range(12)})
    yield
    export(engine, *second, POOL[12:14], step=200, kind="hard-examples")
    yield
    checkpoint(engine, 300, {f"held-out question {k}" for k in range(12)})
    yield


def test_the_view_looks_at_later_checkpoints_alone(engine: Engine) -> None:
    for _ in story(engine):
        pass
    rows = shown(engine, VIEW)
    # Step 150 was there before anything was exported.
    assert [(row["step"], row["exported_step"], row["measured"]) for row in rows] == [
        (step, exported, measured)
        for step, exported in ((200, 100), (300, 100), (300, 200))
        for measured in ("answers", "examples", "patterns")
    ]
    examples = [row for row in rows if row["measured"] == "examples"]
    # Without the two that were exported at step 200, 10 of the pool and 12 held out are others.
    assert [
        (row["solved_exported"], row["n_exported"], row["solved_other"], row["n_other"])
        for row in examples
    ] == [(12, 12, 0, 22), (0, 12, 12, 22), (0, 2, 12, 22)]
    assert [row["verdict"] for row in examples] == ["helped", "worse", "too few to tell"]


def test_replay_ends_in_what_was_derived_step_by_step(engine: Engine) -> None:
    projections = projections_of(VIEW)
    for _ in story(engine):
        assert bring_up_to_date(engine, projections) == []
    derived = stored(engine, projections)
    assert len(derived["effect"]) == 9
    assert replay(engine, projections) == []
    assert stored(engine, projections) == derived
