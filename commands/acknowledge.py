"""`milepost acknowledge`: a person has seen an alert, and says what comes of it."""

from __future__ import annotations

import getpass

from commands.bootstrap import opened
from commands.progress import say
from errors import UsageError
from settings import Workspace
from store import log
from store.engine import reading
from store.events import AlertAcknowledged
from store.projections import bring_up_to_date
from views import registry
from views.alerts import RESOLVED
from views.notices import notice_of

LEAST_DIGITS = 4
LISTED = 5


def acknowledge(workspace: Workspace, word: str, note: str) -> None:
    """Appends the acknowledgement of the alert whose id begins with `word`.

    Raises UsageError unless exactly one does, for an alert that is over, and for an empty note.
    """
    if not note.strip():
        raise UsageError("--note is empty: say what comes of it, for those who read it later.")
    with opened(workspace) as engine:
        bring_up_to_date(engine, registry.projections(workspace.settings))
        view = registry.find("alerts", registry.views(workspace.settings))
        with reading(engine) as connection:
            rows = view.rows(connection)
        # A script that takes the id from CSV brings a carriage return with it.
        word = word.strip()
        named = [one for one in rows if one["alert_id"].startswith(word.lower())]
        found = named if len(word) >= LEAST_DIGITS else []
        current = [one for one in found if one["status"] != RESOLVED]
        if len(current) != 1:
            raise UsageError(_why_not(word, [one["title"] for one in found], rows))
        (row,) = current
        event = AlertAcknowledged(
            alert=notice_of(row), note=note.strip(), by=getpass.getuser(), at=log.now()
        )
        log.append(engine, event)
        bring_up_to_date(engine, view.projections[:1])
    say(f"acknowledged: {row['title']}. It stays in the list, and is not sent again.")


def _why_not(word: str, titles: list[str], rows: list[dict[str, str]]) -> str:
    open_ones = [one for one in rows if one["status"] != RESOLVED]
    if len(titles) == 1:
        return f"{titles[0]}: that is over already."
    if titles:
        return f"{word!r} may be {len(titles)} alerts. Give more digits of the id."
    if not open_ones:
        return f"there is no alert {word!r}: none stands at all."
    known = ", ".join(f"{one['alert_id']} ({one['title']})" for one in open_ones[:LISTED])
    more = f" and {len(open_ones) - LISTED} more" if len(open_ones) > LISTED else ""
    return (
        f"no alert has the id {word!r} (at least {LEAST_DIGITS} digits). Standing: {known}{more}."
    )
