"""`milepost notify` tells a real HTTP server of alerts: each once, whatever fails in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

import cli
from commands.notify import post
from commands.standing import Standing, missing, standings
from commands.supervisor import free_port, milepost
from data.workspace import make
from errors import NotifyFault, SettingsError
from settings import Workspace, load_workspace, parse
from store import log
from store.engine import connect, reading
from store.events import AlertNotSent, AlertSending, AlertSent, Event
from store.liveness import Heartbeat
from tests import logs
from tests.commands.post_office import PostOffice, post_office
from tests.ingest.folders import wait_for
from tests.views.deriving import answered, rejected, sync_failed
from views.alert_table import later

SECRET = "hunter2-is-nowhere-to-be-seen"
EXAMPLES = logs.questions("easy", 40)


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as office:
        yield office


@pytest.fixture
def workspace(tmp_path: Path, office: PostOffice) -> Workspace:
    text = f'[notify]\nto = {{ops = "{office.address(SECRET)}"}}\ntimeout_seconds = 5.0\n'
    return make(tmp_path / "workspace", text=text)


@pytest.fixture
def engine(workspace: Workspace) -> Iterator[Engine]:
    engine = connect(workspace.database_url)
    yield engine
    engine.dispose()


def refuse_folder(engine: Engine, n: int = 1, reason: str = "config.json is missing") -> None:
    log.append(engine, rejected(f"/checkpoints/run/checkpoint-{n}", reason))


def turn(engine: Engine, workspace: Workspace, *, hours: float = 0.0) -> list[str]:
    """One round of a process that began before everything, so many hours from now."""
    return post(engine, workspace, since="2026-01-01T00:00:00.000Z", now=later(log.now(), hours))


def recorded(engine: Engine, kind: type[Event]) -> list[Event]:
    with reading(engine) as connection:
        return [one.event for one in log.read(connection, types=[kind])]


def test_an_alert_is_sent_once_with_its_words(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    refuse_folder(engine)
    assert turn(engine, workspace) == []
    assert turn(engine, workspace, hours=1) == []
    (message,) = office.arrived
    path = "/checkpoints/run/checkpoint-1"
    assert message["title"] == f"Milepost: {path} is no usable checkpoint (run run)"
    assert "WARNING" in message["message"]
    assert "config.json is missing" in message["message"]
    assert (message["type"], len(recorded(engine, AlertSent))) == ("warning", 1)


def test_another_process_does_not_send_it_again(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    refuse_folder(engine)
    for _ in range(2):
        ended = subprocess.run(
            milepost("notify", "--once", workspace=workspace.root), capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
    assert len(office.arrived) == 1


def test_what_comes_within_the_pause_is_told_in_one_message(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    refuse_folder(engine)
    turn(engine, workspace)
    for n in range(2, 20):
        refuse_folder(engine, n)
    turn(engine, workspace)
    assert len(office.arrived) == 1
    turn(engine, workspace, hours=0.1)
    assert [one["title"] for one in office.arrived[1:]] == ["Milepost: 18 alerts"]
    assert "And 8 more: `milepost show alerts` lists them." in office.arrived[1]["message"]


def test_a_refused_message_is_sent_again_after_a_pause_and_then_never(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    office.replies = [500, 503]
    refuse_folder(engine)
    (fault,) = turn(engine, workspace)
    assert fault == "ops was not told of 1 alert: the service answered with HTTP 500"
    assert turn(engine, workspace, hours=20 / 3600) == []
    assert len(office.arrived) == 1
    assert "HTTP 503" in turn(engine, workspace, hours=40 / 3600)[0]
    assert turn(engine, workspace, hours=50 / 3600) == []
    assert turn(engine, workspace, hours=80 / 3600) == []
    assert turn(engine, workspace, hours=24) == []
    assert len(office.arrived) == 3
    assert len(recorded(engine, AlertNotSent)) == 2
    assert len(recorded(engine, AlertSent)) == 1


def test_a_service_that_never_answers_holds_nobody_up(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    hasty = rewritten(
        workspace, f'to = {{ops = "{office.address(SECRET)}"}}\ntimeout_seconds = 0.5'
    )
    office.replies = [None]
    # Another process appends, and derives, while the message is on its way.
    office.on_arrival = lambda: evaluate_other(engine)
    refuse_folder(engine)
    began = time.monotonic()
    (fault,) = turn(engine, hasty)
    assert time.monotonic() - began < 20
    assert fault.endswith("refused, or no answer within 0.5 s")
    with reading(engine) as connection:
        order = [type(one.event).__name__ for one in log.read(connection)]
    assert order.index("AlertSending") < order.index("EvaluationCompleted")
    assert order.index("EvaluationCompleted") < order.index("AlertNotSent")


def evaluate_other(engine: Engine) -> None:
    logs.evaluate(engine, logs.arrive(engine, 5), [], [])


def rewritten(workspace: Workspace, notify: str) -> Workspace:
    file = workspace.root / "milepost.toml"
    file.write_text(f"[notify]\n{notify}\n", encoding="utf-8")
    return load_workspace(workspace.root)


def test_a_message_killed_on_its_way_is_never_sent_again_and_said_to_be_unknown(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    office.replies = [None]
    refuse_folder(engine)
    process = subprocess.Popen(milepost("notify", workspace=workspace.root))
    wait_for(lambda: len(office.arrived) == 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert turn(engine, workspace, hours=24) == []
    assert (len(office.arrived), len(recorded(engine, AlertSending))) == (1, 1)
    shown = subprocess.run(
        milepost("show", "alerts", "--format", "json", workspace=workspace.root),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ops: it is not known whether the message went out" in shown.stdout


def test_of_two_processes_at_once_one_sends(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    refuse_folder(engine)

    def other_process_looks() -> None:
        # While the first message is on its way, the log has the claim and nothing more.
        office.on_arrival = lambda: None
        assert turn(engine, workspace, hours=1) == []

    office.on_arrival = other_process_looks
    turn(engine, workspace)
    assert len(office.arrived) == 1


def test_what_ended_and_came_back_is_told_again(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    refuse_folder(engine, 900)
    turn(engine, workspace)
    logs.arrive(engine, 900)
    turn(engine, workspace, hours=1)
    refuse_folder(engine, 900, "the weights are cut off")
    turn(engine, workspace, hours=2)
    assert ["cut off" in one["message"] for one in office.arrived] == [False, True]


def test_who_is_told_to_stop_begins_no_other_message(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    address = office.address(SECRET)
    two = rewritten(workspace, f'to = {{one = "{address}", two = "{address}"}}')
    refuse_folder(engine)
    stop = threading.Event()
    office.on_arrival = stop.set
    assert post(engine, two, since=log.now(), now=log.now(), stop=stop) == []
    assert len(office.arrived) == 1
    stop.clear()
    post(engine, two, since=log.now(), now=log.now(), stop=stop)
    assert len(office.arrived) == 2


def test_an_acknowledged_alert_is_not_sent(
    engine: Engine, workspace: Workspace, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(engine, sync_failed("1"))
    refuse_folder(engine)
    alert_id = acknowledge_the_only_rejection(workspace, monkeypatch)
    assert turn(engine, workspace, hours=1) == []
    assert office.arrived == []
    assert len(alert_id) == 10


def acknowledge_the_only_rejection(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    shown = subprocess.run(
        milepost("sql", "SELECT alert_id FROM alerts WHERE kind = 'rejected_checkpoint'",
                 "--format", "csv", workspace=workspace.root),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    alert_id = shown.stdout.split()[1]
    words = ["milepost", "acknowledge", alert_id[:5], "--note", "mine", "--workspace"]
    monkeypatch.setattr(sys, "argv", [*words, str(workspace.root)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    return alert_id


def test_an_old_log_of_many_regressions_is_one_message_about_the_newest(
    engine: Engine, workspace: Workspace, office: PostOffice
) -> None:
    logs.register_suite(engine, EXAMPLES, suite_id="easy")
    for step in range(1, 13):
        checkpoint = logs.arrive(engine, step)
        right = 2 if step % 2 == 0 else 38
        logs.evaluate(engine, checkpoint, ["easy"], answered(EXAMPLES, right))
    post(engine, workspace, since=log.now(), now=log.now())
    (message,) = office.arrived
    assert message["title"] == "Milepost: Step 12 is worse than step 11 (run run)"
    assert message["type"] == "failure"


def test_the_secret_is_in_no_file_and_in_no_word(
    engine: Engine, tmp_path: Path, workspace: Workspace, office: PostOffice
) -> None:
    office.replies = [500]
    refuse_folder(engine)
    port = str(free_port(0))
    up = subprocess.Popen(
        milepost("up", "--port", port, workspace=workspace.root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_for(lambda: bool(recorded(engine, AlertNotSent)))
    logged = workspace.logs / "notify.log"
    wait_for(lambda: "HTTP 500" in logged.read_text(encoding="utf-8"))
    status = subprocess.run(
        milepost("status", "--format", "json", workspace=workspace.root), capture_output=True
    )
    up.send_signal(signal.SIGINT)
    said, _ = up.communicate(timeout=60)
    notify = next(one for one in json.loads(status.stdout)["services"] if one["name"] == "notify")
    assert (notify["state"], notify["exit_code"]) == ("running", None)
    assert "FAILED: ops was not told of 1 alert" in notify["last_error"]
    assert SECRET.encode() not in said + status.stdout + status.stderr
    files = [one for one in tmp_path.rglob("*") if one.is_file() and one.suffix != ".toml"]
    assert {workspace.root / "milepost.db", logged} <= set(files)
    assert all(SECRET.encode() not in one.read_bytes() for one in files)


@pytest.mark.parametrize(
    "notify",
    [
        f'to = "ntfys://ntfy.sh/{SECRET}"',
        f'to = ["ntfys://ntfy.sh/{SECRET}"]',
        f'phone = "ntfys://ntfy.sh/{SECRET}"',
        f'to = {{phone = "ntfys://ntfy.sh/{SECRET}"}}\nseverity = "bad"',
        f'to = {{phone = "ntfys://ntfy.sh/{SECRET}',
    ],
)
def test_an_error_in_the_settings_keeps_the_secret(notify: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(f"[notify]\n{notify}", Path("milepost.toml"))
    assert SECRET not in str(caught.value)


def test_what_should_tell_and_does_not_run_is_missing() -> None:
    watching = Heartbeat("watch", "elsewhere", 1, "watching", log.now())
    found = standings([watching], None, syncs=False, notifies=True)
    assert found[-1] == Standing("notify", "never seen")
    (sentence,) = missing(found)
    assert sentence.startswith("notify does not run, and watch does. Start `milepost notify`")
    assert "notify" not in {one.name for one in standings([watching], None, syncs=False)}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("env:MILEPOST_NO_SUCH", "the environment has no MILEPOST_NO_SUCH"),
        ("file:no-such-file", "no-such-file cannot be read: No such file or directory"),
        (f"nonsense-{SECRET}", "apprise cannot read the address"),
        (f"json://127.0.0.1:9/{SECRET}", "refused, or no answer within 5 s"),
    ],
)
def test_a_test_that_fails_says_why_and_keeps_the_secret(
    workspace: Workspace, written: str, words: str
) -> None:
    rewritten(workspace, f'to = {{ops = "{written}"}}\ntimeout_seconds = 5.0')
    ended = subprocess.run(
        milepost("notify", "--test", workspace=workspace.root), capture_output=True, text=True
    )
    assert ended.returncode == NotifyFault.exit_code
    assert words in ended.stderr
    assert SECRET not in ended.stdout + ended.stderr


def test_an_address_may_stand_in_the_environment_or_in_a_file(
    workspace: Workspace, office: PostOffice
) -> None:
    (workspace.root / "address").write_text(office.address(SECRET) + "\n", encoding="utf-8")
    rewritten(workspace, 'to = {one = "env:OPS_ADDRESS", two = "file:address"}')
    ended = subprocess.run(
        milepost("notify", "--test", workspace=workspace.root),
        env={**os.environ, "OPS_ADDRESS": office.address(SECRET)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout.count(": sent")) == (0, 2), ended.stderr
    assert [one["title"] for one in office.arrived] == ["Milepost: a test"] * 2


def test_without_a_place_it_says_where_to_name_one(tmp_path: Path) -> None:
    workspace = make(tmp_path / "quiet", text="")
    ended = subprocess.run(
        milepost("notify", workspace=workspace.root), capture_output=True, text=True
    )
    assert ended.returncode == SettingsError.exit_code
    assert "[notify]" in ended.stderr


def test_on_postgresql_it_is_the_same(
    postgres_engine: Engine, postgres_url: str, tmp_path: Path, office: PostOffice
) -> None:
    text = (
        f'[database]\nurl = "{postgres_url}"\n[alerts]\nquiet_after_hours = 1e-9\n'
        f'[notify]\nto = {{ops = "{office.address(SECRET)}"}}\n'
    )
    workspace = make(tmp_path / "elsewhere", text=text)
    logs.arrive(postgres_engine, 5)
    office.replies = [500]
    assert len(turn(postgres_engine, workspace)) == 1
    assert turn(postgres_engine, workspace, hours=1) == []
    assert turn(postgres_engine, workspace, hours=2) == []
    assert [one["type"] for one in office.arrived] == ["failure", "failure"]
    assert office.arrived[0]["title"].startswith("Milepost: Nothing has been evaluated since ")
    turns = [AlertSending, AlertNotSent, AlertSending, AlertSent]
    with reading(postgres_engine) as connection:
        assert [type(one.event) for one in log.read(connection)][1:] == turns
