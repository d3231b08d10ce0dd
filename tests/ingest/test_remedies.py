"""How rsync ended decides what happens next, and what a person is told."""

from __future__ import annotations

import pytest

from ingest.remedies import Answer, answer_to, explain, is_gone, tells, words
from ingest.rsync import Ended

BROKE = """\
rsync: connection unexpectedly closed ({n} bytes received so far) [Receiver]
rsync error: error in rsync protocol data stream (code 12) at io.c(285) [Receiver=3.5.0]"""
DENIED = 'rsync: [sender] send_files failed to open "/runs/model (1).bin": Permission denied (13)'
GONE = 'rsync: [sender] change_dir "/runs/checkpoint-10" failed: No such file or directory (2)'
FULL = 'rsync: [receiver] write failed on "/here/model.safetensors": No space left on device (28)'


def ended(code: int, said: str = "") -> Ended:
    return Ended(code, "", said)


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (0, Answer.DONE),
        (24, Answer.NOT_YET),
        (23, Answer.NOT_YET),
        *((code, Answer.AGAIN) for code in (10, 12, 30, 35, 255)),
        *((code, Answer.END) for code in (1, 2, 5, 11, 14, 20, -9, -15)),
    ],
)
def test_without_telling_words_the_exit_code_decides(code: int, answer: Answer) -> None:
    assert answer_to(ended(code)) is answer


@pytest.mark.parametrize(
    ("code", "said", "answer", "remedy"),
    [
        (23, DENIED, Answer.SKIP, "read this at the source"),
        (23, GONE, Answer.NOT_YET, "Check [sync] source"),
        (11, FULL, Answer.FULL, "Free some space here"),
        (12, f"{FULL}\n{BROKE}", Answer.FULL, "Free some space here"),
        (11, FULL.replace("(28)", "(122)"), Answer.FULL, "Free some space here"),
        (
            11,
            'rsync: [Receiver] mkdir "/here" failed: Permission denied (13)',
            Answer.END,
            "write to the folder of the checkpoints",
        ),
        (23, 'rsync: [sender] read errors mapping "/a": E/A (5)', Answer.SKIP, "look at it"),
        (255, "ssh: connect to host a port 22: Connection refused", Answer.AGAIN, "sshd"),
        (255, "ssh: connect to host a port 22: No route to host", Answer.END, "reached"),
        (255, "ssh: Could not resolve hostname a: Name or service not known", Answer.END, "name"),
        (
            255,
            "ssh: Could not resolve hostname a: Temporary failure in name resolution",
            Answer.AGAIN,
            "network",
        ),
        (255, "me@a: Permission denied (publickey,password).", Answer.END, "ssh-copy-id"),
        (255, "Host key verification failed.", Answer.END, "Connect once by hand"),
        (255, "kex_exchange_identification: Connection reset by peer", Answer.AGAIN, ""),
        (127, "zsh:1: command not found: rsync\n(code 127)", Answer.END, "not installed"),
        (12, "sh: 1: rsync: not found", Answer.END, "not installed"),
        (14, "rsync: [Receiver] Failed to exec ssh: No such file (2)", Answer.END, "client"),
        (2, "protocol version mismatch -- is your shell clean?", Answer.END, "quiet"),
    ],
)
def test_telling_words_decide_and_bring_their_remedy(
    code: int, said: str, answer: Answer, remedy: str
) -> None:
    one = ended(code, said)
    assert answer_to(one) is answer
    assert remedy in explain(one)
    assert said.splitlines()[0] in explain(one)
    assert tells(one)


def test_a_number_in_a_files_name_is_no_error_number() -> None:
    assert answer_to(ended(24, 'file has vanished: "/runs/model (13)"')) is Answer.NOT_YET
    assert answer_to(ended(23, 'symlink has no referent: "/runs/model (28)"')) is Answer.NOT_YET


def test_a_broken_stream_says_the_same_however_far_it_came() -> None:
    one, other = (ended(12, BROKE.format(n=n)) for n in (0, 183402))
    assert words(one) == words(other)
    assert words(one).startswith("rsync error: error in rsync protocol data stream (code 12)")
    assert not tells(one)


def test_where_there_are_no_words_the_signal_or_the_code_is_said() -> None:
    assert words(ended(-9)) == "rsync was ended by signal 9"
    assert words(ended(20)) == "rsync ended with exit code 20"


def test_words_are_fit_for_a_log_and_a_terminal() -> None:
    said = b"rsync: \x1b[31m/runs/caf\xe9: gone\r\n\n".decode("utf-8", "surrogateescape")
    assert words(ended(23, said)) == "rsync: [31m/runs/caf\\udce9: gone"


def test_only_the_folder_itself_missing_counts_as_gone() -> None:
    assert is_gone(ended(23, GONE))
    assert not is_gone(ended(24, 'file has vanished: "/runs/checkpoint-10/config.json"'))
    assert not is_gone(ended(23, DENIED))
