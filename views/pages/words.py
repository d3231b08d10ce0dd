"""Numbers, times and names as a person reads them. None becomes words, never a number."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from settings import Workspace
from views.words import NOT_MEASURED as NOT_MEASURED
from views.words import ago as ago
from views.words import count as count
from views.words import listed as listed
from views.words import signed
from views.words import size as size

# What Markdown, or Streamlit's own additions to it, would read as more than text.
_MARKUP = frozenset("\\`*_{}[]()<>#+-.!|~$:^=&")


def percent(share: float | None) -> str:
    """A share as per cent, with a decimal below ten: 0.86 is 86 %."""
    if share is None:
        return NOT_MEASURED
    number = 100 * share
    return f"{number:.0f} %" if number >= 10 or number == 0 else f"{number:.1f} %"


def signed_percent(change: float | None) -> str:
    """A relative change as per cent with its sign: 0.59 is +59 %."""
    return NOT_MEASURED if change is None else f"{_signed(change)} %"


def points(change: float | None) -> str:
    """A difference of shares in percentage points with its sign."""
    return NOT_MEASURED if change is None else f"{_signed(change)} points"


def _signed(change: float) -> str:
    """A hundred times a change with its sign, and no sign at all when it would read as zero."""
    return "±0" if abs(change) < 0.0005 else signed(100 * change)


def nats(loss: float | None) -> str:
    """A loss with its unit."""
    return NOT_MEASURED if loss is None else f"{loss:.3f} nats"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval of a share."""
    if low is None or high is None:
        return NOT_MEASURED
    return f"{100 * low:.0f}–{100 * high:.0f} %"


def seconds(duration: float | None) -> str:
    """A duration; minutes from two minutes on."""
    if duration is None:
        return NOT_MEASURED
    if duration < 120:
        return f"{duration:.1f} s"
    return f"{duration / 60:.0f} min"


def named(word: str | None) -> str | None:
    """A word of the views as a person writes it: near_miss is near miss."""
    return word and word.replace("_", " ")


def exact(when: str, zone: str | None = None) -> str:
    """A UTC time in ISO 8601 as date and time in `zone`, or in UTC."""
    place: tzinfo = ZoneInfo(zone) if zone else UTC
    return f"{datetime.fromisoformat(when).astimezone(place):%Y-%m-%d %H:%M:%S %Z}"


def plain(text: str) -> str:
    """`text` so that Markdown shows it as it is."""
    return "".join(f"\\{one}" if one in _MARKUP else one for one in text).replace("\n", " ")


def command(workspace: Workspace, *words: str) -> str:
    """A `milepost` command line that works from any folder."""
    return shlex.join(["milepost", *words, "--workspace", str(workspace.root)])
