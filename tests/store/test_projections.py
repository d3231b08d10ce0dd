"""Derived tables follow the log: once, in order, and the same again after a replay."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine, func, insert, select

from errors import StoreError, UnknownEvent
from store import log, projections
from store.engine import connect
from store.events import CheckpointRejected, CheckpointRemoved, PredictionsRecorded
from store.lifecycle import CHECKPOINT, EVALUATION, LIFECYCLE, REJECTED
from store.log import Recorded
from store.projections import Projection, State, bring_up_to_date, due, replay, stamps, states
from store.schema import EVENT, HEARTBEAT
from tests import logs
from tests.logs import Seen

# A table that the schema has anyway serves as the derived table of these projections.
NOTES = HEARTBEAT


def note(connection: Connection, events: Sequence[Recorded]) -> None:
    for recorded in events:
        connection.execute(
            insert(NOTES).values(
                process=recorded.stream, host="", pid=recorded.position, doing="", seen_at=""
            )
        )


def break_down(connection: Connection, events: Sequence[Recorded]) -> None:
    note(connection, events)
    raise ZeroDivisionError("no examples")


REMOVALS = Projection(
    name="removals",
    version=1,
    tables=(NOTES,),
    listens=frozenset({CheckpointRemoved}),
    derive=note,
)


def remove(engine: Engine, n: int) -> None:
    at = f"2026-01-01T00:00:{n:02}.000Z"
    log.append(engine, CheckpointRemoved(checkpoint_id="c", path="/p", reason="r", at=at))


def noted(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(select(NOTES.c.pid).order_by(NOTES.c.pid)).scalars())


def test_each_event_of_the_listened_types_is_derived_once(engine: Engine) -> None:
    remove(engine, 1)
    log.append(engine, PredictionsRecorded(evaluation_id="e", batch="1", scored=0, failed=0))
    bring_up_to_date(engine, [REMOVALS])
    remove(engine, 2)
    bring_up_to_date(engine, [REMOVALS])
    bring_up_to_date(engine, [REMOVALS])
    assert noted(engine) == [1, 3]


def test_the_position_is_that_of_the_last_event_listened_to(engine: Engine) -> None:
    remove(engine, 1)
    log.append(engine, PredictionsRecorded(evaluation_id="e", batch="1", scored=0, failed=0))
    bring_up_to_date(engine, [REMOVALS])
    with engine.connect() as connection:
        assert states(connection)["removals"].position == 1
        assert not due(
            connection, REMOVALS, states(connection)["removals"], stamps([REMOVALS])["removals"]
        )


@pytest.mark.parametrize("change", [{"version": 2}, {"settings": "limit = 2"}])
def test_a_new_version_or_setting_derives_from_the_start(
    engine: Engine, change: dict[str, object]
) -> None:
    remove(engine, 1)
    bring_up_to_date(engine, [REMOVALS])
    changed = replace(REMOVALS, **change)  # type: ignore[arg-type]
    assert bring_up_to_date(engine, [changed]) == []
    assert noted(engine) == [1]
    assert stamps([changed]) != stamps([REMOVALS])


def test_what_is_read_from_is_part_of_the_stamp() -> None:
    upper = Projection("upper", 1, (), frozenset(), note, reads=("removals",))
    before = stamps([REMOVALS, upper])["upper"]
    after = stamps([replace(REMOVALS, version=2), upper])["upper"]
    assert before != after
    with pytest.raises(ValueError, match="reads 'removals', which comes later"):
        stamps([upper, REMOVALS])


def test_a_failing_projection_stops_alone_with_its_error_and_no_rows(engine: Engine) -> None:
    remove(engine, 1)
    broken = replace(REMOVALS, name="broken", derive=break_down)
    waiting = Projection(
        "waiting", 1, (), frozenset({CheckpointRemoved}), break_down, reads=("broken",)
    )
    counting = Projection("counting", 1, (), frozenset({CheckpointRemoved}), lambda *_: None)
    stopped = bring_up_to_date(engine, [broken, waiting, counting])
    assert [(one.name, one.error) for one in stopped] == [
        ("broken", "ZeroDivisionError: no examples"),
        ("waiting", "waits for broken"),
    ]
    assert noted(engine) == []
    with engine.connect() as connection:
        found = states(connection)
    assert found["broken"].error == "ZeroDivisionError: no examples"
    assert (found["counting"].position, found["counting"].error) == (1, None)


def test_a_mended_projection_derives_all_it_missed(engine: Engine) -> None:
    remove(engine, 1)
    bring_up_to_date(engine, [replace(REMOVALS, derive=break_down)])
    remove(engine, 2)
    assert [one.name for one in bring_up_to_date(engine, [REMOVALS])] == ["removals"]
    assert replay(engine, [REMOVALS], ["removals"]) == []
    assert noted(engine) == [1, 2]


def test_lifecycle_follows_an_evaluation_from_start_to_end(engine: Engine) -> None:
    examples = logs.questions("easy", 3)
    logs.register_suite(engine, examples, suite_id="easy", difficulty="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=3)
    seen = [(examples[0], Seen("answer 0")), (examples[1], Seen("", error="no target"))]
    logs.record(engine, evaluation, seen)
    bring_up_to_date(engine, [LIFECYCLE])
    with engine.connect() as connection:
        row = connection.execute(select(EVALUATION)).one()
    assert (row.status, row.scored, row.failed, row.examples) == ("started", 1, 1, 3)
    logs.record(engine, evaluation, [(examples[2], Seen("answer 2"))], batch="2")
    logs.complete(engine, evaluation, checkpoint, scored=2, failed=1)
    bring_up_to_date(engine, [LIFECYCLE])
    with engine.connect() as connection:
        row = connection.execute(select(EVALUATION)).one()
    assert (row.status, row.scored, row.failed, row.peak_bytes) == ("completed", 2, 1, 500_000_000)
    assert row.finished_at is not None


def test_the_newest_complete_evaluation_is_current(engine: Engine) -> None:
    examples = logs.questions("easy", 1)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    seen = [(examples[0], Seen("answer 0"))]
    first = logs.evaluate(engine, checkpoint, ["easy"], seen, settings={"max_new_tokens": 1})
    second = logs.start(engine, checkpoint, ["easy"], examples=1, settings={"max_new_tokens": 2})
    assert current(engine) == [first]
    logs.record(engine, second, seen)
    logs.complete(engine, second, checkpoint, scored=1)
    assert current(engine) == [second]


def current(engine: Engine) -> list[str]:
    bring_up_to_date(engine, [LIFECYCLE])
    with engine.connect() as connection:
        query = select(EVALUATION.c.evaluation_id).where(EVALUATION.c.current == 1)
        return list(connection.execute(query).scalars())


def test_a_rejected_folder_that_arrives_after_all_is_rejected_no_more(engine: Engine) -> None:
    path = "/checkpoints/run/checkpoint-7"
    log.append(
        engine,
        CheckpointRejected(
            run="run", path=path, step=7, reason="a shard is missing", fingerprint=""
        ),
    )
    bring_up_to_date(engine, [LIFECYCLE])
    with engine.connect() as connection:
        assert connection.execute(select(REJECTED.c.reason)).scalar_one() == "a shard is missing"
    logs.arrive(engine, 7)
    bring_up_to_date(engine, [LIFECYCLE])
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(REJECTED)).scalar_one() == 0
        assert connection.execute(select(CHECKPOINT.c.path)).scalar_one() == path


def test_a_text_with_nul_is_derived_with_its_picture(engine: Engine) -> None:
    checkpoint = logs.arrive(engine, 7)
    logs.fail(engine, "e", checkpoint, ["easy"], message="bad byte \0 in the header")
    bring_up_to_date(engine, [LIFECYCLE])
    with engine.connect() as connection:
        message = connection.execute(select(EVALUATION.c.message)).scalar_one()
    assert message == "bad byte ␀ in the header"


def test_a_slower_process_never_moves_a_projection_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(engine, 1)

    def overtaken(*arguments: object) -> State | None:
        """Between the look and the transaction, another process brings it further."""
        monkeypatch.undo()
        remove(engine, 2)
        bring_up_to_date(engine, [REMOVALS])
        return projections._advance(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(projections, "_advance", overtaken)
    bring_up_to_date(engine, [REMOVALS])
    assert noted(engine) == [1, 2]
    with engine.connect() as connection:
        assert states(connection)["removals"].position == 2


def test_a_stride_derives_that_many_events_in_each_transaction(engine: Engine) -> None:
    for n in range(7):
        remove(engine, n)
    batches: list[list[int]] = []

    def watch(connection: Connection, events: Sequence[Recorded]) -> None:
        batches.append([one.position for one in events])
        note(connection, events)

    reached: list[tuple[str, int, int]] = []
    sliced = replace(REMOVALS, derive=watch, stride=3)
    assert bring_up_to_date(engine, [sliced], lambda *told: reached.append(told)) == []
    assert batches == [[1, 2, 3], [4, 5, 6], [7]]
    assert reached == [("removals", 0, 7), ("removals", 3, 7), ("removals", 6, 7)]
    assert noted(engine) == [1, 2, 3, 4, 5, 6, 7]


def die_at_the_second_stride(database_url: str) -> None:
    engine = connect(database_url)

    def derive(connection: Connection, events: Sequence[Recorded]) -> None:
        note(connection, events)
        if events[0].position > 1:
            os.kill(os.getpid(), signal.SIGKILL)

    replay(engine, [replace(REMOVALS, derive=derive, stride=3)])


def test_a_replay_that_was_killed_goes_on_where_it_stopped(
    engine: Engine, database_url: str
) -> None:
    for n in range(7):
        remove(engine, n)
    sliced = replace(REMOVALS, stride=3)
    assert bring_up_to_date(engine, [sliced]) == []
    process = multiprocessing.get_context("spawn").Process(
        target=die_at_the_second_stride, args=(database_url,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert noted(engine) == [1, 2, 3]
    with engine.connect() as connection:
        state = states(connection)["removals"]
        assert (state.position, state.error) == (3, None)
        assert due(connection, sliced, state, stamps([sliced])["removals"])
    seen: list[int] = []

    def watch(connection: Connection, events: Sequence[Recorded]) -> None:
        seen.extend(one.position for one in events)
        note(connection, events)

    assert bring_up_to_date(engine, [replace(sliced, derive=watch)]) == []
    assert seen == [4, 5, 6, 7]
    assert noted(engine) == [1, 2, 3, 4, 5, 6, 7]


def test_an_unknown_type_of_event_is_refused_and_not_passed_over(engine: Engine) -> None:
    remove(engine, 1)
    with engine.begin() as connection:
        newer = {"position": 2, "event_id": "id", "stream": "s", "version": 1, "payload": "{}"}
        connection.execute(
            insert(EVENT).values(
                **newer, type="CheckpointTeleported", schema_version=1, recorded_at=log.now()
            )
        )
    with pytest.raises(UnknownEvent, match="position 2 of the log has the unknown type"):
        bring_up_to_date(engine, [REMOVALS])


def test_a_fault_of_the_database_is_not_held_against_the_view(engine: Engine) -> None:
    remove(engine, 1)

    def fail(_connection: Connection, _events: Sequence[Recorded]) -> None:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        bring_up_to_date(engine, [replace(REMOVALS, derive=fail)])
    assert bring_up_to_date(engine, [REMOVALS]) == []
    assert noted(engine) == [1]
