"""What rsync's end means for a checkpoint and for the round, and what a person can do about it.

The exit codes are those of man rsync, EXIT VALUES; 255 is ssh's own. The numbers in round brackets
are errno's, the same in every language of the other host.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from ingest.rsync import VANISHED, Ended


class Answer(Enum):
    """What to do after rsync has ended."""

    DONE = "it is here"
    NOT_YET = "it is not complete yet: look again in the next round"
    AGAIN = "the connection broke: try again at once"
    SKIP = "this checkpoint waits for a person; others may be well"
    FULL = "the disk here is full"
    END = "nothing more can come in this round"


class _Trouble(NamedTuple):
    sign: re.Pattern[str]
    answer: Answer
    remedy: str


_GONE = r"(?:change_dir|link_stat) [^\n]*\(2\)$"

# The first sign that rsync's words show decides.
_TROUBLES = tuple(
    _Trouble(re.compile(sign, re.MULTILINE), answer, remedy)
    for sign, answer, remedy in (
        (
            r"REMOTE HOST IDENTIFICATION HAS CHANGED",
            Answer.END,
            "The host shows another key than before. If that is meant (it was installed anew), "
            "take the old key away with `ssh-keygen -R HOST`, then connect once by hand.",
        ),
        (
            r"Host key verification failed",
            Answer.END,
            "The host's key is not known here. Connect once by hand, with `ssh HOST`, and compare "
            "its fingerprint.",
        ),
        (
            r"Permission denied \([a-z]",
            Answer.END,
            "The host does not let this user in. Bring the public key there with "
            "`ssh-copy-id HOST`, or name the right key in [sync] ssh_options: "
            '"IdentityFile=FILE".',
        ),
        (
            r"Temporary failure in name resolution",
            Answer.AGAIN,
            "The host's name could not be looked up. Is this machine's network up?",
        ),
        (
            r"Could not resolve hostname",
            Answer.END,
            "No host has this name. Check the host in [sync] source.",
        ),
        (
            r"Bad configuration option|command-line line|keyword .* extra arguments",
            Answer.END,
            "ssh does not know such an option. Check [sync] ssh_options.",
        ),
        (
            r"Connection refused",
            Answer.AGAIN,
            "Nothing answers there. Does sshd run on the trainer's host, and on this port?",
        ),
        (
            r"Connection timed out|Operation timed out|No route to host|Network is unreachable",
            Answer.END,
            "The host cannot be reached. Is it up, and is this machine's network?",
        ),
        (
            r"Failed to exec",
            Answer.END,
            "ssh is not installed here: apt-get install openssh-client.",
        ),
        (
            r"rsync: (?:command )?not found|\(code 127\)",
            Answer.END,
            "rsync is not installed on the trainer's host: apt-get install rsync there.",
        ),
        (
            r"is your shell clean",
            Answer.END,
            "The login shell on the trainer's host prints something of its own. Keep it quiet "
            "where no person logs in: `ssh HOST true` must print nothing.",
        ),
        # EFBIG, ENOSPC, EDQUOT.
        (
            r"\((?:27|28|122)\)$",
            Answer.FULL,
            "Free some space here; what had come of the checkpoint was deleted, and it is fetched "
            "anew.",
        ),
        # EPERM, EACCES, EROFS.
        (
            r"\[(?i:receiver|generator)[^\n]*\((?:1|13|30)\)$",
            Answer.END,
            "Let the user that runs Milepost write to the folder of the checkpoints.",
        ),
        (
            r"\((?:1|13)\)$",
            Answer.SKIP,
            "Let the user that ssh logs in as read this at the source.",
        ),
        (
            r"\(5\)$",
            Answer.SKIP,
            "A disk does not give back what is on it: look at it.",
        ),
        (
            _GONE,
            Answer.NOT_YET,
            "There is no such folder at the source. Check [sync] source.",
        ),
    )
)

# What the exit code alone says, for words that show no sign above: the stream broke or stalled.
_BY_CODE = {
    0: Answer.DONE,
    VANISHED: Answer.NOT_YET,
    23: Answer.NOT_YET,
    **dict.fromkeys((10, 12, 30, 35, 255), Answer.AGAIN),
}

# These say only that there was an error, or a number that differs from one time to the next.
_IDLE = re.compile(
    r"rsync: (?:\[\w+\] )?(?:connection unexpectedly closed|[^\n]*: Broken pipe)[^\n]*"
    r"|rsync error: [^\n]*|\(see the rsync manpage[^\n]*|@{20,}"
)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def answer_to(ended: Ended) -> Answer:
    """What `ended` asks for."""
    if ended.exit_code in (0, VANISHED):
        return _BY_CODE[ended.exit_code]
    trouble = _trouble(ended)
    return trouble.answer if trouble else _BY_CODE.get(ended.exit_code, Answer.END)


def explain(ended: Ended) -> str:
    """rsync's or ssh's own last words, and the remedy where one is known."""
    trouble = _trouble(ended)
    return f"{words(ended)}\n{trouble.remedy}" if trouble else words(ended)


def words(ended: Ended) -> str:
    """The lines of rsync's last words that say something, fit for a log and a terminal."""
    lines = _lines(ended)
    if telling := [line for line in lines if not _IDLE.fullmatch(line)]:
        return "\n".join(telling)
    if ended.exit_code < 0:
        return f"rsync was ended by signal {-ended.exit_code}"
    summary = [line for line in lines if line.startswith("rsync error: ")]
    return summary[-1] if summary else f"rsync ended with exit code {ended.exit_code}"


def tells(ended: Ended) -> bool:
    """Whether the words say more than that there was an error."""
    return any(not _IDLE.fullmatch(line) for line in _lines(ended))


def is_gone(ended: Ended) -> bool:
    """Whether rsync found that the folder it should copy is not there."""
    return ended.exit_code == 23 and bool(re.search(_GONE, ended.last_words, re.MULTILINE))


def _lines(ended: Ended) -> list[str]:
    text = ended.last_words.encode("utf-8", "backslashreplace").decode("utf-8")
    return [clean for line in text.splitlines() if (clean := _CONTROL.sub("", line).strip())]


def _trouble(ended: Ended) -> _Trouble | None:
    return next((one for one in _TROUBLES if one.sign.search(ended.last_words)), None)
