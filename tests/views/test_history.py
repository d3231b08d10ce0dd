"""Histories of examples: written by hand, and folded from logs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from settings import Settings
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from store.records import Example, example_id_of
from tests import logs
from tests.logs import Seen
from tests.views.rows import Row, table
from views import results
from views.blocks import bytes_of
from views.history import HISTORY, UNSEEN, Histories, histories_of, steps_of

PROJECTIONS = [LIFECYCLE, *results.view(Settings()).projections, HISTORY]


class History(NamedTuple):
    """One example's; None for a step that has not come, and for what was never graded."""

    times_seen: int = 0
    times_right: int = 0
    flips: int = 0
    first_right_step: int | None = None
    last_right_step: int | None = None
    was_right: bool | None = None


def lived(outcomes: str) -> Histories:
    """The history of an example: R for right and W for wrong, at steps 100, 200 and so on."""
    histories = Histories.unseen(bytes_of(["example"]))
    for index, outcome in enumerate(outcomes, start=1):
        histories = histories.then(100 * index, table([Row(correct=outcome == "R")]))
    return histories


def told(histories: Histories) -> list[History]:
    first, last = steps_of(histories.first_right_step), steps_of(histories.last_right_step)
    return [
        History(
            int(histories.times_seen[row]),
            int(histories.times_right[row]),
            int(histories.flips[row]),
            first[row],
            last[row],
            None if histories.was_right[row] == UNSEEN else bool(histories.was_right[row]),
        )
        for row in range(len(histories.example_id))
    ]


def history(outcomes: str) -> History:
    (one,) = told(lived(outcomes))
    return one


def test_a_history_counts_what_happened() -> None:
    assert history("") == History(0, 0, 0, None, None, None)
    assert history("W") == History(1, 0, 0, None, None, False)
    assert history("WWRRW") == History(5, 2, 2, 300, 400, False)
    assert history("RWRWR") == History(5, 3, 4, 100, 500, True)


outcomes_of_many = st.lists(
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([True, False, None])), max_size=8
)


@given(outcomes_of_many)
def test_many_histories_are_those_of_each_example_alone(
    steps: list[dict[str, bool | None]],
) -> None:
    together = Histories.unseen(bytes_of([]))
    for number, outcomes in enumerate(steps):
        rows = [Row(name, correct) for name, correct in outcomes.items()]
        together = together.then(number, table(rows))
    for name in "abcdefgh":
        right = [(n, one[name]) for n, one in enumerate(steps) if one.get(name) is not None]
        sides = [correct for _, correct in right]
        rights = [n for n, correct in right if correct]
        assert told(together.of(bytes_of([name]))) == [
            History(
                times_seen=len(sides),
                times_right=sum(map(bool, sides)),
                flips=sum(one != other for one, other in pairwise(sides)),
                first_right_step=min(rights, default=None),
                last_right_step=max(rights, default=None),
                was_right=sides[-1] if sides else None,
            )
        ]


def evaluate(engine: Engine, step: int, examples: Sequence[Example], outcomes: str) -> str:
    """A checkpoint's outcomes, an example a letter: R, W, or E for an error."""
    checkpoint = logs.arrive(engine, step)
    words = {"R": Seen("answer"), "W": Seen("no"), "E": Seen("", error="too long")}
    seen = [(one, words[outcome]) for one, outcome in zip(examples, outcomes, strict=True)]
    logs.evaluate(engine, checkpoint, ["suite"], seen)
    return checkpoint


def register(engine: Engine, n: int) -> list[Example]:
    examples = [logs.example("suite", f"question {k}", "answer", k + 1) for k in range(n)]
    logs.register_suite(engine, examples, suite_id="suite")
    return examples


def derived(engine: Engine, examples: Sequence[Example]) -> list[History]:
    assert bring_up_to_date(engine, PROJECTIONS) == []
    with engine.connect() as connection:
        histories = histories_of(connection, "run")
    return told(histories.of(bytes_of([one.example_id for one in examples])))


