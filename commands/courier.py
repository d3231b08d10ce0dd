"""Hands one message to a service through apprise, in a process of its own.

A process, because one that never answers can be ended only so, and because apprise writes addresses
into its logs: of all that it prints, only whether the message was taken is kept.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from errors import NotifyFault

if TYPE_CHECKING:
    from settings import Severity  # whose import would be most of the child's start

HTTP_ERROR = re.compile(r"error=(\d{3})\b")
START_SECONDS = 20.0  # for Python and apprise to be there, before the service's own time begins


class Letter(NamedTuple):
    """What is sent: plain text."""

    title: str
    body: str
    severity: Severity


def address_of(written: str, root: Path) -> str:
    """The address that [notify.to] gives, or names as env:NAME or file:PATH (from `root`).

    Raises NotifyFault, without anything secret, when there is none.
    """
    kind, _, name = written.partition(":")
    if kind == "env":
        found = os.environ.get(name, "").strip()
        if not found:
            raise NotifyFault(f"the environment has no {name}")
        return found
    if kind == "file":
        file = root / Path(name).expanduser()
        try:
            lines = file.read_text(encoding="utf-8").split("\n", 1)
        except (OSError, UnicodeDecodeError) as error:
            words = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise NotifyFault(f"{file} cannot be read: {words}") from None
        if not lines[0].strip():
            raise NotifyFault(f"the first line of {file} is empty")
        return lines[0].strip()
    return written


def hand_over(address: str, letter: Letter, seconds: float) -> None:
    """Returns when a service has taken the letter. Raises NotifyFault with a reason if none did.

    `seconds` are the service's, from connecting to its answer. The reason never has the address.
    """
    order = json.dumps({"address": address, "seconds": seconds, **letter._asdict()})
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "commands.courier"],
            input=order.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS + seconds,
            check=False,
            start_new_session=True,  # Ctrl-C in a terminal is for the one who waits for it
        )
    except subprocess.TimeoutExpired:
        raise NotifyFault(f"no answer within {seconds:g} s") from None
    reason = ended.stdout.decode().strip()
    if ended.returncode != 0:
        raise NotifyFault(reason or "apprise could not send it")


def main() -> int:
    """The child: reads the order from standard input, prints why the message was not taken."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    order = json.load(sys.stdin)
    listener = _Listener()
    logger = logging.getLogger("apprise")
    logger.addHandler(listener)
    logger.propagate = False
    # By the name of who writes, and without pictures that whoever reads would fetch elsewhere.
    service = Apprise(asset=AppriseAsset(app_id="Milepost", image_url_mask=""))
    if not service.add(order["address"]):
        print("apprise cannot read the address")
        return 1
    for one in service:
        one.socket_connect_timeout = one.socket_read_timeout = order["seconds"]
    kind = NotifyType.FAILURE if order["severity"] == "critical" else NotifyType.WARNING
    # Said to be text, it keeps its lines in mail, and names nobody in a chat by a "<!channel>".
    taken = service.notify(
        body=order["body"],
        title=order["title"],
        notify_type=kind,
        body_format=NotifyFormat.TEXT,
    )
    if taken:
        return 0
    answered = f"the service answered with HTTP {listener.status}"
    seconds = f"{order['seconds']:g} s"
    print(answered if listener.status else f"refused, or no answer within {seconds}")
    return 1


class _Listener(logging.Handler):
    """Takes the HTTP status, and nothing else, from what apprise says."""

    status: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Looks for a status."""
        found = HTTP_ERROR.search(record.getMessage())
        if found is not None:
            self.status = found.group(1)


if __name__ == "__main__":
    sys.exit(main())
