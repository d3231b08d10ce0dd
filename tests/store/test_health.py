"""What `status` knows of the last sync."""

from __future__ import annotations

from sqlalchemy import Engine

from store import log
from store.engine import reading
from store.health import health
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from tests.views.deriving import sync_completed, sync_failed


def syncs(engine: Engine) -> tuple[bool, str | None]:
    """Whether a sync ever succeeded, and the error of the newest one."""
    bring_up_to_date(engine, [LIFECYCLE])
    with reading(engine) as connection:
        state = health(connection, [LIFECYCLE])
    assert (state.sync_error is not None) == any(
        "last sync failed" in one for one in state.troubles
    )
    return state.last_sync is not None, state.sync_error


def test_the_newest_sync_counts(engine: Engine) -> None:
    assert syncs(engine) == (False, None)
    log.append(engine, sync_failed("1"))
    assert syncs(engine) == (False, "connection refused")
    log.append(engine, sync_failed("2", "disk full"))
    assert syncs(engine) == (False, "disk full")
    log.append(engine, sync_completed("3"))
    assert syncs(engine) == (True, None)
    log.append(engine, sync_failed("4"))
    assert syncs(engine) == (True, "connection refused")
