"""Histories of examples: written by hand, and folded from logs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, event

from settings import Settings
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from store.records import Example
from tests import logs
from tests.logs import Seen
from views import results
from views.history import HISTORY, History, histories_of

PROJECTIONS = [LIFECYCLE, *results.view(Settings()).projections, HISTORY]


def lived(outcomes: str) -> History:
    """The history of an example: R for right and W for wrong, at steps 100, 200 and so on."""
    history = History()
    for index, outcome in enumerate(outcomes, start=1):
        history = history.then(100 * index, outcome == "R")
    return history


def test_a_history_counts_what_happened() -> None:
    assert lived("") == History(0, 0, 0, None, None, None)
    assert lived("W") == History(1, 0, 0, None, None, False)
    assert lived("WWRRW") == History(5, 2, 2, 300, 400, False)
    assert lived("RWRWR") == History(5, 3, 4, 100, 500, True)


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
    return [histories.get(one.example_id, History()) for one in examples]


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
    assert derived(engine, examples) == [lived("RR")._replace(last_right_step=300)]
    evaluate(engine, 200, examples, "W")
    assert derived(engine, examples) == [lived("RWR")]


def test_a_second_evaluation_of_a_checkpoint_replaces_the_first(engine: Engine) -> None:
    examples = register(engine, 1)
    first = evaluate(engine, 100, examples, "W")
    evaluate(engine, 200, examples, "R")
    assert derived(engine, examples) == [lived("WR")]
    logs.evaluate(engine, first, ["suite"], [(examples[0], Seen("answer"))], settings={"k": 1})
    assert derived(engine, examples) == [lived("RR")]


def test_another_grader_rewrites_history(engine: Engine) -> None:
    examples = register(engine, 1)
    checkpoint = logs.arrive(engine, 100)
    logs.evaluate(engine, checkpoint, ["suite"], [(examples[0], Seen("the answer, I think"))])
    assert derived(engine, examples) == [lived("W")]
    logs.register_suite(engine, examples, suite_id="suite", grader="contains", revision=2)
    assert derived(engine, examples) == [lived("R")]


def test_a_new_checkpoint_reads_only_its_own_grades(engine: Engine) -> None:
    examples = register(engine, 1)
    for step in (100, 200, 300):
        evaluate(engine, step, examples, "W")
    derived(engine, examples)
    evaluate(engine, 400, examples, "R")
    bring_up_to_date(engine, PROJECTIONS[:-1])
    read: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_c: object, _k: object, statement: str, *_: object) -> None:
        if "FROM grade" in statement:
            read.append(statement)

    assert derived(engine, examples) == [lived("WWWR")]
    assert len(read) == 1
