"""What must stay stays, and what goes is gone whole and in the log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from ingest.retention import PRUNED, Decision, Held, held, plan, prune, sweep
from ingest.watcher import State, scan
from settings import RetentionSettings
from store import log
from store.engine import reading
from store.events import CheckpointRemoved
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from store.schema import PREDICTION
from tests import logs
from tests.ingest.folders import make_checkpoint
from tests.logs import Seen
from tests.views.deriving import pinned

NOW = "2026-03-11T00:00:00.000Z"


def one(step: int, run: str = "run", **changes: object) -> Held:
    """A checkpoint of 100 bytes that arrived on the day of March that is its step's tenth."""
    plain = Held(
        checkpoint_id=f"{run}-{step}",
        run=run,
        step=step,
        arrived_at=f"2026-03-{step // 10:02}T00:00:00.000Z",
        bytes=100,
        paths=(f"/checkpoints/{run}/checkpoint-{step}",),
        evaluated=True,
        pinned=False,
        base=False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def going(
    checkpoints: list[Held], best: Collection[str] = (), **settings: object
) -> dict[int, str]:
    """The steps that would go, and why."""
    rules = RetentionSettings(**{"keep_newest": 1, "keep_best": 1, **settings})
    decisions = plan(checkpoints, best, rules, NOW)
    assert [decision.held for decision in decisions] == checkpoints
    return {decision.held.step: decision.reason for decision in decisions if decision.prune}


SIX = [one(step) for step in (10, 20, 30, 40, 50, 60)]


def test_without_a_limit_nothing_goes() -> None:
    assert going(SIX) == {}


def test_beyond_the_count_of_a_run_the_oldest_go() -> None:
    reason = "its run has more than 4"
    assert going(SIX, max_count=4) == {10: reason, 20: reason}
    others = [one(step, run="other") for step in (10, 20)]
    assert going([*SIX, *others], max_count=5) == {10: "its run has more than 5"}


def test_what_is_too_old_goes() -> None:
    assert going(SIX, max_age_days=8.5) == {
        10: "older than 8.5 days (10.0)",
        20: "older than 8.5 days (9.0)",
    }


def test_beyond_the_size_the_oldest_of_all_go_with_every_copy() -> None:
    twice = one(10, paths=("/checkpoints/run/checkpoint-10", "/checkpoints/kept/checkpoint-10"))
    checkpoints = [twice, *SIX[1:], one(60, run="other")]
    assert set(going(checkpoints, max_bytes=800)) == set()
    assert set(going(checkpoints, max_bytes=799)) == {10}
    assert set(going(checkpoints, max_bytes=599)) == {10, 20}


def test_what_already_goes_counts_for_the_other_limits() -> None:
    assert set(going(SIX, max_age_days=8.5, max_count=4)) == {10, 20}
    assert set(going(SIX, max_age_days=8.5, max_count=3)) == {10, 20, 30}


@pytest.mark.parametrize(
    ("change", "best", "reason"),
    [
        ({"evaluated": False}, (), "not evaluated to the end yet"),
        ({"pinned": True}, (), "pinned"),
        ({"base": True}, (), "an adapter stands on it"),
        ({}, ("run-10",), "one of the best 1 of its run"),
    ],
)
def test_what_must_stay_stays_whatever_the_limits(
    change: dict[str, object], best: Collection[str], reason: str
) -> None:
    checkpoints = [replace(SIX[0], **change), *SIX[1:]]  # type: ignore[arg-type]
    limits = RetentionSettings(
        keep_newest=1, keep_best=1, max_count=1, max_age_days=0.5, max_bytes=1
    )
    decisions = plan(checkpoints, best, limits, NOW)
    assert [one.held.step for one in decisions if not one.prune] == [10, 60]
    assert decisions[0].reason == reason
    assert decisions[-1].reason == "one of the newest 1 of its run"


def test_the_newest_are_those_of_the_highest_steps_not_of_the_last_arrivals() -> None:
    late = one(10, arrived_at="2026-03-10T00:00:00.000Z")
    assert set(going([*SIX[1:], late], max_count=1)) == {20, 30, 40, 50, 10}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkpoints"
    root.mkdir()
    return root


def arrived(root: Path, engine: Engine, steps: Collection[int]) -> State:
    for step in steps:
        make_checkpoint(root / "run" / f"checkpoint-{step}", float(step))
    state = State()
    for _ in range(2):
        scan(root, engine, state, settle_seconds=0.0)
    return state


def held_now(engine: Engine, root: Path) -> dict[int, Held]:
    bring_up_to_date(engine, [LIFECYCLE])
    with reading(engine) as connection:
        return {one.step: one for one in held(connection, root)}


def test_only_what_was_evaluated_to_the_end_and_is_not_being_evaluated_may_go(
    root: Path, engine: Engine
) -> None:
    arrived(root, engine, (10, 20, 30, 40))
    examples = logs.questions("easy", 1)
    logs.register_suite(engine, examples, suite_id="easy")
    ids = {step: one.checkpoint_id for step, one in held_now(engine, root).items()}
    seen = [(examples[0], Seen("answer 0"))]
    for step in (10, 20):
        logs.evaluate(engine, ids[step], ["easy"], seen)
    logs.start(engine, ids[20], ["easy"], examples=1, settings={"again": 1})
    failed = logs.start(engine, ids[30], ["easy"], examples=1)
    logs.fail(engine, failed, ids[30], ["easy"])
    log.append(engine, pinned("run", ids[40], 40))
    found = held_now(engine, root)
    assert [step for step, one in found.items() if one.evaluated] == [10]
    assert [step for step, one in found.items() if one.pinned] == [40]


def test_a_pruned_checkpoint_is_gone_in_the_log_and_its_predictions_stay(
    root: Path, engine: Engine
) -> None:
    state = arrived(root, engine, (10, 20))
    examples = logs.questions("easy", 1)
    logs.register_suite(engine, examples, suite_id="easy")
    ten = held_now(engine, root)[10]
    logs.evaluate(engine, ten.checkpoint_id, ["easy"], [(examples[0], Seen("answer 0"))])
    (removed,) = prune(engine, root, Decision(ten, True, "too many"))
    assert (removed.checkpoint_id, removed.reason) == (ten.checkpoint_id, "pruned: too many")
    assert [one.name for one in (root / "run").iterdir()] == ["checkpoint-20"]
    assert list(held_now(engine, root)) == [20]
    for _ in range(3):
        found = scan(root, engine, state, settle_seconds=0.0)
        assert (found.arrived, found.found, found.removed) == ((), (), ())
    with reading(engine) as connection:
        kinds = [one.event for one in log.read(connection, types=[CheckpointRemoved])]
        rows = connection.execute(select(func.count()).select_from(PREDICTION)).scalar_one()
    assert (kinds, rows) == ([removed], 1)


def test_a_prune_that_was_killed_leaves_nothing_that_looks_like_a_checkpoint(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = arrived(root, engine, (10, 20))
    ten = held_now(engine, root)[10]

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(log, "append", die)
        with pytest.raises(KeyboardInterrupt):
            prune(engine, root, Decision(ten, True, "too many"))
    aside = root / "run" / f"{PRUNED}checkpoint-10-{os.getpid()}"
    assert aside.is_dir()
    removed = [scan(root, engine, state, settle_seconds=0.0).removed for _ in range(2)][-1]
    assert [one.reason for one in removed] == ["the folder is gone"]
    assert sweep(root) == 1
    assert not aside.exists()


def test_a_folder_that_is_a_link_loses_only_the_link(
    tmp_path: Path, root: Path, engine: Engine
) -> None:
    real = make_checkpoint(tmp_path / "real" / "checkpoint-10")
    (root / "run").mkdir()
    (root / "run" / "checkpoint-10").symlink_to(real)
    state = State()
    for _ in range(2):
        scan(root, engine, state, settle_seconds=0.0)
    ten = held_now(engine, root)[10]
    assert len(prune(engine, root, Decision(ten, True, "too many"))) == 1
    assert list((root / "run").iterdir()) == []
    assert real.is_dir()
    shutil.rmtree(real)
