"""What sync says in the log: a checkpoint came, a round failed, the source answers again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from ingest.candidates import Candidate
from store import log
from store.engine import appending
from store.events import SyncCompleted, SyncFailed


class Journal(NamedTuple):
    """The log, for one source."""

    engine: Engine
    source: str

    def took(
        self, candidate: Candidate, target: Path, files: int, size: int, seconds: float
    ) -> SyncCompleted:
        """`candidate` is in `target` now: so many files, `size` bytes."""
        event = SyncCompleted(
            source=self.source,
            run=candidate.run,
            name=candidate.name,
            path=str(target),
            files=files,
            bytes=size,
            seconds=seconds,
            at=log.now(),
        )
        log.append(self.engine, event)
        return event

    def failed(
        self, candidate: Candidate | None, exit_code: int | None, message: str, seconds: float
    ) -> SyncFailed:
        """Puts the failure into the log, unless it stands there since the last success.

        So a host that is down all night is one event, not one for every round.
        """
        event = SyncFailed(
            source=self.source,
            run=candidate.run if candidate else None,
            name=candidate.name if candidate else None,
            rsync_exit_code=exit_code,
            message=message,
            seconds=seconds,
            at=log.now(),
        )
        with appending(self.engine) as connection:
            known = map(_content, self._failures(connection, event.stream))
            if _content(event) not in known:
                log.append_in(connection, event)
        return event

    def recovered(self, seconds: float) -> None:
        """Says that the source answers again, if it did not the last time."""
        event = SyncCompleted(
            source=self.source,
            run=None,
            name=None,
            path=None,
            files=0,
            bytes=0,
            seconds=seconds,
            at=log.now(),
        )
        with appending(self.engine) as connection:
            if self._failures(connection, event.stream):
                log.append_in(connection, event)

    def _failures(self, connection: Connection, stream: str) -> list[SyncFailed]:
        """What has failed since the last success."""
        success = log.latest_of(connection, SyncCompleted)
        found = log.read(
            connection,
            after=success.position if success else 0,
            types=(SyncFailed,),
            stream=stream,
        )
        return [one.event for one in found if isinstance(one.event, SyncFailed)]


def _content(event: SyncFailed) -> tuple[object, ...]:
    # Not the exit code: of a broken connection rsync says 12 or 255, whichever it sees first.
    return event.run, event.name, event.message
