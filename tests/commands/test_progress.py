"""What a process prints where no person watches: once, with the time in front."""

from __future__ import annotations

import pytest

from commands.progress import WINDOW_SECONDS, Evaluations, News, Pace, at_speed, time_left


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


def test_a_pace_is_that_of_the_last_seconds_and_tells_the_time_left() -> None:
    pace = Pace()
    seen = []
    for done, at in ((0, 0.0), (10, 10.0), (50, 10.0 + WINDOW_SECONDS)):
        pace.note(done, at)
        seen.append((pace.per_second, pace.seconds_left(100)))
    assert seen == [(None, None), (1.0, 90.0), (40 / WINDOW_SECONDS, WINDOW_SECONDS * 5 / 4)]
    assert Pace().seconds_left(100) is None


def test_an_evaluation_says_how_far_it_is_and_how_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.0, 102.0])
    monkeypatch.setattr("commands.progress.time.monotonic", lambda: next(clock))
    with Evaluations() as evaluations:
        first = evaluations.show("run step 800", 50, 400)
        later = evaluations.show("run step 800", 120, 400)
    assert first == "run step 800: 50 of 400 examples"
    assert later == "run step 800: 120 of 400 examples, 35/s, 8 s left"
