"""Processes that are killed in the middle leave nothing lost, doubled or half."""

from __future__ import annotations

from pathlib import Path

from tests.store import crash

KILLS = 10
SEED = 20_240_601


def test_kills_at_random_points_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seen = crash.run(KILLS, SEED, tmp_path)
    assert seen.kills == {"while appending": 6, "while replaying": 2, "while backing up": 2}
    assert seen.acknowledged > 0
    assert seen.predictions > 0
    assert seen.whole_comparisons > 0
