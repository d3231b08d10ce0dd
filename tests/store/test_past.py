"""What a view said at an earlier position is what it says as of that position."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from errors import UsageError
from store import log, past
from store.engine import reading
from store.projections import bring_up_to_date
from tests import logs
from tests.views.deriving import eventful, settings_with_tests, stored
from views import registry

SETTINGS = settings_with_tests()
PROJECTIONS = registry.projections(SETTINGS)
VIEWS = registry.views(SETTINGS)


def shown(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    with reading(engine) as connection:
        return {view.name: view.rows(connection) for view in VIEWS}


def test_every_view_says_again_what_it_said_at_each_moment(engine: Engine) -> None:
    moments = []
    for happened in eventful(engine):
        assert bring_up_to_date(engine, PROJECTIONS) == []
        with reading(engine) as connection:
            moments.append((happened, log.head(connection), shown(engine)))
    now = stored(engine, PROJECTIONS)
    assert len(moments) > 15
    some = moments if engine.dialect.name == "sqlite" else moments[::5]  # it takes seconds
    for happened, position, rows in some:
        with past.as_of(engine, position) as earlier:
            assert bring_up_to_date(earlier, PROJECTIONS) == []
            assert shown(earlier) == rows, happened
    assert stored(engine, PROJECTIONS) == now


@pytest.mark.parametrize("name", [view.name for view in VIEWS])
def test_what_a_view_needs_is_enough_to_derive_it(sqlite_engine: Engine, name: str) -> None:
    engine = sqlite_engine  # what a view needs is the same on each database
    for _ in eventful(engine):
        pass
    assert bring_up_to_date(engine, PROJECTIONS) == []
    (view,) = (one for one in VIEWS if one.name == name)
    with reading(engine) as connection:
        end, rows = log.head(connection), view.rows(connection)
    with past.as_of(engine, end) as earlier:
        assert bring_up_to_date(earlier, registry.needed_by(view, PROJECTIONS)) == []
        with reading(earlier) as connection:
            assert view.rows(connection) == rows


def test_a_position_or_a_time_is_understood(engine: Engine) -> None:
    for step in (100, 200, 300):
        logs.arrive(engine, step)
    with reading(engine) as connection:
        times = [one.recorded_at for one in log.read(connection)]
        assert past.position_of(connection, "2") == 2
        assert past.position_of(connection, times[-1]) == 3
        assert past.position_of(connection, "2999-01-01") == 3
        assert past.describe(connection, 2).startswith(f"As of position 2 of 3 ({times[1]})")


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("4", "there is no position 4: the log goes from 1 to 3"),
        ("0", "there is no position 0"),
        ("yesterday", "'yesterday' is neither a position of the log nor a time"),
        ("1999-12-31", "nothing from before 1999-12-31T00:00:00.000Z"),
    ],
)
def test_what_is_outside_the_log_is_refused(engine: Engine, word: str, complaint: str) -> None:
    for step in (100, 200, 300):
        logs.arrive(engine, step)
    with reading(engine) as connection, pytest.raises(UsageError, match=complaint):
        past.position_of(connection, word)


def test_times_without_a_zone_are_utc() -> None:
    assert past.moment("2026-11-24T10:30") == "2026-11-24T10:30:00.000Z"
    assert past.moment("2026-11-24T10:30:00+01:00") == "2026-11-24T09:30:00.000Z"
