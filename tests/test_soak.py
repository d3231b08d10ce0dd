"""The soak in short: a trainer saves while sync, watch and evaluate are killed at random."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Growth, Sample, Trainer, grew, growths, owed, soak


@pytest.mark.soak
def test_every_checkpoint_is_evaluated_once_whatever_is_killed(tmp_path: Path) -> None:
    report = soak(tmp_path, seconds=40)
    assert not report.faults, str(report)
    assert report.kills.total() >= 2
    assert len(report.owed) >= 8


def test_a_checkpoint_is_owed_when_one_sync_had_ten_seconds_for_it(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer.whole = {1: 0.0, 2: 0.0, 3: 8.0, 4: 30.0}
    trainer.gone = {1: 9.0, 2: 11.0, 3: 28.0}
    first = [Sample(at, "sync", 1, 0, 0) for at in (0.0, 15.0)]
    second = [Sample(at, "sync", 2, 0, 0) for at in (20.0, 28.0)]
    assert owed(trainer, [*first, *second]) == {2, 4}


def test_a_leak_is_seen_and_noise_is_not() -> None:
    life = [Sample(second, "watch", 1, 100_000_000 + 1_000_000 * second, 9) for second in range(80)]
    (leak,) = growths(life)
    assert leak == Growth("watch", 1, 79, 129_500_000, 169_500_000, 9, 9)
    assert grew(leak)
    assert not grew(leak._replace(late_bytes=140_000_000))
    assert grew(leak._replace(late_bytes=140_000_000, late_files=14))
