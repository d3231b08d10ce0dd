"""What waits is claimed once; what a person asks for once more stands beside it."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import Engine, delete, insert, select

from evaluators.claims import (
    PROCESS,
    Standing,
    Task,
    Wanted,
    evaluation_id_of,
    host,
    pending,
    request,
)
from store import log
from store.engine import reading
from store.events import (
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    Event,
)
from store.lifecycle import EVALUATION, LIFECYCLE
from store.liveness import Pulse
from store.projections import bring_up_to_date, replay
from store.schema import HEARTBEAT
from tests import logs
from tests.logs import Seen
from tests.views.deriving import found, removed

NUMBERS = {"max_new_tokens": 64, "stop": []}
WANTED = Wanted(("easy", "hard"), "1", NUMBERS)
NOBODY = 2**22 + 1  # no process can have this id on Linux


def ask(
    engine: Engine, checkpoint: str, wanted: Wanted = WANTED, *, again: bool = False
) -> Task | Standing:
    bring_up_to_date(engine, [LIFECYCLE])
    with reading(engine) as connection:
        return request(connection, checkpoint, wanted, again=again)


def task(engine: Engine, checkpoint: str, wanted: Wanted = WANTED, *, again: bool = False) -> Task:
    one = ask(engine, checkpoint, wanted, again=again)
    assert isinstance(one, Task)
    return one


def settled(engine: Engine, checkpoint: str, wanted: Wanted = WANTED) -> Event | None:
    one = ask(engine, checkpoint, wanted)
    assert isinstance(one, Standing)
    return one.newest


def waiting(
    engine: Engine, wanted: Wanted = WANTED, *, run: str | None = None, uncovered: bool = False
) -> list[tuple[str, int, int]]:
    """(run, step, attempt) of what a worker would claim."""
    bring_up_to_date(engine, [LIFECYCLE])
    with reading(engine) as connection:
        tasks = pending(connection, wanted, run=run, uncovered=uncovered)
    return [(one.run, one.step, one.attempt) for one in tasks]


def start(engine: Engine, one: Task, wanted: Wanted = WANTED, *, pid: int = NOBODY) -> None:
    log.append(
        engine,
        EvaluationStarted(
            evaluation_id=one.evaluation_id,
            attempt=one.attempt,
            checkpoint_id=one.checkpoint_id,
            suites=wanted.suites,
            examples=2,
            evaluator_version=wanted.evaluator_version,
            host=host(),
            pid=pid,
            device="cpu",
            dtype="float32",
            attention="sdpa",
            prompt_format="plain",
            libraries={},
            plan={},
            settings={**wanted.numbers, **({"again": one.again} if one.again else {})},
            fallback=None,
            quick=None,
        ),
        expected_version=one.version,
    )


def another_worker(engine: Engine) -> int:
    """Another process that lives and says that it evaluates; returns its id."""
    beat = {"process": PROCESS, "host": host(), "pid": os.getppid(), "doing": "evaluating"}
    with engine.begin() as connection:
        connection.execute(insert(HEARTBEAT).values(**beat, seen_at=log.now()))
    return os.getppid()


def complete(engine: Engine, one: Task, wanted: Wanted = WANTED) -> Task:
    start(engine, one, wanted)
    logs.complete(engine, one.evaluation_id, one.checkpoint_id, scored=2)
    return one


def fail(engine: Engine, one: Task, *, retriable: bool = False) -> None:
    log.append(
        engine,
        EvaluationFailed(
            evaluation_id=one.evaluation_id,
            attempt=one.attempt,
            checkpoint_id=one.checkpoint_id,
            suites=WANTED.suites,
            error="ModelLoadFault",
            message="no weights",
            retriable=retriable,
        ),
    )


def abandon(engine: Engine, one: Task) -> None:
    log.append(
        engine,
        EvaluationAbandoned(
            evaluation_id=one.evaluation_id,
            checkpoint_id=one.checkpoint_id,
            suites=WANTED.suites,
            reason="the folder is gone",
        ),
    )


@pytest.fixture
def checkpoint(engine: Engine) -> str:
    return logs.arrive(engine, 100)


def test_the_id_of_a_first_evaluation_is_what_it_has_always_been() -> None:
    wanted = Wanted(("b", "a"), "1", NUMBERS)
    assert evaluation_id_of("9f2c", wanted) == "89a7a1d9-9a84-524f-8491-cfc49d2c9c23"
    assert (
        evaluation_id_of("9f2c", wanted._replace(suites=("a", "b")))
        == "89a7a1d9-9a84-524f-8491-cfc49d2c9c23"
    )


def test_every_repeat_and_whatever_changes_numbers_has_an_id_of_its_own() -> None:
    others = [
        WANTED,
        WANTED._replace(suites=("easy",)),
        WANTED._replace(evaluator_version="2"),
        WANTED._replace(numbers={**NUMBERS, "max_new_tokens": 32}),
    ]
    ids = {evaluation_id_of("c", wanted, again) for wanted in others for again in range(3)}
    assert len(ids) == 12


def test_what_was_never_evaluated_is_the_first_evaluation(engine: Engine, checkpoint: str) -> None:
    for again in (False, True):
        one = task(engine, checkpoint, again=again)
        assert (one.evaluation_id, one.again, one.attempt, one.version) == (
            evaluation_id_of(checkpoint, WANTED),
            0,
            1,
            0,
        )


def test_what_is_complete_is_done_and_again_stands_beside_it(
    engine: Engine, checkpoint: str
) -> None:
    first = complete(engine, task(engine, checkpoint))
    assert isinstance(settled(engine, checkpoint), EvaluationCompleted)
    second = complete(engine, task(engine, checkpoint, again=True))
    third = task(engine, checkpoint, again=True)
    assert [one.again for one in (first, second, third)] == [0, 1, 2]
    assert len({one.evaluation_id for one in (first, second, third)}) == 3
    assert (third.attempt, third.version) == (1, 0)


def test_a_repeat_that_was_begun_and_not_ended_is_taken_over(
    engine: Engine, checkpoint: str
) -> None:
    complete(engine, task(engine, checkpoint))
    begun = task(engine, checkpoint, again=True)
    start(engine, begun)
    taken = task(engine, checkpoint, again=True)
    assert taken == begun._replace(version=1, attempt=2)


def test_a_repeat_in_the_hands_of_a_living_worker_is_left_to_it(
    engine: Engine, checkpoint: str
) -> None:
    complete(engine, task(engine, checkpoint))
    begun = task(engine, checkpoint, again=True)
    start(engine, begun, pid=another_worker(engine))
    found = ask(engine, checkpoint, again=True)
    assert isinstance(found, Standing)
    assert (found.evaluation_id, found.owner) == (begun.evaluation_id, (host(), os.getppid()))


def test_what_one_before_with_the_same_process_id_left_is_taken_over(
    engine: Engine, checkpoint: str
) -> None:
    start(engine, task(engine, checkpoint), pid=os.getpid())
    with Pulse(engine, PROCESS):
        assert waiting(engine) == [("run", 100, 2)]
    with engine.begin() as connection:
        connection.execute(delete(HEARTBEAT))
    start(engine, task(engine, checkpoint), pid=another_worker(engine))
    assert waiting(engine) == []


def test_one_that_failed_for_good_gets_another_attempt_when_asked(
    engine: Engine, checkpoint: str
) -> None:
    first = task(engine, checkpoint)
    fail(engine, first)
    assert isinstance(settled(engine, checkpoint), EvaluationFailed)
    assert task(engine, checkpoint, again=True) == first._replace(version=1, attempt=2)


def test_one_that_failed_for_now_is_tried_again_unasked_until_it_was_often_enough(
    engine: Engine, checkpoint: str
) -> None:
    for attempt in (1, 2, 3):
        one = task(engine, checkpoint)
        assert one.attempt == attempt
        fail(engine, one, retriable=True)
    assert isinstance(settled(engine, checkpoint), EvaluationFailed)
    assert task(engine, checkpoint, again=True).attempt == 4


def test_one_that_failed_with_every_example_recorded_gets_the_next_beside_it(
    engine: Engine, checkpoint: str
) -> None:
    first = task(engine, checkpoint)
    start(engine, first)
    broken = [(one, Seen("", error="NaN")) for one in logs.questions("easy", 2)]
    logs.record(engine, first.evaluation_id, broken[:1], batch="1")
    fail(engine, first)
    assert task(engine, checkpoint, again=True).evaluation_id == first.evaluation_id
    logs.record(engine, first.evaluation_id, broken[1:], batch="2")
    fail(engine, first._replace(attempt=2))
    assert task(engine, checkpoint, again=True).again == 1


def test_after_one_that_was_abandoned_comes_the_next(engine: Engine, checkpoint: str) -> None:
    abandon(engine, task(engine, checkpoint))
    assert isinstance(settled(engine, checkpoint), EvaluationAbandoned)
    second = complete(engine, task(engine, checkpoint, again=True))
    assert second.again == 1
    assert isinstance(settled(engine, checkpoint), EvaluationCompleted)


def test_a_wider_evaluation_of_the_same_kind_holds_a_narrower_one(
    engine: Engine, checkpoint: str
) -> None:
    complete(engine, task(engine, checkpoint))
    easy = WANTED._replace(suites=("easy",))
    assert isinstance(settled(engine, checkpoint, easy), EvaluationCompleted)
    assert task(engine, checkpoint, easy, again=True).again == 0
    for other in (
        Wanted(("easy", "new"), "1", NUMBERS),
        Wanted(("easy",), "2", NUMBERS),
        Wanted(("easy",), "1", {**NUMBERS, "max_new_tokens": 1}),
    ):
        assert task(engine, checkpoint, other).attempt == 1


def test_a_repeat_holds_what_it_evaluated_as_well(engine: Engine, checkpoint: str) -> None:
    abandon(engine, task(engine, checkpoint))
    repeat = complete(engine, task(engine, checkpoint, again=True))
    found = ask(engine, checkpoint, WANTED._replace(suites=("hard",)))
    assert isinstance(found, Standing)
    assert found.evaluation_id == repeat.evaluation_id


def test_a_worker_neither_repeats_nor_resumes_a_repeat(engine: Engine, checkpoint: str) -> None:
    complete(engine, task(engine, checkpoint))
    assert waiting(engine) == []
    start(engine, task(engine, checkpoint, again=True))
    assert waiting(engine) == []


def test_a_worker_goes_on_with_a_new_attempt_that_a_person_began(
    engine: Engine, checkpoint: str
) -> None:
    fail(engine, task(engine, checkpoint))
    assert waiting(engine) == []
    start(engine, task(engine, checkpoint, again=True))
    assert waiting(engine) == [("run", 100, 3)]


def test_a_narrower_evaluation_does_not_take_the_whole_one_away(
    engine: Engine, checkpoint: str
) -> None:
    easy = WANTED._replace(suites=("easy",))
    complete(engine, task(engine, checkpoint, easy), easy)
    assert waiting(engine) == [("run", 100, 1)]
    assert waiting(engine, easy) == []


def test_what_a_wider_evaluation_holds_waits_only_if_it_counts(
    engine: Engine, checkpoint: str
) -> None:
    complete(engine, task(engine, checkpoint))
    logs.arrive(engine, 200)
    easy = WANTED._replace(suites=("easy",))
    assert waiting(engine, easy, uncovered=True) == [("run", 200, 1)]
    assert waiting(engine, easy) == [("run", 200, 1), ("run", 100, 1)]


def test_one_run_alone_may_be_asked_for(engine: Engine, checkpoint: str) -> None:  # noqa: ARG001
    logs.arrive(engine, 7, run="other")
    assert waiting(engine, run="other") == [("other", 7, 1)]
    assert waiting(engine, run="run") == [("run", 100, 1)]


def test_views_show_the_newest_complete_evaluation(engine: Engine, checkpoint: str) -> None:
    def current() -> list[str]:
        bring_up_to_date(engine, [LIFECYCLE])
        with reading(engine) as connection:
            query = select(EVALUATION.c.evaluation_id).where(EVALUATION.c.current == 1)
            return list(connection.execute(query).scalars())

    first = complete(engine, task(engine, checkpoint))
    second = task(engine, checkpoint, again=True)
    start(engine, second)
    assert current() == [first.evaluation_id]
    fail(engine, second)
    assert current() == [first.evaluation_id]
    complete(engine, task(engine, checkpoint, again=True))
    assert current() == [second.evaluation_id]
    third = task(engine, checkpoint, again=True)
    abandon(engine, third)
    assert current() == [second.evaluation_id]
    assert replay(engine, [LIFECYCLE]) == []
    assert current() == [second.evaluation_id]


def test_a_checkpoint_that_is_back_after_it_was_given_up_waits_again(
    engine: Engine, checkpoint: str
) -> None:
    abandon(engine, task(engine, checkpoint))
    log.append(engine, removed(checkpoint, "/checkpoints/run/checkpoint-100"))
    assert claimable(engine) == []
    log.append(engine, found(checkpoint, "/kept/checkpoint-100"))
    (back,) = claimable(engine)
    assert (back.again, back.attempt, str(back.path)) == (1, 1, "/kept/checkpoint-100")
    start(engine, back)
    assert [(one.again, one.attempt) for one in claimable(engine)] == [(1, 2)]
    complete(engine, back._replace(version=1, attempt=2))
    assert claimable(engine) == []


def claimable(engine: Engine) -> list[Task]:
    bring_up_to_date(engine, [LIFECYCLE])
    with reading(engine) as connection:
        return pending(connection, WANTED)
