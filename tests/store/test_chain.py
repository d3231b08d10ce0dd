"""A log that was changed behind the guards is found out, and the place is named."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from alembic import command
from sqlalchemy import Engine

from store import chain, log
from store.chain import Break
from store.engine import bare_engine, connect, reading
from store.events import PredictionsRecorded
from store.log import Rows
from store.migrations import config, upgrade
from store.records import TokenTrace
from tests import logs
from tests.logs import Seen
from tests.store.clients import client, drop_guard, drop_guards, ignore_foreign_keys, rows, run
from tests.views.deriving import eventful


def breaks(engine: Engine) -> list[Break]:
    with reading(engine) as connection:
        return list(chain.breaks(connection))


@pytest.fixture
def told(engine: Engine) -> Engine:
    return tell(engine)


def tell(engine: Engine) -> Engine:
    """A log with 3 events of 3 types and rows in all tables, and then much more."""
    one = logs.example("suite", "Gruß?", "ja", line=7, skill="copy")
    logs.register_suite(engine, [one], suite_id="suite")
    checkpoint = logs.arrive(engine, 7)
    event = PredictionsRecorded(evaluation_id="e", batch="1", scored=1, failed=0)
    seen = replace(logs.prediction("e", one, Seen("ja", target_logprob=-0.0)), prompt_tokens=0)
    trace = TokenTrace("e", one.example_id, 0, "target", ("j", "a"), b"ab", b"\x00\xff", b"ef")
    log.append(engine, event, rows=Rows(predictions=[seen], traces=[trace]))
    logs.fail(engine, "e", checkpoint, ["suite"])
    for _ in eventful(engine):
        pass
    return engine


def test_a_log_as_it_was_appended_has_no_break(told: Engine) -> None:
    assert breaks(told) == []


def test_an_empty_log_has_no_break(engine: Engine) -> None:
    assert breaks(engine) == []


def test_a_digest_can_be_computed_by_hand(engine: Engine) -> None:
    checkpoint = logs.arrive(engine, 7)
    with client(engine) as other:
        ((*fields, digest),) = rows(other, "SELECT * FROM event")
    assert fields[2] == f"checkpoint/{checkpoint}"
    text = "\n".join(["0" * 64, json.dumps(fields, separators=(",", ":")), "", "", ""])
    assert hashlib.sha256(text.encode()).hexdigest() == digest


CHANGES = {
    "UPDATE event SET payload = replace(payload, '7', '8') WHERE position = 2": (2, "or its rows"),
    "UPDATE event SET recorded_at = '2026-01-01T00:00:00.000Z' WHERE position = 3": (3, "its rows"),
    "UPDATE example SET target = 'nein' WHERE suite_id = 'suite'": (1, "SuiteRegistered"),
    "UPDATE prediction SET target_logprob = -0.5 WHERE evaluation_id = 'e'": (3, "Predictions"),
    "UPDATE prediction SET example_id = 'x' WHERE evaluation_id = 'e'": (3, "evaluation/e"),
    "UPDATE token_trace SET entropy = margin WHERE evaluation_id = 'e'": (3, "evaluation/e"),
    "DELETE FROM prediction WHERE evaluation_id = 'e'": (3, "Predictions"),
    "DELETE FROM event WHERE position = 2": (1, "the events from 2 to 2 are missing"),
}


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_behind_the_guards_is_found_and_located(told: Engine, statement: str) -> None:
    with client(told) as other:
        drop_guards(other)
        ignore_foreign_keys(other)
        assert run(other, statement) == 1
    (found,) = breaks(told)
    position, word = CHANGES[statement]
    assert found.position == position
    assert word in found.what


def test_a_row_slipped_in_is_found(told: Engine) -> None:
    with client(told) as other:
        ignore_foreign_keys(other)
        drop_guard(other, "prediction", "stray")
        for position in (3, 9999):
            run(
                other,
                "INSERT INTO prediction (evaluation_id, example_id, sample, position, error) "
                f"VALUES ('f', '{position}', 0, {position}, 'slipped in')",
            )
    assert [one.position for one in breaks(told)] == [3, 9999]


def test_a_lost_end_is_found(told: Engine) -> None:
    with reading(told) as connection:
        end = log.head(connection)
    with client(told) as other:
        drop_guard(other, "event", "delete")
        run(other, f"DELETE FROM event WHERE position > {end - 2}")
    (found,) = breaks(told)
    assert found == (end - 2, f"the log's end is missing: it had come to position {end}")


def test_a_log_from_before_the_chain_is_sealed_by_its_migration(database_url: str) -> None:
    engine = connect(database_url)
    for _ in eventful(engine):
        pass
    with client(engine) as other:
        before = rows(other, "SELECT * FROM event ORDER BY position")
    engine.dispose()
    bare = bare_engine(database_url)
    with bare.connect() as connection:
        configuration = config()
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0011")
    bare.dispose()
    upgrade(database_url)
    engine = connect(database_url)
    assert breaks(engine) == []
    with client(engine) as other:
        assert rows(other, "SELECT * FROM event ORDER BY position") == before
    engine.dispose()


def test_both_databases_give_one_log_the_same_digests(
    sqlite_engine: Engine, postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "now", lambda: "2026-01-01T00:00:00.000Z")
    digests = []
    for engine in (sqlite_engine, postgres_engine):
        with client(tell(engine)) as other:
            digests.append(rows(other, "SELECT position, digest FROM event ORDER BY position"))
    assert digests[0] == digests[1]
    assert len(digests[0]) > 30
