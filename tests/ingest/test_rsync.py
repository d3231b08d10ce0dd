"""rsync's command line and its figures."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ingest.rsync import Rsync, Speed, is_remote, is_server, remote_shell
from ingest.sync import Moving, pause_after
from settings import SyncSettings

RECORDER = """#!/bin/sh
printf '%s\\n' "$@" > "$(dirname "$0")/arguments"
exit 3
"""


def test_ssh_never_asks_and_the_users_options_win_over_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(RECORDER)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("RSYNC_RSH", raising=False)
    options = ("IdentityFile=/my keys/it's mine", 'ProxyCommand=nc -X 5 "a b" %h', "BatchMode=no")
    settings = SyncSettings(ssh_options=options, timeout_seconds=9)
    ended, _ = Rsync(settings, threading.Event()).folders("host:/runs")
    assert ended.exit_code != 0
    given = (tmp_path / "arguments").read_text().splitlines()
    assert given[: given.index("host")] == [
        *("-o", "BatchMode=yes"),
        *(part for option in options for part in ("-o", option)),
        *("-o", "ConnectTimeout=9", "-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=3"),
    ]


def test_a_remote_shell_of_the_environment_stays_unless_the_settings_name_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "shell"
    shell.write_text(RECORDER)
    shell.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(shell))
    Rsync(SyncSettings(), threading.Event()).folders("host:/runs")
    assert (tmp_path / "arguments").read_text().splitlines()[0] == "host"
    (tmp_path / "arguments").unlink()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    settings = SyncSettings(ssh_options=("Port=1", "HostName=127.0.0.1"))
    assert Rsync(settings, threading.Event()).folders("host:/runs")[0].exit_code != 0
    assert not (tmp_path / "arguments").exists()


def test_a_host_that_never_says_a_word_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "shell"
    shell.write_text("#!/bin/sh\nexec sleep 100\n")
    shell.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(shell))
    ended, _ = Rsync(SyncSettings(timeout_seconds=1), threading.Event()).folders("host:/runs")
    assert ended.exit_code == 30


def test_copying_reports_bytes_and_speed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(bytes(1_500_000))
    settings = SyncSettings(bandwidth_limit=1.0)
    seen: list[Speed] = []
    rsync = Rsync(settings, threading.Event())
    _, pending = rsync.pending(str(tmp_path / "a"), tmp_path / "b")
    assert pending.bytes == 1_500_000
    assert rsync.copy(str(tmp_path / "a"), tmp_path / "b", seen.append).exit_code == 0
    assert seen[-1].bytes == 1_500_000
    assert seen[-1].bytes_per_second == pytest.approx(1e6, rel=0.35)
    ended, pending = rsync.pending(str(tmp_path / "a"), tmp_path / "b")
    assert (ended.exit_code, pending.changes, pending.bytes) == (0, 0, 0)


def test_what_is_too_much_here_is_pending_too_and_a_folders_time_is_not(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "a", (1_700_000_000, 1_700_000_000))
    rsync = Rsync(SyncSettings(), threading.Event())
    assert rsync.pending(str(tmp_path / "a"), tmp_path / "b")[1] == (0, 0)
    (tmp_path / "b" / "too much").write_bytes(b"123")
    assert rsync.pending(str(tmp_path / "a"), tmp_path / "b")[1] == (1, 0)


@pytest.mark.parametrize(
    ("source", "remote", "server"),
    [
        ("/a:b", False, False),
        ("a/b:c", False, False),
        ("h:/a", True, False),
        ("u@h:a", True, False),
        ("h::module/a", True, True),
        ("rsync://h/m", True, True),
        ("/a::b", False, False),
    ],
)
def test_a_colon_before_any_slash_makes_a_source_remote(
    source: str, remote: bool, server: bool
) -> None:
    assert is_remote(source) == remote
    assert is_server(source) == server


def test_probes_are_at_least_a_second_apart() -> None:
    assert "'ServerAliveInterval=1'" in remote_shell(SyncSettings(timeout_seconds=1))


def test_percent_and_time_left_come_from_what_is_measured() -> None:
    half = Moving("run", "checkpoint-10", 1, 2, 500, 1001, 100.0)
    assert (half.percent, half.seconds_left) == (49, 5.01)
    assert half._replace(bytes_per_second=None).seconds_left is None
    assert half._replace(bytes=0, total_bytes=0).percent == 100


def test_after_a_failure_the_next_round_comes_sooner_and_then_ever_later() -> None:
    assert pause_after(0, 300.0) == 300.0
    assert [pause_after(n, 300.0) for n in range(1, 8)] == [10, 20, 40, 80, 160, 300, 300]
    assert pause_after(1, 5.0) == 5.0
    assert pause_after(100_000, 300.0) == 300.0
