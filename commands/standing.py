"""How each long-running process stands: running, down or never seen, from all that is known of it.

A process is known by its heartbeat, and where `milepost up` runs on this host by its roster.
"""

from __future__ import annotations

import platform
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import psutil

from commands.roster import Entry, Roster
from commands.supervisor import ending
from errors import UsageError
from store.liveness import Heartbeat
from store.log import written

NAMES = ("sync", "watch", "evaluate", "dashboard")
NOTIFY = "notify"  # stands only where it is set up, or was seen
NEEDED = ("sync", "watch", NOTIFY)
ANSWER_SECONDS = 2.0


class Standing(NamedTuple):
    """One process. `state` is running, down, never seen, or not set up (sync without a source).

    `since` (UTC, ISO 8601) is when it started, or when it went down; `memory_bytes` is what it
    holds resident. Both are None for a process on another host, and for one that is not there.
    """

    name: str
    state: str
    host: str | None = None
    pid: int | None = None
    since: str | None = None
    doing: str | None = None
    memory_bytes: int | None = None
    restarts: int | None = None
    exit_code: int | None = None
    last_error: str | None = None
    starts_again_at: str | None = None
    last_error_at: str | None = None

    @property
    def trouble(self) -> str | None:
        """What is wrong, when it is down under `milepost up`."""
        if self.state != "down" or self.exit_code is None:
            return None
        words = "" if self.last_error is None else f": {self.last_error.rstrip('.')}"
        mends = "" if self.exit_code != UsageError.exit_code else " That does not mend by itself."
        return (
            f"{self.name} {ending(self.exit_code)} at {self.since} (restarts: {self.restarts})"
            f"{words}.{mends} `milepost up` starts it again at {self.starts_again_at}"
        )


def standings(
    beats: Sequence[Heartbeat], roster: Roster | None, *, syncs: bool, notifies: bool = False
) -> list[Standing]:
    """How each of NAMES stands, and what notifies; says whether a source and a place are set."""
    entries = {} if roster is None else {one.name: one for one in roster.entries}
    found = []
    seen = any(one.process == NOTIFY for one in beats)
    for name in (*NAMES, NOTIFY) if notifies or seen else NAMES:
        mine = sorted((one for one in beats if one.process == name), key=lambda one: not one.alive)
        beat = mine[0] if mine else None
        entry = entries.get(name)
        if entry is not None and roster is not None:
            found.append(_supervised(entry, beat, roster))
        elif beat is not None:
            found.append(_alone(beat))
        else:
            unset = name == "sync" and not syncs
            found.append(Standing(name, "not set up" if unset else "never seen"))
    return found


def missing(found: Sequence[Standing]) -> list[str]:
    """What should run because others do, a sentence each."""
    running = [one.name for one in found if one.state == "running" and one.name != "dashboard"]
    return [
        f"{one.name} does not run, and {running[0]} does. Start `milepost {one.name}`, or "
        "`milepost up` for all"
        for one in found
        if one.name in NEEDED and running and one.state in ("down", "never seen")
        if one.exit_code is None
    ]


def _alone(beat: Heartbeat) -> Standing:
    if not beat.alive:
        return Standing(beat.process, "down", beat.host, since=beat.seen_at, doing=beat.doing)
    since, memory = _look(beat.pid) if beat.host == platform.node() else (None, None)
    return Standing(beat.process, "running", beat.host, beat.pid, since, beat.doing, memory)


def _supervised(entry: Entry, beat: Heartbeat | None, roster: Roster) -> Standing:
    if entry.pid is None:
        state, memory, doing = "down", None, None
    else:
        state, memory = "running", _look(entry.pid)[1]
        doing = beat.doing if beat is not None and beat.pid == entry.pid else "starting"
        if entry.name == "dashboard":
            doing = _answers(roster.address)
    return Standing(
        entry.name,
        state,
        roster.host,
        entry.pid,
        entry.since,
        doing,
        memory,
        entry.restarts,
        entry.exit_code,
        entry.last_error,
        entry.starts_again_at,
        entry.last_error_at,
    )


def _look(pid: int) -> tuple[str | None, int | None]:
    """When a process of this host started, and its resident bytes; None for one that is gone."""
    try:
        process = psutil.Process(pid)
        since = datetime.fromtimestamp(process.create_time(), UTC)
        return written(since), process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None, None


def _answers(address: str) -> str:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=ANSWER_SECONDS):
            return f"answering at {address}"
    except (urllib.error.URLError, OSError) as error:
        return f"not answering at {address}: {error}"
