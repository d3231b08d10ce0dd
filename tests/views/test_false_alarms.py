"""The budget of a whole run, and what is found, by simulation through the rule itself.

The seed is fixed. `python -m benchmarks.false_alarms` does the same with many more runs.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.false_alarms import Effect, World, changed, checkpoint, draw, quiet_runs
from settings import RegressionSettings

SETTINGS = RegressionSettings()


def seeded() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.mark.parametrize(
    ("world", "runs"), [(World(200, 3, 0.20, 0.4), 40), (World(1000, 3, 0.30, 0.6), 20)]
)
def test_a_run_without_a_change_has_a_false_regression_in_5_percent_of_cases_at_most(
    world: World, runs: int
) -> None:
    assert (SETTINGS.checkpoints, SETTINGS.false_alarms) == (50, 0.05)
    rates = quiet_runs(world, runs, seeded(), SETTINGS, checkpoints=50)
    assert rates.of == runs
    assert rates.regressed <= 0.05 * runs
    # The limits alone would do worse on 200 examples.
    assert world.examples > 200 or rates.beyond_limit >= 0.5 * runs


@pytest.mark.parametrize("effect", [Effect(loss=0.15), Effect(drop=0.10)])
def test_a_change_as_large_as_a_limit_is_found_at_200_examples(effect: Effect) -> None:
    rates = changed(World(200, 1, flips=0.05, jitter=0.2), effect, 300, seeded(), SETTINGS)
    assert rates.worse >= 0.95 * rates.of
    assert rates.ok <= 0.05 * rates.of
    # Beyond the limit as measured is half of them, since the truth is the limit itself.
    assert 0.35 < rates.regressed / rates.of < 0.65


@pytest.mark.parametrize("effect", [Effect(loss=0.20), Effect(drop=0.15)])
def test_a_change_beyond_a_limit_is_regressed_at_200_examples(effect: Effect) -> None:
    rates = changed(World(200, 1, flips=0.05, jitter=0.2), effect, 200, seeded(), SETTINGS)
    assert rates.regressed >= 0.9 * rates.of


def test_a_change_as_large_as_a_limit_is_seldom_called_ok_however_many_answers_flip() -> None:
    rates = changed(World(200, 1, 0.30, 0.6), Effect(drop=0.10), 300, seeded(), SETTINGS)
    assert rates.ok <= 0.05 * rates.of


def test_the_simulated_checkpoints_differ_as_much_as_they_are_said_to() -> None:
    world, random = World(20_000, flips=0.20, jitter=0.3), seeded()
    examples = draw(world, random)
    one, other = (checkpoint(examples, world, random) for _ in range(2))
    worse = checkpoint(examples, world, random, Effect(loss=0.15, drop=0.10))
    assert (one.right != other.right).mean() == pytest.approx(0.20, abs=0.01)
    assert one.right.mean() == pytest.approx(0.60, abs=0.02)
    assert np.std(np.log(one.loss / other.loss)) == pytest.approx(0.3, abs=0.01)
    assert worse.right.mean() - one.right.mean() == pytest.approx(-0.10, abs=0.01)
    assert worse.loss.mean() / one.loss.mean() == pytest.approx(1.15, abs=0.01)
