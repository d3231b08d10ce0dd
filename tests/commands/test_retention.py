"""`milepost prune` and `milepost pin`, as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from commands.retention import prune_automatically
from settings import load_workspace
from store.engine import connect
from tests import logs
from tests.logs import Seen
from tests.test_cli import Milepost, milepost

__all__ = ["milepost"]


@pytest.fixture
def writer(milepost: Milepost) -> Engine:
    """Four evaluated checkpoints, of which step 200 is the best, and one that waits."""
    engine = connect(f"sqlite:///{milepost.root / 'milepost.db'}")
    examples = logs.questions("easy", 10, "easy")
    logs.register_suite(engine, examples, suite_id="easy", difficulty="easy")
    for step, right in ((100, 5), (200, 10), (300, 7), (400, 8), (500, None)):
        folder = milepost.root / "checkpoints" / "run" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(1000))
        checkpoint = logs.arrive(engine, step, path=str(folder))
        if right is not None:
            seen = [
                (one, Seen(one.target if k < right else "no", target_logprob=-1.0))
                for k, one in enumerate(examples)
            ]
            logs.evaluate(engine, checkpoint, ["easy"], seen)
    return engine


def limit(milepost: Milepost, lines: str) -> None:
    file = milepost.root / "milepost.toml"
    file.write_text(f"[retention]\nkeep_newest = 2\nkeep_best = 1\n{lines}\n", encoding="utf-8")


def folders(milepost: Milepost) -> list[str]:
    return sorted(one.name for one in (milepost.root / "checkpoints" / "run").iterdir())


ALL = [f"checkpoint-{step}" for step in (100, 200, 300, 400, 500)]


@pytest.mark.usefixtures("writer")
def test_prune_says_what_would_go_and_deletes_nothing(milepost: Milepost) -> None:
    limit(milepost, "max_count = 2")
    ran = milepost("prune", "--format", "json")
    assert [(one["step"], one["does"], one["reason"]) for one in json.loads(ran.out)] == [
        (100, "would go", "its run has more than 2"),
        (200, "stays", "one of the best 1 of its run"),
        (300, "would go", "its run has more than 2"),
        (400, "stays", "one of the newest 2 of its run"),
        (500, "stays", "not evaluated to the end yet"),
    ]
    table = milepost("prune")
    assert "`milepost prune --yes` would delete 2 checkpoints, 2.0 kB." in table.out
    assert (ran.code, table.code, folders(milepost)) == (0, 0, ALL)


@pytest.mark.usefixtures("writer")
def test_prune_yes_deletes_and_the_log_says_so(milepost: Milepost) -> None:
    limit(milepost, "max_count = 2")
    ran = milepost("prune", "--yes")
    assert (ran.code, folders(milepost)) == (0, ["checkpoint-200", "checkpoint-400", ALL[-1]])
    assert "checkpoint-100: its run has more than 2" in ran.out
    shown = json.loads(milepost("show", "checkpoints", "--format", "json").out)
    assert [(one["step"], one["status"]) for one in shown] == [
        (100, "removed"), (200, "evaluated"), (300, "removed"), (400, "evaluated"),
        (500, "arrived"),
    ]  # fmt: skip
    assert shown[0]["reason"] == "pruned: its run has more than 2"
    assert len(json.loads(milepost("show", "results", "--format", "json").out)) == 4


@pytest.mark.usefixtures("writer")
def test_a_pinned_checkpoint_stays(milepost: Milepost) -> None:
    limit(milepost, "max_count = 2")
    assert milepost("pin", "100", "--note", "served").code == 0
    assert "served" in milepost("pin").out
    shown = json.loads(milepost("show", "checkpoints", "--format", "json").out)
    assert [one["pinned"] for one in shown] == [True, False, False, False, False]
    assert milepost("prune", "--yes").code == 0
    assert ALL[0] in folders(milepost)
    assert milepost("pin", "--remove").code == 0
    assert milepost("prune", "--yes").code == 0
    assert ALL[0] not in folders(milepost)
    again = milepost("pin", "--remove")
    assert (again.code, "Runs with a baseline: none" in again.err) == (2, True)


@pytest.mark.usefixtures("writer")
def test_without_a_limit_nothing_may_be_deleted(milepost: Milepost) -> None:
    ran = milepost("prune", "--yes")
    assert (ran.code, folders(milepost)) == (2, ALL)
    assert "sets no limit under [retention]" in ran.err
    assert "no limit is set" in milepost("prune").out


def test_only_what_is_set_to_be_pruned_automatically_is(milepost: Milepost, writer: Engine) -> None:
    limit(milepost, "max_count = 2")
    prune_automatically(writer, load_workspace(milepost.root))
    assert folders(milepost) == ALL
    limit(milepost, "max_count = 2\nautomatic = true")
    prune_automatically(writer, load_workspace(milepost.root))
    assert folders(milepost) == ["checkpoint-200", "checkpoint-400", "checkpoint-500"]


def test_a_folder_that_cannot_be_deleted_is_named(
    milepost: Milepost, writer: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(milepost, "max_count = 2")

    def refuse(self: Path, _target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    ran = milepost("prune", "--yes")
    assert (ran.code, folders(milepost)) == (3, ALL)
    assert "checkpoint-100 cannot be deleted: Permission denied" in ran.err
    writer.dispose()
