from __future__ import annotations

import pytest

from data.schedule import Schedule

SCHEDULE = Schedule(steps=100, spike_end=70, spike_steps=4, spike_factor=6.0)


def test_warm_up_rises_evenly_to_the_peak() -> None:
    assert [SCHEDULE.factor(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_rate_falls_from_the_peak_to_its_floor() -> None:
    factors = [SCHEDULE.factor(step) for step in range(5, 101) if not 66 <= step < 70]
    assert factors[0] == 1.0
    assert factors[-1] == pytest.approx(0.02)
    assert factors == sorted(factors, reverse=True)


def test_with_a_quarter_of_the_way_left_an_eighth_of_the_height_is_left() -> None:
    # 100 steps lie between the end of the warm-up, at 5, and the end; (1/4) ** 1.5 = 1/8.
    assert Schedule(105, 999, 0, 1.0).factor(80) == pytest.approx(0.02 + 0.98 / 8)


def test_the_spike_is_the_last_steps_before_its_save_and_no_others() -> None:
    assert [step for step in range(100) if SCHEDULE.factor(step) == 6.0] == [66, 67, 68, 69]


def test_after_the_spike_the_rate_is_what_it_would_have_been() -> None:
    calm = Schedule(steps=100, spike_end=70, spike_steps=0, spike_factor=6.0)
    assert SCHEDULE.factor(65) == calm.factor(65)
    assert SCHEDULE.factor(70) == calm.factor(70)
