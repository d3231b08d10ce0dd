"""Names say steps, and places say runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.layout import candidates, run_of, step_of, survey
from tests.ingest.folders import write_json


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-0", 0),
        ("checkpoint-1000", 1000),
        ("checkpoint_1000", 1000),
        ("checkpoint-1000-20260131-2359", 1000),
        ("step_7", 7),
        ("step-7", 7),
        ("global_step7", 7),
        ("global_step_7", 7),
        ("iter_0000100", 100),
        ("epoch=3-step=1200", 1200),
        ("epoch=3-step=1200-v1", 1200),
        ("epoch=3-step=1200.ckpt", 1200),
        ("epoch=3-step=1200-val_loss=0.25-v2.ckpt", 1200),
        ("val_loss=-0.5-step=1200", 1200),
        ("step=12", 12),
        ("checkpoint-", None),
        ("checkpoint-10a", None),
        ("tmp-checkpoint-10", None),
        ("checkpoint-10.tmp", None),
        ("checkpoint-best", None),
        ("checkpoint-1000-best", None),
        ("checkpoint-٣", None),
        ("checkpoint-" + 19 * "9", None),
        ("epoch=3", None),
        ("epoch=3-step=", None),
        ("epoch=3-substep=4", None),
        ("step=12-old", None),
        ("runs", None),
    ],
)
def test_a_name_gives_the_step(name: str, step: int | None) -> None:
    assert step_of(name) == step


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).mkdir(parents=True)


def found(root: Path) -> dict[str, str]:
    """The run of each candidate, by its path below `root`."""
    return {one.relative_to(root).as_posix(): run_of(one, root) for one in sorted(candidates(root))}


def test_runs_stand_side_by_side_and_below_one_another(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a/checkpoint-10",
        "b/step_10",
        "sweep/a/checkpoint-10",
        "sweep/group/a/global_step5",
        "too/deep/for/a/checkpoint-10",
        "a/.hidden/checkpoint-10",
        ".staging/a/checkpoint-10",
        "a/runs/Nov24",
        "a/checkpoint-10/global_step10",
    )
    assert found(tmp_path) == {
        "a/checkpoint-10": "a",
        "b/step_10": "b",
        "sweep/a/checkpoint-10": "sweep/a",
        "sweep/group/a/global_step5": "sweep/group/a",
    }


def test_the_watched_folder_may_itself_be_a_run_and_be_given_a_name(tmp_path: Path) -> None:
    make(tmp_path, "mine/checkpoint-10", "mine/other/checkpoint-10")
    root = tmp_path / "mine"
    assert found(root) == {"checkpoint-10": "mine", "other/checkpoint-10": "other"}
    assert run_of(root / "checkpoint-10", root, "llama") == "llama"
    assert run_of(root / "other" / "checkpoint-10", root, "llama") == "other"


def test_a_bare_model_is_one_and_what_a_run_ended_with_is_not(tmp_path: Path) -> None:
    make(tmp_path, "a/last", "a/checkpoint-10", "sweep/a/checkpoint-10", "sweep/b/best")
    for place in ("a/last", "a", "sweep/a", "sweep/b/best"):
        write_json(tmp_path / place / "trainer_state.json", {"global_step": 10})
    assert found(tmp_path) == {
        "a/checkpoint-10": "a",
        "a/last": "a",
        "sweep/a/checkpoint-10": "sweep/a",
        "sweep/b/best": "sweep/b",
    }


def test_a_run_and_a_checkpoint_may_be_links_and_are_given_once(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    make(tmp_path, "disk/run/checkpoint-10", "single/checkpoint-20", "checkpoints/b/checkpoint-30")
    (root / "a").symlink_to(tmp_path / "disk" / "run")
    (root / "also-a").symlink_to(tmp_path / "disk" / "run")
    (root / "b" / "checkpoint-20").symlink_to(tmp_path / "single" / "checkpoint-20")
    (root / "b" / "latest").symlink_to("checkpoint-30")
    (root / "a-latest").symlink_to("b/checkpoint-30")
    runs = found(root)
    assert set(runs) - {"a/checkpoint-10", "also-a/checkpoint-10"} == {
        "b/checkpoint-20",
        "b/checkpoint-30",
    }
    assert len(runs) == 3


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    make(tmp_path, "watched/run/checkpoint-10")
    root = tmp_path / "watched"
    (root / "here").symlink_to(root)
    (root / "above").symlink_to(tmp_path)
    (root / "run" / "back").symlink_to("..")
    (root / "itself").symlink_to("itself")
    (root / "nowhere").symlink_to("gone")
    assert found(root) == {"run/checkpoint-10": "run"}


def test_the_newest_comes_first(tmp_path: Path) -> None:
    make(tmp_path, "a/checkpoint-10", "a/checkpoint-20", "b/checkpoint-30")
    for name, age in (("a/checkpoint-10", 2), ("a/checkpoint-20", 3), ("b/checkpoint-30", 1)):
        os.utime(tmp_path / name, (1_700_000_000 - age, 1_700_000_000 - age))
    assert [one.name for one in candidates(tmp_path)] == [
        "checkpoint-30",
        "checkpoint-10",
        "checkpoint-20",
    ]


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert candidates(tmp_path / "gone") == []


def test_links_to_runs_and_groups_are_given_and_those_to_checkpoints_are_not(
    tmp_path: Path,
) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    make(disk, "run/checkpoint-1", "group/run/checkpoint-2", "empty", "checkpoint-3")
    make(root, "own/checkpoint-4")
    for name in ("run", "group", "empty"):
        (root / name).symlink_to(disk / name)
    (root / "own" / "checkpoint-3").symlink_to(disk / "checkpoint-3")
    (root / "own" / "latest").symlink_to("checkpoint-4")
    (root / "own" / "back").symlink_to(root)
    found = survey(root)
    assert sorted(found.links) == [root / name for name in ("empty", "group", "run")]
    assert len(found.candidates) == 4


def test_a_root_that_is_a_link_back_to_itself_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert candidates(tmp_path / "loop") == []
