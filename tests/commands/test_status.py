"""How `milepost status` sees each process, and the disks."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from commands import roster
from commands.disks import Disk, disks
from commands.roster import Entry
from commands.standing import Standing, missing, standings
from store.liveness import Heartbeat

SINCE = "2026-01-02T03:04:05.000Z"
AGAIN = "2026-01-02T03:05:05.000Z"
UNUSED = "http://127.0.0.1:1"


def beat(process: str, *, pid: int = 0, host: str = "") -> Heartbeat:
    seen = datetime.now(UTC).isoformat()
    return Heartbeat(process, host or platform.node(), pid or os.getpid(), "waiting", seen)


def named(found: list[Standing], name: str) -> Standing:
    return next(one for one in found if one.name == name)


def test_what_was_never_seen_and_what_is_not_set_up() -> None:
    states = {one.name: one.state for one in standings([], None, syncs=False)}
    assert states == {
        "sync": "not set up",
        "watch": "never seen",
        "evaluate": "never seen",
        "dashboard": "never seen",
    }
    assert named(standings([], None, syncs=True), "sync").state == "never seen"


def test_a_process_of_this_host_is_weighed() -> None:
    watch = named(standings([beat("watch")], None, syncs=False), "watch")
    assert (watch.state, watch.pid, watch.doing) == ("running", os.getpid(), "waiting")
    assert watch.since is not None
    assert watch.memory_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_what_another_host_holds_is_not_known() -> None:
    watch = named(standings([beat("watch", host="elsewhere")], None, syncs=False), "watch")
    assert (watch.state, watch.host) == ("running", "elsewhere")
    assert (watch.since, watch.memory_bytes) == (None, None)


def test_a_living_process_is_shown_before_a_dead_one_of_its_name() -> None:
    beats = [beat("watch", pid=2**22 + 1), beat("watch")]
    watch = named(standings(beats, None, syncs=False), "watch")
    assert (watch.state, watch.pid) == ("running", os.getpid())


def test_a_child_that_is_down_is_a_trouble_with_its_last_words(tmp_path: Path) -> None:
    entry = Entry("evaluate", None, SINCE, 3, 2, "milepost: sums.jsonl is missing", AGAIN)
    roster.write(tmp_path, [entry], UNUSED)
    evaluate = named(standings([], roster.read(tmp_path), syncs=False), "evaluate")
    assert (evaluate.state, evaluate.restarts, evaluate.memory_bytes) == ("down", 3, None)
    assert evaluate.trouble == (
        f"evaluate ended with exit code 2 at {SINCE} (restarts: 3): milepost: sums.jsonl is "
        f"missing. That does not mend by itself. `milepost up` starts it again at {AGAIN}"
    )


def test_a_dashboard_that_does_not_answer_is_said(tmp_path: Path) -> None:
    roster.write(tmp_path, [Entry("dashboard", os.getpid(), SINCE, 0, None, None, None)], UNUSED)
    dashboard = named(standings([], roster.read(tmp_path), syncs=False), "dashboard")
    assert dashboard.doing is not None
    assert dashboard.doing.startswith(f"not answering at {UNUSED}")


def test_a_roster_of_a_dead_or_another_process_does_not_count(tmp_path: Path) -> None:
    assert roster.read(tmp_path) is None
    roster.write(tmp_path, [], UNUSED)
    found = roster.read(tmp_path)
    assert found is not None
    assert found.alive
    assert not found._replace(pid=2**22 + 1).alive
    assert not found._replace(started=found.started - 60).alive
    assert not found._replace(host="elsewhere").alive
    roster.forget(tmp_path)
    assert roster.read(tmp_path) is None


@pytest.mark.parametrize(
    ("running", "syncs", "missed"),
    [
        ([], True, []),
        (["watch", "evaluate"], False, []),
        (["watch", "evaluate"], True, ["sync"]),
        (["evaluate"], True, ["sync", "watch"]),
    ],
)
def test_watch_and_sync_are_missed_where_others_run(
    running: list[str], syncs: bool, missed: list[str]
) -> None:
    said = missing(standings([beat(name) for name in running], None, syncs=syncs))
    assert [line.split()[0] for line in said] == missed


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [
        (1_900_000_000, 10_000_000_000, True),
        (3_000_000_000, 10_000_000_000, False),
        (15_000_000_000, 1_000_000_000_000, True),
        (25_000_000_000, 1_000_000_000_000, False),
    ],
)
def test_a_disk_is_full_by_size_and_by_share(free: int, total: int, full: bool) -> None:
    disk = Disk("checkpoints", "/c", free, total, None)
    assert disk.full is full
    assert "milepost prune" in disk.trouble


def test_a_disk_that_cannot_be_asked_is_not_known(tmp_path: Path) -> None:
    here, gone = disks({"workspace": tmp_path, "checkpoints": tmp_path / "gone"})
    assert here.free is not None
    assert here.reason is None
    assert (gone.free, gone.full) == (None, False)
    assert gone.words == "not known: No such file or directory"
