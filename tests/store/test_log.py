"""The log appends once, in order, whole, and gives back what it was given."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from queue import Queue

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from errors import ConcurrencyError, EventConflict, UnknownEvent
from store import log
from store.chain import Fields, link
from store.column_types import dumps
from store.engine import connect, reading
from store.events import CheckpointRemoved, PredictionsRecorded, SuiteRegistered
from store.log import Rows
from store.records import Prediction, TokenTrace
from store.schema import EVENT, EXAMPLE, GENESIS, PREDICTION, TOKEN_TRACE
from tests import logs
from tests.logs import Seen
from tests.store.clients import REFUSED, client, drop_guard, rows, run


def removal(at: str = "2026-01-01T00:00:00.000Z", checkpoint_id: str = "c") -> CheckpointRemoved:
    return CheckpointRemoved(checkpoint_id=checkpoint_id, path="/p", reason="pruned", at=at)


def batch(name: str = "1", evaluation_id: str = "e") -> PredictionsRecorded:
    return PredictionsRecorded(evaluation_id=evaluation_id, batch=name, scored=1, failed=0)


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def test_an_event_reads_back_equal_with_its_place(engine: Engine) -> None:
    first, second = removal("2026-01-01T00:00:00.000Z"), removal("2026-01-02T00:00:00.000Z")
    assert log.append(engine, first) == (1, 1, True)
    assert log.append(engine, second) == (2, 2, True)
    with engine.connect() as connection:
        found = list(log.read(connection))
    assert [(one.position, one.version, one.event) for one in found] == [
        (1, 1, first),
        (2, 2, second),
    ]
    assert {one.stream for one in found} == {"checkpoint/c"}


def test_reading_starts_after_a_position_and_keeps_to_types_and_streams(engine: Engine) -> None:
    log.append(engine, removal(checkpoint_id="a"))
    log.append(engine, batch())
    log.append(engine, removal(checkpoint_id="b"))
    with engine.connect() as connection:
        after = [one.position for one in log.read(connection, after=1)]
        until = [one.position for one in log.read(connection, until=2)]
        typed = [one.position for one in log.read(connection, types=[CheckpointRemoved])]
        stream = [one.position for one in log.read(connection, stream="checkpoint/b")]
    assert (after, until, typed, stream) == ([2, 3], [1, 2], [1, 3], [3])


def test_the_same_event_twice_is_one_row_with_its_rows_once(engine: Engine) -> None:
    rows = Rows(predictions=[Prediction("e", "x", error="no target")])
    first = log.append(engine, batch(), rows=rows)
    again = log.append(engine, batch(), rows=rows)
    assert (again.position, again.version, again.new) == (first.position, first.version, False)
    assert count(engine, "event") == 1
    assert count(engine, "prediction") == 1


def test_another_payload_under_one_id_is_an_error(engine: Engine) -> None:
    log.append(engine, batch())
    with pytest.raises(EventConflict, match="position 1"):
        log.append(engine, batch().model_copy(update={"scored": 2}))
    assert count(engine, "event") == 1


def test_an_append_at_a_stale_version_names_both_versions(engine: Engine) -> None:
    log.append(engine, removal("2026-01-01T00:00:00.000Z"))
    with pytest.raises(ConcurrencyError) as caught:
        log.append(engine, removal("2026-01-02T00:00:00.000Z"), expected_version=0)
    assert (caught.value.expected, caught.value.found) == (0, 1)
    assert log.append(engine, removal("2026-01-02T00:00:00.000Z"), expected_version=1).version == 2


def append_at_version_0(url: str, name: str, barrier: Barrier, results: Queue[str]) -> None:
    engine = connect(url)
    barrier.wait()
    try:
        log.append(engine, batch(name), expected_version=0)
        results.put("won")
    except ConcurrencyError:
        results.put("lost")
    engine.dispose()


def test_of_two_processes_at_one_version_exactly_one_wins(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=append_at_version_0, args=(database_url, name, barrier, results))
        for name in ("a", "b")
    ]
    for worker in workers:
        worker.start()
    outcomes = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    results.close()
    results.join_thread()
    assert outcomes == ["lost", "won"]


def test_rows_come_with_their_event_or_not_at_all(engine: Engine) -> None:
    good = Prediction("e", "x", error="no target")
    with pytest.raises(IntegrityError):
        log.append(engine, batch(), rows=Rows(predictions=[good, good]))
    assert count(engine, "event") == 0
    assert count(engine, "prediction") == 0


def test_every_column_of_every_row_reads_back_equal(engine: Engine) -> None:
    one = logs.example("suite", "Gruß?", "Hallö", line=7, difficulty="easy", skill="copy")
    one = replace(one, choices=("a", "Hallö"), metadata={"source": {"page": 3}})
    seen = logs.prediction("e", one, Seen("Hallo", logprob=-0.25, target_logprob=-3.5))
    seen = replace(seen, choice_logprobs=(-1.0, -2.0), target_first_miss=4)
    trace = TokenTrace("e", one.example_id, 0, "target", ("Hal", "lö"), b"ab", b"cd", b"ef")
    rows = Rows(examples=[one], predictions=[seen], traces=[trace])
    position = log.append(engine, batch(), rows=rows).position
    with engine.connect() as connection:
        example = connection.execute(select(EXAMPLE)).mappings().one()
        prediction = connection.execute(select(PREDICTION)).mappings().one()
        stored = connection.execute(select(TOKEN_TRACE)).mappings().one()
    assert {example["position"], prediction["position"], stored["position"]} == {position}
    assert example["messages"] == [{"role": "user", "content": "Gruß?"}]
    assert (example["choices"], example["metadata"]) == (["a", "Hallö"], {"source": {"page": 3}})
    for name in ("suite_id", "example_id", "line", "kind", "target", "difficulty", "skill"):
        assert example[name] == getattr(one, name)
    assert prediction["choice_logprobs"] == [-1.0, -2.0]
    for name in prediction.keys() - {"position", "choice_logprobs"}:
        assert prediction[name] == getattr(seen, name), name
    assert (stored["pieces"], stored["logprob"]) == (["Hal", "lö"], b"ab")


def test_a_nul_is_kept_as_its_picture_or_within_json(engine: Engine) -> None:
    one = logs.example("suite", "q", "a")
    seen = replace(logs.prediction("e", one, Seen("a")), generated_text="a\0b")
    trace = TokenTrace("e", one.example_id, 0, "generated", ("a", "\0", "b"), b"", b"", b"")
    rows = Rows(predictions=[seen], traces=[trace])
    assert log.append(engine, batch(), rows=rows).new
    assert not log.append(engine, batch(), rows=rows).new
    reason = CheckpointRemoved(checkpoint_id="c", path="/p", reason="a\0b \\u0000", at="now")
    log.append(engine, reason)
    with engine.connect() as connection:
        text = connection.execute(select(PREDICTION.c.generated_text)).scalar_one()
        pieces = connection.execute(select(TOKEN_TRACE.c.pieces)).scalar_one()
        assert (text, pieces) == ("a␀b", ["a", "\0", "b"])
        assert [recorded.event for recorded in log.read(connection)] == [batch(), reason]


def test_positions_have_no_gaps_after_a_refused_append(engine: Engine) -> None:
    log.append(engine, batch("1"))
    with pytest.raises(IntegrityError):
        log.append(engine, batch("2"), rows=Rows(predictions=[Prediction("e", "x")]))
    assert log.append(engine, batch("3")).position == 2


def test_a_reader_sees_a_batch_whole_or_not_at_all(engine: Engine, database_url: str) -> None:
    reader = connect(database_url, read_only=True)
    rows = Rows(predictions=[Prediction("e", str(n), error="no target") for n in range(100)])
    with engine.begin() as connection, reader.connect() as reading:
        log.append_in(connection, batch(), rows=rows)
        assert reading.exec_driver_sql("SELECT count(*) FROM prediction").scalar_one() == 0
    with reader.connect() as reading:
        assert reading.exec_driver_sql("SELECT count(*) FROM prediction").scalar_one() == 100
    reader.dispose()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "CheckpointTeleported"}, "unknown type 'CheckpointTeleported'"),
        ({"schema_version": 99}, "unknown version 99 of type 'PredictionsRecorded'"),
        ({"payload": '{"evaluation_id": 1}'}, "does not fit"),
    ],
)
def test_what_this_milepost_cannot_read_is_refused_by_position(
    engine: Engine, change: dict[str, object], word: str
) -> None:
    row = {
        "position": 1,
        "event_id": "id",
        "stream": "s",
        "version": 1,
        "type": "PredictionsRecorded",
        "schema_version": 1,
        "recorded_at": log.now(),
        "payload": batch().payload(),
    }
    with engine.begin() as connection:
        connection.execute(EVENT.insert().values({**row, **change}))
    with engine.connect() as connection, pytest.raises(UnknownEvent, match=word) as caught:
        list(log.read(connection))
    assert "position 1" in str(caught.value)


FACTS = ("event", "example", "prediction", "token_trace")


@pytest.fixture
def filled(engine: Engine) -> Engine:
    return fill(engine)


def fill(engine: Engine) -> Engine:
    """Puts a row into each table of facts."""
    one = logs.example("suite", "q", "a")
    logs.register_suite(engine, [one], suite_id="suite")
    trace = TokenTrace("e", one.example_id, 0, "target", ("a",), b"ab", b"cd", b"ef")
    rows = Rows(predictions=[logs.prediction("e", one, Seen("a"))], traces=[trace])
    log.append(engine, batch(), rows=rows)
    return engine


@pytest.mark.parametrize("table", FACTS)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET position = 99",
        "DELETE FROM {table}",
        "INSERT INTO {table} SELECT * FROM {table}",
        "INSERT INTO {table} SELECT * FROM {table} WHERE true ON CONFLICT DO NOTHING",
    ],
)
def test_facts_are_changed_by_no_client(filled: Engine, table: str, statement: str) -> None:
    refuses(filled, table, statement.format(table=table))


@pytest.mark.parametrize("table", FACTS)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        "REPLACE INTO {table} SELECT * FROM {table}",
        "INSERT OR IGNORE INTO {table} SELECT * FROM {table}",
    ],
)
def test_facts_are_replaced_by_no_client(sqlite_engine: Engine, table: str, statement: str) -> None:
    refuses(fill(sqlite_engine), table, statement.format(table=table))


def refuses(engine: Engine, table: str, statement: str) -> None:
    with client(engine) as other:
        before = rows(other, f"SELECT * FROM {table}")
        with pytest.raises(REFUSED, match=f"{table} is append-only"):
            run(other, statement)
        assert rows(other, f"SELECT * FROM {table}") == before
    assert len(before) >= 1


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("error, target_logprob", "'bad', -1.0"),
        ("prompt_tokens", "3"),
        ("generated_text", "'half a group'"),
        ("target_tokens, target_logprob", "3, -1.0"),
        ("choice_logprobs, generated_entropy", "'[-1.0]', 9e999"),
        ("choice_logprobs, finish_reason", "'[-1.0]', 'tired'"),
        ("error, prompt_tokens", "'bad', 3"),
    ],
)
def test_a_prediction_is_measured_or_an_error_and_finite(
    engine: Engine, columns: str, values: str
) -> None:
    log.append(engine, batch())
    with client(engine) as other, pytest.raises(REFUSED):
        run(
            other,
            f"INSERT INTO prediction (evaluation_id, example_id, sample, position, {columns}) "
            f"VALUES ('e', 'x', 0, 1, {values})",
        )


def test_rows_are_taken_with_the_newest_event_only(filled: Engine) -> None:
    with client(filled) as other:
        for position in (1, 3):
            with pytest.raises(REFUSED, match="rows of the newest event only"):
                run(
                    other,
                    "INSERT INTO prediction (evaluation_id, example_id, sample, position, error) "
                    f"VALUES ('e', 'late', 0, {position}, 'slipped in')",
                )


def test_an_event_takes_the_next_position_only(filled: Engine) -> None:
    with client(filled) as other:
        for position in ("NULL", "4", "-1"):
            with pytest.raises(REFUSED, match="the next position only"):
                run(
                    other,
                    "INSERT INTO event (position, event_id, stream, version, type, "
                    "schema_version, recorded_at, payload) "
                    f"VALUES ({position}, 'id', 's', 1, 'T', 1, 'now', '{{}}')",
                )


def test_a_payload_is_json(engine: Engine) -> None:
    with client(engine) as other, pytest.raises(REFUSED, match="payload_is_json"):
        run(
            other,
            "INSERT INTO event (position, event_id, stream, version, type, schema_version, "
            "recorded_at, payload) VALUES (1, 'id', 's', 1, 'T', 1, 'now', '{')",
        )


def test_a_log_that_lost_its_end_takes_no_new_event(filled: Engine) -> None:
    with client(filled) as other:
        drop_guard(other, "event", "delete")
        for table in ("prediction", "token_trace"):
            drop_guard(other, table, "delete")
            run(other, f"DELETE FROM {table}")
        run(other, "DELETE FROM event WHERE position = 2")
    with pytest.raises(IntegrityError, match="the end of the log was taken away"):
        log.append(filled, batch("another"))


@pytest.mark.parametrize(
    "text",
    ["[-1.0, 1e999]", "[null]", '["one"]', "[-1.0", "NaN", '{"1.0": true}', '"1"', "-1e999"],
)
def test_numbers_within_json_are_finite_too(engine: Engine, text: str) -> None:
    log.append(engine, batch())
    with client(engine) as other, pytest.raises(REFUSED, match="choice_logprobs must be JSON"):
        run(
            other,
            "INSERT INTO prediction (evaluation_id, example_id, sample, position, choice_logprobs)"
            f" VALUES ('e', 'x', 0, 1, '{text}')",
        )


def test_one_event_with_other_rows_is_a_conflict(engine: Engine) -> None:
    rows = Rows(predictions=[Prediction("e", "x", error="no target")])
    other = Rows(predictions=[Prediction("e", "x", error="another reason")])
    first = log.append(engine, batch(), rows=rows)
    assert log.append(engine, batch(), rows=rows) == (first.position, first.version, False)
    with pytest.raises(EventConflict, match="with other rows"):
        log.append(engine, batch(), rows=other)
    assert count(engine, "prediction") == 1


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_non_finite_number_is_refused_before_the_database(value: float) -> None:
    with pytest.raises(ValueError, match="target_logprob of example x is"):
        Prediction("e", "x", target_logprob=value)


def test_a_read_makes_no_writer_wait(engine: Engine) -> None:
    with reading(engine) as snapshot:
        assert log.head(snapshot) == 0
        assert log.append(engine, batch()).position == 1
        assert log.head(snapshot) == 0
    with reading(engine) as snapshot:
        assert log.head(snapshot) == 1


def test_an_event_that_an_older_version_wrote_down_is_the_same_event(engine: Engine) -> None:
    event = SuiteRegistered(
        suite_id="s",
        revision=1,
        name="s",
        path="/s.jsonl",
        difficulty=None,
        role="validation",
        grader="exact",
        graded_by=None,
        rows_read=0,
        examples=0,
        duplicates=0,
        refused=(),
    )
    older = event.model_dump(mode="json", exclude={"graded_by"})
    fields = Fields(
        position=1,
        event_id=event.event_id,
        stream=event.stream,
        version=1,
        type="SuiteRegistered",
        schema_version=1,
        recorded_at=log.now(),
        payload=dumps(older),
    )
    with engine.begin() as connection:
        digest = link(GENESIS, fields, ["", "", ""])
        connection.execute(EVENT.insert().values(**fields._asdict(), digest=digest))
    assert log.append(engine, event) == (1, 1, False)
    with pytest.raises(EventConflict, match="another payload"):
        log.append(engine, event.model_copy(update={"grader": "numeric"}))
