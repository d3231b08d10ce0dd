"""`milepost notify`: tells the places of [notify.to] of alerts, each alert once.

The log decides. A claim (AlertSending) goes in before each message, at the version of the place's
stream that was read, so of two processes one sends. How it ended goes in after it. Whoever dies in
between leaves a claim with no end, which nobody sends again: a message may then be missing, and
`show alerts` says so, but none comes twice, and none comes for ever.
"""

from __future__ import annotations

import os
import platform
import threading
import time

from sqlalchemy import Engine

from commands.bootstrap import opened
from commands.courier import Letter, address_of, hand_over
from commands.outbox import due, evaluated, letter, place_of
from commands.progress import News, say
from commands.supervisor import stop_on_signals
from errors import ConcurrencyError, NotifyFault, SettingsError
from settings import Workspace
from store import log
from store.engine import reading
from store.events import AlertNotSent, AlertSending, AlertSent, Notice
from store.liveness import Pulse
from store.projections import bring_up_to_date
from views import registry
from views.alerts import OPEN
from views.notices import notice_of
from views.words import count

TEST = Letter(
    "Milepost: a test",
    "This is what an alert looks like here. `milepost notify --test` sent it.",
    "warning",
)


def notify(workspace: Workspace, *, once: bool, test: bool) -> None:
    """Sends what is to be sent; unless `once`, looks again every interval.

    Raises SettingsError when no place is named, and NotifyFault when a message was not taken while
    `once` or `test`.
    """
    settings = workspace.settings.notify
    if not settings.to:
        raise SettingsError(
            f"{workspace.root / 'milepost.toml'} names no place to send alerts to. Name one under "
            '[notify], such as to = {phone = "ntfys://ntfy.sh/TOPIC"}; docs/alerts.md has more.'
        )
    if test:
        send_tests(workspace)
        return
    news = News()
    since = log.now()
    with (
        stop_on_signals() as stop,
        opened(workspace) as engine,
        Pulse(engine, "notify", on_orphaned=stop.set) as pulse,
    ):
        while not stop.is_set():
            faults = post(engine, workspace, since=since, now=log.now(), stop=stop)
            if once and faults:
                raise NotifyFault(". ".join(faults))
            news.tell([f"FAILED: {one}" for one in faults])
            pulse.doing = "; ".join([f"telling {', '.join(settings.to)} of alerts", *faults])
            if once:
                return
            stop.wait(settings.interval_seconds)


def send_tests(workspace: Workspace) -> None:
    """Sends a test to every place. Raises NotifyFault when one did not take it."""
    faults = []
    for place in workspace.settings.notify.to:
        try:
            _send(workspace, place, TEST)
        except NotifyFault as fault:
            faults.append(f"{place}: {fault}")
        else:
            say(f"{place}: sent")
    if faults:
        raise NotifyFault(f"not sent to {'; '.join(faults)}. Mend that place in [notify.to].")


def post(
    engine: Engine,
    workspace: Workspace,
    *,
    since: str,
    now: str,
    stop: threading.Event | None = None,
) -> list[str]:
    """One round over all places, with the views up to date. Returns what went wrong.

    `since` is when this process began to look, `now` the present. Once `stop` is set no other
    message is begun, so that none is cut off when time runs out.
    """
    faults: list[str] = []
    for place in workspace.settings.notify.to:
        if stop is not None and stop.is_set():
            return faults
        alerts, version, number = _look(engine, workspace, place, since=since, now=now)
        if not alerts:
            continue
        claim = AlertSending(
            place=place,
            number=number,
            alerts=tuple(alerts),
            host=platform.node(),
            pid=os.getpid(),
        )
        try:
            log.append(engine, claim, expected_version=version)
        except ConcurrencyError:
            continue  # another process tells this place
        fault = _tell(engine, workspace, claim)
        if fault is None:
            say(f"{place}: told of {count(len(alerts), 'alert')}")
        else:
            faults.append(f"{place} was not told of {count(len(alerts), 'alert')}: {fault}")
    return faults


def _look(
    engine: Engine, workspace: Workspace, place: str, *, since: str, now: str
) -> tuple[list[Notice], int, int]:
    """What to tell a place of, its stream's version, and the number of its next message."""
    known = registry.projections(workspace.settings)
    view = registry.find("alerts", registry.views(workspace.settings))
    needed = {one.name for one in registry.needed_by(view, known)}
    stopped = {one.name for one in bring_up_to_date(engine, known)}
    with reading(engine) as connection:
        stands = place_of(connection, place)
        if needed & stopped:
            return [], stands.version, stands.number
        rows = view.rows(connection, only={"status": (OPEN,)}, until=now)
        alerts = due(
            [notice_of(row) for row in rows],
            stands,
            evaluated(connection),
            workspace.settings.notify,
            since=since,
            now=now,
        )
    return alerts, stands.version, stands.number + 1


def _tell(engine: Engine, workspace: Workspace, claim: AlertSending) -> str | None:
    """Sends what was claimed, and puts into the log how it ended. Returns why it was not taken."""
    ids = tuple(one.alert_id for one in claim.alerts)
    began = time.monotonic()
    try:
        _send(workspace, claim.place, letter(claim.alerts))
    except NotifyFault as fault:
        reason = str(fault)
        log.append(
            engine,
            AlertNotSent(place=claim.place, number=claim.number, alerts=ids, reason=reason),
        )
        return reason
    seconds = time.monotonic() - began
    log.append(
        engine, AlertSent(place=claim.place, number=claim.number, alerts=ids, seconds=seconds)
    )
    return None


def _send(workspace: Workspace, place: str, what: Letter) -> None:
    settings = workspace.settings.notify
    address = address_of(settings.to[place].get_secret_value(), workspace.root)
    hand_over(address, what, settings.timeout_seconds)
