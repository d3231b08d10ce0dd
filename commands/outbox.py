"""Which alerts a place is to be told of now, and in what words. Nothing here sends anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, select

from commands.courier import Letter
from settings import NotifySettings
from store.events import Notice
from store.lifecycle import CHECKPOINT, EVALUATION
from store.log import written
from views.notices import DELIVERY, FAILED, PLACE
from views.scope import ENDED
from views.words import count

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 3600.0
LISTED = 10
LONGEST_DETAIL = 600
CRITICAL = "critical"


class Place(NamedTuple):
    """How a place stands: see views.notices; all zero and None before its first message.

    `told` are the alerts that it has a message about, or may have.
    """

    version: int
    number: int
    first_at: str | None
    last_at: str | None
    failures: int
    told: frozenset[str]


class Evaluated(NamedTuple):
    """When the evaluation of a step ended; times are as the log writes them."""

    step: int
    at: str


def place_of(connection: Connection, name: str) -> Place:
    """What the log says of a place."""
    told = connection.scalars(
        select(DELIVERY.c.alert_id).where(DELIVERY.c.place == name, DELIVERY.c.state != FAILED)
    )
    row = connection.execute(select(PLACE).where(PLACE.c.place == name)).one_or_none()
    if row is None:
        return Place(0, 0, None, None, 0, frozenset(told))
    return Place(row.version, row.number, row.first_at, row.last_at, row.failures, frozenset(told))


def evaluated(connection: Connection) -> dict[str, list[Evaluated]]:
    """The evaluations that ended, well or not, by run."""
    rows = connection.execute(
        select(CHECKPOINT.c.run, CHECKPOINT.c.step, EVALUATION.c.finished_at)
        .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
        .where(EVALUATION.c.status.in_(ENDED))
    )
    found: dict[str, list[Evaluated]] = {}
    for run, step, at in rows:
        found.setdefault(run, []).append(Evaluated(step, at))
    return found


def due(
    alerts: Sequence[Notice],
    place: Place,
    ended: Mapping[str, Sequence[Evaluated]],
    settings: NotifySettings,
    *,
    since: str,
    now: str,
) -> list[Notice]:
    """What one message would tell the place of now, the gravest first; nothing while it pauses.

    `alerts` are the open ones; `since` is when the asking process began to look.
    """
    if place.last_at is not None and now < _next(place.last_at, place.failures, settings):
        return []
    # A place that is new is told how things stand, not how they once stood.
    listening = min(since, place.first_at or since)
    ripe = _later(now, -60 * settings.after_minutes)
    found = [
        one
        for one in alerts
        if one.alert_id not in place.told
        and one.kind in settings.kinds
        and settings.severity in ("warning", one.severity)
        and one.raised_at <= ripe
        and _is_news(one, ended.get(one.run or "", ()), listening)
    ]
    return sorted(found, key=lambda one: (one.severity != CRITICAL, one.raised_at))


def _is_news(one: Notice, ended: Collection[Evaluated], listening: str) -> bool:
    """Whether an alert is about the newest step of its run, or was when it was raised since."""
    if one.step is None or one.checkpoint_id is None:
        return True
    later = [other.at for other in ended if other.step > one.step]
    return not later or (one.raised_at >= listening and one.raised_at < min(later))


def _next(last_at: str, failures: int, settings: NotifySettings) -> str:
    """When a place may have its next message."""
    if failures == 0:
        return _later(last_at, 60 * settings.pause_minutes)
    # 2 ** 7 pauses are past the longest; more would only overflow.
    pause = FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 7)
    return _later(last_at, min(pause, LONGEST_PAUSE_SECONDS))


def _later(moment: str, seconds: float) -> str:
    return written(datetime.fromisoformat(moment) + timedelta(seconds=seconds))


def letter(alerts: Sequence[Notice]) -> Letter:
    """One message about at least one alert; of many it lists the first."""
    critical = [one for one in alerts if one.severity == CRITICAL]
    severity = critical[0].severity if critical else alerts[0].severity
    if len(alerts) == 1:
        title = f"Milepost: {alerts[0].title}" + _of_run(alerts[0])
    else:
        grave = f", {len(critical)} critical" if critical else ""
        title = f"Milepost: {count(len(alerts), 'alert')}{grave}"
    parts = [_paragraph(one) for one in alerts[:LISTED]]
    if len(alerts) > LISTED:
        parts.append(f"And {len(alerts) - LISTED} more: `milepost show alerts` lists them.")
    return Letter(title, "\n\n".join(parts), "critical" if severity == CRITICAL else "warning")


def _paragraph(one: Notice) -> str:
    detail = one.detail if len(one.detail) <= LONGEST_DETAIL else f"{one.detail[:LONGEST_DETAIL]} …"
    return (
        f"{one.severity.upper()}: {one.title}{_of_run(one)}\n{detail}\n"
        f"Since {one.raised_at[:19].replace('T', ' ')} UTC. "
        f"milepost acknowledge {one.alert_id} --note …"
    )


def _of_run(one: Notice) -> str:
    return "" if one.run is None else f" (run {one.run})"
