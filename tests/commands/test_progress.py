"""What a process prints where no person watches: once, with the time in front."""

from __future__ import annotations

import pytest

from commands.progress import News, at_speed, time_left


def test_what_is_so_is_said_once_until_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    news = News()
    for lines in (["a"], ["a", "b"], ["a", "b"], [], ["a"]):
        news.tell(lines)
    assert [line.split(" ", 2)[2] for line in capsys.readouterr().out.splitlines()] == [
        "a",
        "b",
        "a",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.4, ", 0 s left"),
        (59.2, ", 59 s left"),
        (61.0, ", 1 min left"),
        (7380.0, ", 2 h 3 min left"),
    ],
)
def test_a_time_that_is_not_known_is_not_said(seconds: float | None, words: str) -> None:
    assert time_left(seconds) == words


def test_a_speed_that_is_not_known_is_not_said() -> None:
    assert at_speed(None) == ""
    assert at_speed(2_345_678.9) == ", 2.3 MB/s"
