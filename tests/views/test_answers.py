"""Answers in columns: labels, what counts once, and the way to the database and back."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from store import log
from store.events import PredictionsRecorded
from store.lifecycle import LIFECYCLE
from store.log import Rows
from store.projections import bring_up_to_date
from store.records import Example, Prediction
from tests import logs
from tests.logs import Seen
from tests.views.rows import Row, table
from views import results
from views.answers import RIGHT, WRONG, Answers, first_error, number
from views.blocks import answers_of
from views.labels import Labels, groups

names = st.sampled_from([None, "", "easy", "hard", "ä"])
columns = st.lists(names, max_size=12)


def sorted_names(values: Sequence[str | None]) -> list[str | None]:
    known = set(values)
    first: list[str | None] = [None] if None in known else []
    return first + sorted(one for one in known if one is not None)


@given(columns)
def test_labels_give_back_what_they_were_made_of(values: list[str | None]) -> None:
    labels = Labels.of(values)
    assert labels.values() == values
    assert labels.present() == list(labels.names) == sorted_names(values)
    assert [labels.at(row) for row in range(len(values))] == values


@given(columns, columns)
def test_joined_labels_are_the_one_column_after_the_other(
    one: list[str | None], other: list[str | None]
) -> None:
    assert Labels.joined([Labels.of(one), Labels.of(other)]).values() == one + other


@given(st.lists(st.tuples(names, names)))
def test_labels_are_compared_row_by_row(pairs: list[tuple[str | None, str | None]]) -> None:
    one, other = Labels.of([a for a, _ in pairs]), Labels.of([b for _, b in pairs])
    assert one.equal(other).tolist() == [a == b for a, b in pairs]
    assert one.are("easy").tolist() == [a == "easy" for a, _ in pairs]


@given(st.lists(st.tuples(names, names)))
def test_groups_are_the_rows_of_each_combination(
    pairs: list[tuple[str | None, str | None]],
) -> None:
    expected = defaultdict(list)
    for row, pair in enumerate(pairs):
        expected[pair].append(row)
    found = groups((Labels.of([a for a, _ in pairs]), Labels.of([b for _, b in pairs])))
    assert sorted(rows.tolist() for rows in found) == sorted(expected.values())


def test_an_example_counts_once_with_its_first_sample() -> None:
    rows = table(
        [
            Row("a", suite="one", sample=0),
            Row("a", suite="one", sample=1),
            Row("b", suite="one", sample=1),
            Row("a", suite="two", sample=0, counts=False),
            Row("c", suite="two", sample=0),
        ]
    ).once()
    assert rows.example_id.tolist() == [b"a", b"b", b"c"]
    assert rows.sample.tolist() == [0, 1, 0]


def test_what_was_not_measured_is_no_number() -> None:
    rows = table([Row(nll=3.0, tokens=2), Row(nll=0.0, tokens=0), Row(error="too long")])
    assert [number(one) for one in rows.loss] == [1.5, None, None]
    assert [number(one) for one in rows.confidence] == [None, None, None]
    assert first_error(rows) == "too long"
    assert first_error(rows[rows.scored]) is None


def stored(engine: Engine, evaluation_id: str) -> Answers:
    assert bring_up_to_date(engine, [LIFECYCLE, results.RESULTS]) == []
    with engine.connect() as connection:
        return answers_of(connection, evaluation_id)


def test_answers_come_back_as_they_were_graded(engine: Engine) -> None:
    sums = [
        logs.example("sums", "1 + 1", "2", 1, "easy", "addition"),
        logs.example("sums", "9 + 9", "18", 2, None, None),
        logs.example("sums", "too long", "0", 3),
    ]
    logs.register_suite(engine, sums, suite_id="sums", difficulty="hard")
    pool = [replace(sums[0], suite_id="a-pool"), logs.example("a-pool", "3 + 3", "6", 2)]
    logs.register_suite(engine, pool, suite_id="a-pool", role="mining")
    words = [Seen("2", math.log(0.5), -3.0), Seen("19"), Seen("", error="no room"), Seen("6")]
    seen = list(zip([*sums, pool[1]], words, strict=True))
    evaluation = logs.evaluate(engine, logs.arrive(engine, 100), ["sums", "a-pool"], seen)

    found = stored(engine, evaluation)
    order = [one.example_id for suite in (sums, pool) for one in sorted(suite, key=by_id)]
    assert [one.decode() for one in found.example_id] == order
    assert found.suite.values() == ["sums"] * 3 + ["a-pool"] * 2
    assert found.role.values() == ["validation"] * 3 + ["mining"] * 2

    of = {(found.suite.at(row), order[row]): row for row in range(len(found))}
    right, wrong, broken = (of["sums", one.example_id] for one in sums)
    double, mined = (of["a-pool", one.example_id] for one in pool)
    labels = (found.difficulty, found.skill, found.grader, found.error_class, found.error)
    assert [[one.at(row) for one in labels] for row in (right, wrong, broken)] == [
        ["easy", "addition", "exact@2", None, None],
        ["hard", None, "exact@2", "wrong_answer", None],
        ["hard", None, "exact@2", "not_scored", "no room"],
    ]
    assert [found.difficulty.at(row) for row in (double, mined)] == ["easy", "unspecified"]
    assert found.counts[[right, wrong, broken, double, mined]].tolist() == [True] * 3 + [
        False,
        True,
    ]
    assert found.correct[[right, wrong, double]].tolist() == [RIGHT, WRONG, RIGHT]
    assert found.confidence[right] == math.exp(math.log(0.5))
    assert (found.target_logprob[right], found.target_tokens[right]) == (-3.0, 2)
    assert [number(column[broken]) for column in (found.score, found.target_logprob)] == [None] * 2
    assert not found.graded[broken]
    assert not found.scored[broken]


def by_id(one: Example) -> str:
    return one.example_id


def test_samples_are_not_graded_beside_the_greedy_text(engine: Engine) -> None:
    (example,) = examples = logs.questions("easy", 1)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=1)
    made = [
        replace(logs.prediction(evaluation, example, Seen(word)), sample=sample)
        for sample, word in enumerate(["no", "answer 0", "answer 0"])
    ]
    record(engine, evaluation, made)
    logs.complete(engine, evaluation, checkpoint, scored=1)
    found = stored(engine, evaluation)
    assert found.sample.tolist() == [0]
    assert found.correct.tolist() == [WRONG]


def record(engine: Engine, evaluation: str, predictions: Sequence[Prediction]) -> None:
    event = PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=1, failed=0)
    log.append(engine, event, rows=Rows(predictions=predictions))


def test_an_evaluation_that_did_not_complete_has_no_answers(engine: Engine) -> None:
    examples = logs.questions("easy", 2)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    logs.record(engine, evaluation, [(examples[0], Seen("answer 0"))])
    logs.fail(engine, evaluation, checkpoint, ["easy"])
    found = stored(engine, evaluation)
    assert len(found) == 0
    assert not len(found.once())
    assert np.array_equal(found.starts, [])
