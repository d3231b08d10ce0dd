"""What came and what was taken is read from the log once, and then only what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from ingest.ledger import Arrival, Ledger, Taken
from store import events, log
from store.engine import reading
from store.events import CheckpointFound, CheckpointRemoved, Event, SyncCompleted
from tests.logs import arrive


def found(checkpoint_id: str, path: str) -> CheckpointFound:
    return CheckpointFound(checkpoint_id=checkpoint_id, run="r", step=1, path=path, at=log.now())


def removed(checkpoint_id: str, path: str) -> CheckpointRemoved:
    return CheckpointRemoved(checkpoint_id=checkpoint_id, path=path, reason="gone", at=log.now())


def synced(run: str | None, name: str | None) -> SyncCompleted:
    return SyncCompleted(
        source="host:/runs",
        run=run,
        name=name,
        path=None,
        files=0,
        bytes=0,
        seconds=0.0,
        at=log.now(),
    )


def test_it_holds_what_is_present_and_no_more(engine: Engine) -> None:
    ledger = Ledger()
    came = arrive(engine, 1, path="/w/r/checkpoint-1")
    ledger.refresh(engine)
    assert ledger.present == [Arrival(came, Path("/w/r/checkpoint-1"))]
    log.append(engine, found(came, "/w/s/checkpoint-1"))
    log.append(engine, removed(came, "/w/r/checkpoint-1"))
    ledger.refresh(engine)
    assert ledger.present == [Arrival(came, Path("/w/s/checkpoint-1"))]
    assert ledger.holds(Path("/w/s/checkpoint-1"), came)
    assert not ledger.holds(Path("/w/r/checkpoint-1"), came)
    log.append(engine, removed(came, "/w/s/checkpoint-1"))
    ledger.refresh(engine)
    assert ledger.present == []


def test_a_folder_may_hold_two_until_it_was_looked_at(engine: Engine) -> None:
    ledger = Ledger()
    ids = [arrive(engine, 1, content=one, path="/w/r/checkpoint-1") for one in ("a", "b")]
    ledger.refresh(engine)
    assert [arrival.checkpoint_id for arrival in ledger.present] == ids


def taken(engine: Engine, known: Taken) -> set[tuple[str, str]]:
    with reading(engine) as connection:
        return set(known.read(connection))


def test_what_sync_brought_and_what_arrived_is_taken(engine: Engine) -> None:
    known = Taken()
    assert taken(engine, known) == set()
    log.append(engine, synced("r", "checkpoint-1"))
    log.append(engine, synced(None, None))
    arrive(engine, 2, run="s")
    assert taken(engine, known) == {("r", "checkpoint-1"), ("s", "checkpoint-2")}


@pytest.mark.parametrize("kind", [Taken, Ledger])
def test_an_event_is_read_once(
    engine: Engine, kind: type[Taken] | type[Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(*fields: Any) -> Event:
        loaded.append(fields[0])
        return events.load(*fields)

    monkeypatch.setattr(log, "load", load)
    known = kind()
    for step in range(3):
        arrive(engine, step)
        for _ in range(2):
            with reading(engine) as connection:
                known.read(connection)
    assert loaded == 3 * ["CheckpointArrived"]
