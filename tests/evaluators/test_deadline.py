"""Code that takes too long is stopped; code that does not is left alone, and so is the signal."""

from __future__ import annotations

import signal
import threading

import pytest

from evaluators.deadline import deadline


def endless() -> None:
    while True:
        pass


def test_what_takes_too_long_is_stopped() -> None:
    with (
        pytest.raises(TimeoutError, match=r"^it runs for more than 0\.05 seconds$"),
        deadline(0.05),
    ):
        endless()


def test_nothing_is_left_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with deadline(60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 59
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_another_thread_has_no_limit() -> None:
    done: list[bool] = []

    def work() -> None:
        with deadline(1e-6):
            done.append(sum(range(100_000)) == 4_999_950_000)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