def test_what_was_not_scored_is_not_part_of_a_history(engine: Engine) -> None:
    examples = register(engine, 3)
    evaluate(engine, 100, examples, "RWE")
    evaluate(engine, 200, examples, "EWE")
    evaluate(engine, 300, examples, "WRE")
    assert derived(engine, examples) == [
        History(2, 1, 1, 100, 100, False),
        History(3, 1, 1, 300, 300, True),
        History(),
    ]


def test_a_late_checkpoint_takes_its_place_by_step(engine: Engine) -> None:
    examples = register(engine, 1)
    evaluate(engine, 100, examples, "R")
    evaluate(engine, 300, examples, "R")
    assert derived(engine, examples) == [history("RR")._replace(last_right_step=300)]
    evaluate(engine, 200, examples, "W")
    assert derived(engine, examples) == [history("RWR")]


def test_a_second_evaluation_of_a_checkpoint_replaces_the_first(engine: Engine) -> None:
    examples = register(engine, 1)
    first = evaluate(engine, 100, examples, "W")
    evaluate(engine, 200, examples, "R")
    assert derived(engine, examples) == [history("WR")]
    logs.evaluate(engine, first, ["suite"], [(examples[0], Seen("answer"))], settings={"k": 1})
    assert derived(engine, examples) == [history("RR")]


def test_another_grader_rewrites_history(engine: Engine) -> None:
    examples = register(engine, 1)
    checkpoint = logs.arrive(engine, 100)
    logs.evaluate(engine, checkpoint, ["suite"], [(examples[0], Seen("the answer, I think"))])
    assert derived(engine, examples) == [history("W")]
    logs.register_suite(engine, examples, suite_id="suite", grader="contains", revision=2)
    assert derived(engine, examples) == [history("R")]


def test_a_new_checkpoint_reads_only_its_own_answers(engine: Engine) -> None:
    examples = register(engine, 1)
    for step in (100, 200, 300):
        evaluate(engine, step, examples, "W")
    derived(engine, examples)
    evaluate(engine, 400, examples, "R")
    bring_up_to_date(engine, PROJECTIONS[:-1])
    read: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_c: object, _k: object, statement: str, *_: object) -> None:
        if "FROM answer_block" in statement:
            read.append(statement)

    assert derived(engine, examples) == [history("WWWR")]
    assert len(read) == 1


def measured(*logprobs: float | None, tokens: int = 2) -> Histories:
    """The history of an example whose target had these log-probabilities, at steps 1, 2 …"""
    histories = Histories.unseen(bytes_of(["example"]))
    for step, logprob in enumerate(logprobs, start=1):
        row = Row() if logprob is None else Row(nll=-logprob, tokens=tokens)
        histories = histories.then(step, table([row]))
    return histories


@given(st.lists(st.none() | st.floats(-20.0, 0.0), min_size=1, max_size=12))
def test_mean_and_spread_are_those_of_the_probabilities(logprobs: list[float | None]) -> None:
    histories = measured(*logprobs)
    there = [math.exp(one / 2) for one in logprobs if one is not None]
    if not there:
        assert np.isnan([*histories.probability, *histories.spread]).all()
        return
    assert histories.times_measured.tolist() == [len(there)]
    assert histories.probability[0] == pytest.approx(statistics.fmean(there))
    if len(there) == 1:
        assert np.isnan(histories.spread).all()
    else:
        assert histories.spread[0] == pytest.approx(statistics.pstdev(there), abs=1e-9)


def test_a_text_without_grade_is_measured(engine: Engine) -> None:
    text = Example("suite", example_id_of("text", (), "some text"), 1, "text", (), "some text")
    logs.register_suite(engine, [text], suite_id="suite")
    for step, logprob in ((100, -1.0), (200, -3.0)):
        seen = [(text, Seen("", target_logprob=logprob))]
        logs.evaluate(engine, logs.arrive(engine, step), ["suite"], seen)
    assert derived(engine, [text]) == [History()]
    with engine.connect() as connection:
        histories = histories_of(connection, "run")
    assert histories.times_measured.tolist() == [2]
    assert histories.suite_id.tolist() == [b"suite"]
