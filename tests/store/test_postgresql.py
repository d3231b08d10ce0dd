"""What is PostgreSQL's alone: rights, snapshots, locks, and what its server refuses."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError, InternalError, ProgrammingError

from errors import DatabaseMismatch, StoreError
from settings import Settings
from store import chain, log, tuples
from store.engine import appending, bare_engine, connect, reading
from store.lifecycle import LIFECYCLE
from store.log import Rows
from store.migrations import upgrade
from store.projections import bring_up_to_date
from store.records import Prediction
from store.schema import EVENT, EXAMPLE, PREDICTION
from tests import logs
from tests.postgres import LOCKED, Server
from tests.store.clients import client, rows, run
from tests.store.test_log import FACTS, batch, fill
from tests.views.deriving import eventful
from views import registry

CHANGES = [
    "UPDATE {table} SET position = 99",
    "DELETE FROM {table}",
    "TRUNCATE {table} CASCADE",
    "INSERT INTO {table} SELECT * FROM {table} WHERE true "
    "ON CONFLICT ON CONSTRAINT pk_{table} DO UPDATE SET position = 99",
]


@pytest.fixture
def owned(postgres: Server) -> Iterator[Engine]:
    """An engine of a role that owns its database and is no superuser."""
    postgres.run("CREATE ROLE owner LOGIN", "CREATE DATABASE owned OWNER owner")
    upgrade(postgres.url("owned", "owner"))
    engine = connect(postgres.url("owned", "owner"))
    yield engine
    engine.dispose()
    postgres.run("DROP DATABASE owned", "DROP ROLE owner")


def test_an_owner_appends_and_derives_and_may_change_no_fact(owned: Engine) -> None:
    for _ in eventful(owned):
        pass
    assert bring_up_to_date(owned, registry.projections(Settings())) == []
    for table in FACTS:
        for change in CHANGES[:3] if table != "event" else CHANGES[1:3]:
            with owned.connect() as connection, pytest.raises(ProgrammingError) as caught:
                connection.exec_driver_sql(change.format(table=table))
            assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)
    with reading(owned) as connection:
        assert list(chain.breaks(connection)) == []


def test_the_right_that_foreign_keys_need_changes_no_event(owned: Engine) -> None:
    logs.arrive(owned, 100)
    with owned.connect() as connection, pytest.raises(IntegrityError, match="append-only"):
        connection.exec_driver_sql("UPDATE event SET position = 99")


@pytest.mark.parametrize("table", FACTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_superuser_changes_no_fact_either(
    postgres_engine: Engine, table: str, change: str
) -> None:
    fill(postgres_engine)
    with client(postgres_engine) as superuser:
        before = rows(superuser, f"SELECT * FROM {table}")
        with pytest.raises(psycopg.IntegrityError, match="is append-only"):
            run(superuser, change.format(table=table))
        assert rows(superuser, f"SELECT * FROM {table}") == before


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN"])
def test_what_is_no_number_is_refused(postgres_engine: Engine, number: str) -> None:
    log.append(postgres_engine, batch())
    with client(postgres_engine) as other, pytest.raises(psycopg.IntegrityError, match="finite"):
        run(
            other,
            "INSERT INTO prediction (evaluation_id, example_id, sample, position, "
            f"choice_logprobs, target_margin) VALUES ('e', 'x', 0, 1, '[-1.0]', '{number}')",
        )


def test_texts_are_ordered_by_their_bytes(postgres_engine: Engine) -> None:
    words = ["a", "B", "é", "Z", "_", "b"]
    examples = [logs.example("suite", word, word, n) for n, word in enumerate(words, 1)]
    logs.register_suite(postgres_engine, examples, suite_id="suite")
    with reading(postgres_engine) as connection:
        found = connection.execute(select(EXAMPLE.c.target).order_by(EXAMPLE.c.target)).scalars()
        assert list(found) == sorted(words)


def test_whoever_appends_second_waits_and_comes_after(postgres_engine: Engine) -> None:
    second = threading.Thread(target=log.append, args=(postgres_engine, batch("second")))
    with appending(postgres_engine) as connection:
        log.append_in(connection, batch("first"))
        second.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with client(postgres_engine) as other:
            while rows(other, waiting) == [(0,)]:
                assert second.is_alive()
        with reading(postgres_engine) as snapshot:
            assert log.head(snapshot) == 0
    second.join()
    with reading(postgres_engine) as snapshot:
        found = [(one.position, one.event) for one in log.read(snapshot)]
    assert found == [(1, batch("first")), (2, batch("second"))]


def test_two_that_derive_do_not_derive_twice(postgres_engine: Engine) -> None:
    for _ in eventful(postgres_engine):
        pass
    stopped: list[object] = []
    both = [
        threading.Thread(
            target=lambda: stopped.extend(bring_up_to_date(postgres_engine, [LIFECYCLE]))
        )
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert stopped == []


def test_a_long_read_comes_in_chunks_from_the_server(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuples, "CHUNK", 10)
    predictions = [Prediction("e", f"{n:03}", error="no target") for n in range(100)]
    log.append(postgres_engine, batch(), rows=Rows(predictions=predictions))
    query = select(PREDICTION).order_by(PREDICTION.c.example_id)
    with reading(postgres_engine) as connection:
        stream = tuples.stream(connection, query)
        first = next(stream)
        cursors = "SELECT count(*) FROM pg_cursors"
        assert connection.exec_driver_sql(cursors).scalar_one() == 1
        assert [first, *stream] == tuples.fetch(connection, query)
        assert connection.exec_driver_sql(cursors).scalar_one() == 0


def test_a_reader_writes_nothing(postgres_url: str) -> None:
    reader = connect(postgres_url, read_only=True)
    with pytest.raises(InternalError, match="read-only transaction"):
        log.append(reader, batch())
    reader.dispose()


def test_a_role_that_may_only_select_sees_every_view(
    postgres: Server, postgres_engine: Engine
) -> None:
    for _ in eventful(postgres_engine):
        pass
    assert bring_up_to_date(postgres_engine, registry.projections(Settings())) == []
    database = str(postgres_engine.url.database)
    postgres.run(
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        database=database,
    )
    reader = connect(postgres.url(database, "reader"), read_only=True)
    for view in registry.views(Settings()):
        with reading(reader) as theirs, reading(postgres_engine) as ours:
            assert view.rows(theirs) == view.rows(ours)
    reader.dispose()
    postgres.run("DROP OWNED BY reader", "DROP ROLE reader", database=database)


def test_a_dump_restored_is_the_same_log(postgres: Server, postgres_engine: Engine) -> None:
    for _ in eventful(postgres_engine):
        pass
    database = str(postgres_engine.url.database)
    at = ["--host", str(postgres.folder), "--username", "postgres"]
    with postgres.copy_of("template0") as copy:
        dump = subprocess.run(
            [postgres.programs / "pg_dump", *at, "--format=custom", database],
            check=True,
            capture_output=True,
        )
        subprocess.run(
            [postgres.programs / "pg_restore", *at, "--dbname", copy, "--exit-on-error"],
            check=True,
            input=dump.stdout,
        )
        restored = connect(postgres.url(copy))
        events = select(EVENT).order_by(EVENT.c.position)
        with reading(restored) as theirs, reading(postgres_engine) as ours:
            assert tuples.fetch(theirs, events) == tuples.fetch(ours, events)
            assert list(chain.breaks(theirs)) == []
        with pytest.raises(IntegrityError, match="append-only"), restored.begin() as connection:
            connection.execute(EVENT.delete())
        logs.arrive(restored, 9999)
        restored.dispose()


PASSWORD = "geheim"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql+psycopg://postgres:{PASSWORD}@127.0.0.1:1/milepost", "refused"),
        (
            f"postgresql+psycopg://postgres:{PASSWORD}@/none?host={{folder}}",
            '"none" does not exist',
        ),
        (f"postgresql+psycopg://{LOCKED}:{PASSWORD}@/postgres?host={{folder}}", "password"),
    ],
)
def test_what_the_server_refuses_is_said_without_the_password(
    postgres: Server, url: str, words: str
) -> None:
    for opening in (connect, upgrade):
        with pytest.raises(StoreError, match=words) as caught:
            opening(url.format(folder=postgres.folder))
        said = str(caught.value)
        assert "MILEPOST_DATABASE__URL" in said
        assert "***@" in said
        assert PASSWORD not in said


@pytest.mark.parametrize(
    "url", ["mysql://root@localhost/milepost", "postgresql+psycopg2://me@localhost/milepost"]
)
def test_another_database_or_driver_is_named_with_what_will_do(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///FILE.*postgresql\+psycopg://"):
        bare_engine(url)


def test_what_is_no_url_is_not_repeated() -> None:
    with pytest.raises(StoreError, match="url is none") as caught:
        connect(f"postgres//me:{PASSWORD}@localhost")
    assert PASSWORD not in str(caught.value)


def test_an_empty_database_and_another_programs_are_told_apart(postgres: Server) -> None:
    with postgres.copy_of("template0") as empty:
        url = postgres.url(empty)
        with pytest.raises(DatabaseMismatch, match="`milepost init` make one there"):
            connect(url)
        postgres.run("CREATE TABLE photo (name TEXT)", database=empty)
        with pytest.raises(DatabaseMismatch, match="belongs to another program"):
            upgrade(url)


def test_a_role_that_may_make_no_tables_is_told_what_to_do(postgres: Server) -> None:
    postgres.run("CREATE ROLE guest LOGIN")
    refused = pytest.raises(StoreError, match="Its user must own the database")
    with postgres.copy_of("template0") as empty, refused:
        upgrade(postgres.url(empty, "guest"))
    postgres.run("DROP ROLE guest")


def test_a_connection_that_is_lost_is_said_to_be(postgres: Server, postgres_url: str) -> None:
    engine = connect(postgres_url)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
    with engine.connect() as connection:
        connection.execute(select(EVENT))
        postgres.run(end.format(engine.url.database))
        with pytest.raises(StoreError, match="was lost"):
            connection.execute(select(EVENT))
    assert log.append(engine, batch()).new
    engine.dispose()
