"""SQLite and PostgreSQL hold and show the same, value by value and in the same order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, text

from store import log
from store.dialects import ordered
from store.engine import reading
from store.events import CheckpointRejected
from store.health import Health, health
from store.projections import bring_up_to_date, replay
from tests import logs
from tests.logs import Seen
from tests.views.deriving import eventful, settings_with_tests, stored
from views import registry
from views.relations import RELATIONS

SETTINGS = settings_with_tests()
PROJECTIONS = registry.projections(SETTINGS)
VIEWS = {view.name: view for view in registry.views(SETTINGS)}


@pytest.fixture
def both(
    sqlite_engine: Engine, postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> tuple[Engine, Engine]:
    """The same log on each, derived every few steps: with NULL where a column can have one."""
    for engine in (sqlite_engine, postgres_engine):
        monkeypatch.setattr(log, "now", clock())
        for step, happened in enumerate(eventful(engine)):
            if step % 4 == 0:
                assert bring_up_to_date(engine, PROJECTIONS) == [], happened
        strange(engine)
        assert bring_up_to_date(engine, PROJECTIONS) == []
    return sqlite_engine, postgres_engine


def clock() -> Callable[[], str]:
    """A clock that shows the next second at each look."""
    ticks = count()

    def tick() -> str:
        seconds = next(ticks)
        return f"2026-01-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000Z"

    return tick


def strange(engine: Engine) -> None:
    """What leaves columns empty, and texts that sort by their bytes or by a language."""
    log.append(
        engine,
        CheckpointRejected(
            run="run", path="/checkpoints/run/odd", step=None, reason="no step", fingerprint="f"
        ),
    )
    logs.fail(engine, "of nothing", "unknown", ["easy"])
    logs.fail(engine, "of a suite that is not known", logs.arrive(engine, 700), ["ärger"])
    examples = [logs.example("Zoo", word, "ja", n) for n, word in enumerate(("_", "é", "B", "a"))]
    logs.register_suite(engine, examples, suite_id="Zoo")
    seen = [
        (one, Seen("ja" if k else "", error=None if k else "x")) for k, one in enumerate(examples)
    ]
    logs.evaluate(engine, logs.arrive(engine, 800, run="Ähre"), ["Zoo"], seen)


def test_every_table_and_view_is_equal_and_derived_anew_too(both: tuple[Engine, Engine]) -> None:
    tables = [stored(engine, PROJECTIONS) for engine in both]
    for name in tables[0]:
        assert repr(tables[1][name]) == repr(tables[0][name]), name
    shown = [everything(engine) for engine in both]
    for name in shown[0]:
        assert shown[0][name], name
        assert repr(shown[1][name]) == repr(shown[0][name]), name
    assert replay(both[1], PROJECTIONS) == []
    assert stored(both[1], PROJECTIONS) == tables[0]


def everything(engine: Engine) -> dict[str, Any]:
    """Each view in its order, each other SQL view in the order of all its columns, and more."""
    with reading(engine) as connection:
        found: dict[str, Any] = {name: view.rows(connection) for name, view in VIEWS.items()}
        for relation in RELATIONS:
            names = ", ".join(column.name for column in relation.columns)
            order = ordered(engine.dialect.name, names)
            query = text(f"SELECT {names} FROM {relation.name} ORDER BY {order}")
            found[relation.name] = [tuple(row) for row in connection.execute(query)]
        found["health"] = without_processes(health(connection, PROJECTIONS))
        found["counts"] = sorted(
            map(repr, VIEWS["alerts"].counts(connection, ["run", "severity", "kind"]))
        )
    return found


def without_processes(found: Health) -> Health:
    return found._replace(processes=[])


@pytest.mark.parametrize(
    ("terms", "wanted"),
    [
        ("run, step", "run NULLS FIRST, step NULLS FIRST"),
        ("at DESC, kind", "at DESC NULLS LAST, kind NULLS FIRST"),
        (
            "coalesce(a, 'x, y'), b <> 'c, d'",
            "coalesce(a, 'x, y') NULLS FIRST, b <> 'c, d' NULLS FIRST",
        ),
    ],
)
def test_orders_say_where_nulls_stand(terms: str, wanted: str) -> None:
    assert ordered("postgresql", terms) == wanted
    assert ordered("sqlite", terms) == terms
