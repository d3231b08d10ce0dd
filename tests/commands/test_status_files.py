"""The status files: what they say, and that a reader finds each whole, or as it was."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
from sqlalchemy import Engine, text, update

import cli
from commands import status_files
from settings import FILE_NAME, Settings, Workspace, load_workspace
from store import log
from store.engine import connect, reading
from store.projections import bring_up_to_date
from store.schema import PROJECTION
from tests import logs
from tests.views.deriving import answered, eventful, rejected, sync_completed, sync_failed
from views import registry, status_bodies
from views.status_files import FILES, HEAD, Key
from views.view import View

NAMES = {one.name for one in FILES}
VIEWS = {view.name: view for view in registry.views(Settings())}
TOML = "".join(
    f'[[suite]]\nname = "{name}"\npath = "{name}.jsonl"\n{line}\n'
    for name, line in (
        ("easy", "pass_threshold = 0.7"),
        ("hard", "pass_threshold = 0.7"),
        ("open", ""),
    )
)
# A path into a file that jq and this test both can follow.
PLAIN = re.compile(r"^(\.\w+|\[-?\d+\])+$")


class Ran(NamedTuple):
    code: int
    err: str


Export = Callable[..., Ran]


@pytest.fixture
def root(empty_database: Path, tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / FILE_NAME).write_text(TOML, encoding="utf-8")
    shutil.copy(empty_database, root / "milepost.db")
    return root


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return load_workspace(root)


@pytest.fixture
def engine(workspace: Workspace) -> Iterator[Engine]:
    engine = connect(workspace.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "status"


@pytest.fixture
def export(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Export:
    """`milepost export status --out OUT ARGUMENTS`."""

    def run(*arguments: str, to: Path = out) -> Ran:
        words = ["milepost", "export", "status", "--out", str(to), *arguments]
        monkeypatch.setattr(sys, "argv", [*words, "--workspace", str(root)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Ran(int(caught.value.code or 0), capsys.readouterr().err)

    return run


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def read(folder: Path) -> dict[str, Any]:
    """Every file by its name without the ending, as strict JSON."""
    assert {one.name for one in folder.iterdir()} == NAMES
    return {
        one.stem: json.loads(one.read_text(encoding="utf-8"), parse_constant=refuse)
        for one in folder.iterdir()
    }


def fill(engine: Engine) -> None:
    """Step 100 passes both tests. Step 200 fails `hard` with 2 right of 20. Step 300 waits."""
    suites = {
        "easy": logs.questions("easy", 20, "easy"),
        "hard": logs.questions("hard", 20, "hard"),
        "open": logs.questions("open", 2),
    }
    for name, examples in suites.items():
        logs.register_suite(engine, examples, suite_id=name)
    for step, right in ((100, 20), (200, 2)):
        seen = [
            *answered(suites["easy"], 19),
            *answered(suites["hard"], right),
            *answered(suites["open"], 1),
        ]
        logs.evaluate(engine, logs.arrive(engine, step), [*suites], seen)
    logs.arrive(engine, 300)


def evaluate(engine: Engine, step: int, run: str = "run", right: int = 5) -> None:
    seen = answered(logs.questions("easy", 20, "easy"), right)
    logs.evaluate(engine, logs.arrive(engine, step, run=run), ["easy"], seen)


def rows(engine: Engine, view: str, **only: Any) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return VIEWS[view].rows(connection, **only)


def keys_of(key: Key, views: Mapping[str, View]) -> set[str]:
    """What the objects of a key hold by what is declared, and so by the page."""
    columns = {one.name for one in views[key.view].columns} if key.view else set()
    chosen = (columns & {*key.only} if key.only else columns) - {*key.without}
    renamed = {status_bodies.RENAMED.get(name, name) for name in chosen}
    return renamed | {one.name for one in key.inside}


def test_each_file_answers_its_question(engine: Engine, out: Path, export: Export) -> None:
    fill(engine)
    log.append(engine, sync_failed("1"))
    log.append(engine, sync_completed("2"))
    log.append(engine, rejected("/checkpoints/run/checkpoint-900"))
    assert export().code == 0
    files = read(out)
    assert {one["run"] for one in files.values()} == {"run"}
    assert {name: one["reason"] for name, one in files.items() if one["reason"]} == {}

    sync = files["checkpoint_sync"]
    assert [one["status"] for one in sync["syncs"]] == ["failed", "completed"]
    assert sync["syncs"][0]["reason"] == "connection refused"
    assert (sync["syncs"][0]["bytes"], sync["last_sync"]["bytes"]) == (None, 1000)
    assert [(one["step"], one["status"]) for one in sync["checkpoints"]] == [
        (100, "evaluated"),
        (200, "evaluated"),
        (300, "arrived"),
        (900, "rejected"),
    ]

    regression = files["regression_monitoring"]
    last = regression["checks"][-1]
    assert (last["step"], last["suite"], last["difficulty"]) == (200, "all", "all")
    assert (last["baseline_step"], last["against"]) == (100, "previous")
    assert last["baseline_accuracy"] - last["accuracy"] == pytest.approx(18 / 42)
    assert (regression["latest"]["verdict"], regression["latest"]["step"]) == ("REGRESSED", 200)

    comparisons = files["model_comparisons"]
    assert [one["step"] for one in comparisons["rankings"]] == [100, 200]
    assert comparisons["best"] == comparisons["rankings"][0]

    calibration = files["confidence_calibration"]["evaluations"]
    assert [one["step"] for one in calibration] == [100, 200]
    assert calibration[-1]["n_total"] == sum(one["n"] for one in calibration[-1]["bins"]) == 42
    assert calibration[-1]["difficulties"]["hard"]["n_total"] == 20

    testing = files["automated_testing"]
    summary = testing["summary"]
    assert summary.pop("reason") is None
    assert list(summary.values())[2:] == [200, 3, 1, 1, 0, 1]
    # one of easy and eighteen of hard are wrong; `open` tests nothing
    assert testing["failed_examples_total"] == len(testing["failed_examples"]) == 19

    mining = files["adversarial_mining"]
    assert mining["counts"]["forgotten"] == len(mining["examples"]["forgotten"]) == 18
    assert mining["examples_total"] == sum(mining["counts"].values())
    patterns = files["self_correction"]["patterns"]
    assert {one["step"] for one in patterns} == {200}
    assert sum(one["n"] for one in patterns) == 1 + 18 + 1


def test_the_mix_is_the_one_of_the_newest_checkpoint(
    engine: Engine, out: Path, export: Export
) -> None:
    for _ in eventful(engine):
        pass
    assert export("--run", "run").code == 0
    file = read(out)["curriculum_optimization"]
    newest = file["evaluations"][-1]
    in_view = rows(engine, "curriculum", run="run")
    last = in_view[-1]["step"]
    of_view = [row for row in in_view if row["step"] == last]
    assert newest["step"] == file["recommendation"]["step"] == last
    assert {row["difficulty"]: row["accuracy"] for row in of_view} == {
        name: one["accuracy"] for name, one in newest["difficulties"].items()
    }
    assert {row["difficulty"]: row["recommended_share"] for row in of_view} == {
        name: file["recommendation"][name] for name in newest["difficulties"]
    }
    assert file["recommendation"]["reason"]


def test_the_lists_hold_the_rows_of_the_views(engine: Engine, out: Path, export: Export) -> None:
    for _ in eventful(engine):
        pass
    assert export("--run", "run").code == 0
    files = read(out)
    checks = [
        {name: row[status_bodies.RENAMED.get(name, name)] for name in columns_of("regression")}
        for row in files["regression_monitoring"]["checks"]
    ]
    for found, view in (
        (checks, "regression"),
        (files["automated_testing"]["results"], "tests"),
        (files["model_comparisons"]["rankings"], "ranking"),
        (files["checkpoint_sync"]["checkpoints"], "checkpoints"),
    ):
        expected = rows(engine, view, run="run")
        assert expected
        assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, expected)), view
    # What stands beside the bins is the same in all rows of the view about it.
    bins = [
        (evaluation["step"], name, one["ece"], one["verdict"], one["reason"], edges["bin_low"])
        for evaluation in files["confidence_calibration"]["evaluations"]
        for name, one in {"all": evaluation, **evaluation["difficulties"]}.items()
        for edges in one["bins"]
    ]
    assert sorted(map(str, bins)) == sorted(
        str(tuple(row[k] for k in ("step", "difficulty", "ece", "verdict", "reason", "bin_low")))
        for row in rows(engine, "calibration", run="run")
        if row["bin_low"] is not None
    )


def columns_of(view: str) -> list[str]:
    return [one.name for one in VIEWS[view].columns]


def test_every_key_is_the_one_that_the_page_names(
    engine: Engine, out: Path, export: Export
) -> None:
    for _ in eventful(engine):
        pass
    assert export("--run", "run").code == 0
    files = read(out)
    for file in FILES:
        found = files[Path(file.name).stem]
        assert set(found) == {key.name for key in (*HEAD, *file.keys)}
        for key in file.keys:
            for one in objects(found[key.name]):
                assert set(one) == keys_of(key, VIEWS) or not (key.view or key.inside), key.name


def objects(value: Any) -> list[dict[str, Any]]:
    """The rows in a list, in an object of lists, or the object itself."""
    match value:
        case list():
            return value
        case {"run": _}:
            return [value]
        case dict() if all(isinstance(one, list) for one in value.values()):
            return [row for its in value.values() for row in its]
        case _:
            return []


def test_an_empty_workspace_says_so(out: Path, export: Export) -> None:
    assert export().code == 0
    files = read(out)
    sync = files.pop("checkpoint_sync")
    assert sync["reason"] == "nothing was synced yet; no checkpoint has arrived yet"
    assert (sync["syncs"], sync["last_sync"]) == ([], None)
    assert {one["reason"] for one in files.values()} == {"nothing was evaluated yet"}
    assert {one["run"] for one in files.values()} == {None}
    assert files["curriculum_optimization"]["recommendation"] is None
    assert files["regression_monitoring"]["latest"] is None
    assert files["model_comparisons"]["best"] is None


def test_a_failed_evaluation_has_no_number(engine: Engine, out: Path, export: Export) -> None:
    logs.register_suite(engine, logs.questions("easy", 20, "easy"), suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=20)
    logs.fail(engine, evaluation, checkpoint, ["easy"], message="no weights")
    assert export().code == 0
    files = read(out)
    assert files["model_comparisons"]["best"] is None
    for name in ("model_comparisons", "adversarial_mining", "self_correction"):
        assert "no weights" in files[name]["reason"], name
    latest = files["regression_monitoring"]["latest"]
    assert (latest["verdict"], latest["loss"], latest["accuracy"]) == ("FAILED", None, None)
    assert files["automated_testing"]["summary"]["not_measured"] == 1


def test_a_file_that_says_the_same_is_left_alone(engine: Engine, out: Path, export: Export) -> None:
    fill(engine)
    assert "wrote 8 files" in export().err
    before = {one.name: one.stat() for one in out.iterdir()}
    assert f"wrote 0 files to {out}, and left 8" in export().err
    logs.arrive(engine, 400)
    assert "wrote 1 file " in export().err
    after = {one.name: one.stat() for one in out.iterdir()}
    changed = {name for name in NAMES if after[name].st_ino != before[name].st_ino}
    assert changed == {"checkpoint_sync.json"}
    assert all(after[name].st_mtime_ns == before[name].st_mtime_ns for name in NAMES - changed)


def test_what_is_no_status_file_is_replaced(engine: Engine, out: Path, export: Export) -> None:
    out.mkdir(parents=True)
    for name, content in zip(
        sorted(NAMES), ["", "{", "[]", "\xff", '{"position": 99}'], strict=False
    ):
        (out / name).write_text(content, encoding="latin-1")
    fill(engine)
    assert export().code == 0
    assert {one["milepost"] for one in read(out).values()} == {"0.1.0"}


def test_what_another_process_wrote_later_stays(engine: Engine, out: Path, export: Export) -> None:
    fill(engine)
    export()
    file = out / "model_comparisons.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    early = {**found, "position": 3, "rankings": []}
    assert status_files.stands(engine, file, early)
    of_another_log = {**found, "position": 1_000_000}
    file.write_text(json.dumps(of_another_log), encoding="utf-8")
    assert not status_files.stands(engine, file, early)


def test_a_reader_never_finds_half_a_file(engine: Engine, workspace: Workspace, out: Path) -> None:
    fill(engine)
    status_files.write(engine, workspace, out)
    file = out / "checkpoint_sync.json"
    ended = threading.Event()
    seen: set[int] = set()
    faults: list[ValueError] = []

    def look() -> None:
        while not ended.is_set():
            try:
                seen.add(json.loads(file.read_text(encoding="utf-8"))["syncs_total"])
            except ValueError as error:
                faults.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for n in range(15):
        log.append(engine, sync_failed(str(n)))
        assert status_files.write(engine, workspace, out).changed == [file.name]
    ended.set()
    reader.join()
    assert faults == []
    assert len(seen) > 1


def test_a_folder_that_cannot_be_made_is_named(out: Path, export: Export) -> None:
    out.parent.mkdir()
    out.write_text("here", encoding="utf-8")
    ran = export()
    assert ran.code == 3
    assert f"cannot write {out}/checkpoint_sync.json: " in ran.err
    assert out.read_text(encoding="utf-8") == "here"


def test_a_file_that_cannot_be_replaced_is_named(out: Path, export: Export) -> None:
    (out / "self_correction.json").mkdir(parents=True)
    ran = export()
    assert ran.code == 3
    assert f"cannot write {out}/self_correction.json: Is a directory." in ran.err
    assert {one.name for one in out.iterdir()} == NAMES


def test_an_infinite_number_is_never_written(engine: Engine, out: Path, export: Export) -> None:
    fill(engine)
    export()
    before = read(out)
    with engine.begin() as connection:
        connection.execute(text("UPDATE calibration_verdict SET ece = 9e999"))
    ran = export()
    assert ran.code == 3
    assert "confidence_calibration.json is not written" in ran.err
    assert read(out) == before


def test_a_view_that_stands_still_gives_null(engine: Engine, out: Path, export: Export) -> None:
    fill(engine)
    export()
    with engine.begin() as connection:
        connection.execute(
            update(PROJECTION).where(PROJECTION.c.name == "ranking").values(error="ValueError: x")
        )
    ran = export()
    assert ran.code == 3
    assert "view ranking stands still: ValueError: x. What is made of it is null." in ran.err
    files = read(out)
    stopped = files.pop("model_comparisons")
    assert stopped["reason"] == "view ranking stands still: ValueError: x"
    assert {stopped[name] for name in ("rankings", "rankings_total", "best")} == {None}
    assert {one["reason"] for one in files.values()} == {None, "nothing was synced yet"}


def test_the_run_that_was_evaluated_last_is_told_of(
    engine: Engine, out: Path, export: Export
) -> None:
    logs.register_suite(engine, logs.questions("easy", 20, "easy"), suite_id="easy")
    evaluate(engine, 100, run="old")
    evaluate(engine, 50, run="young")
    logs.arrive(engine, 900, run="old")
    export()
    assert {one["run"] for one in read(out).values()} == {"young"}
    export("--run", "old")
    assert read(out)["confidence_calibration"]["evaluations"][-1]["step"] == 100
    unknown = export("--run", "none")
    assert unknown.code == 2
    assert "none" in unknown.err


def test_lists_are_bounded_and_the_total_stands_beside(
    engine: Engine, out: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NEWEST", "RANKED", "OF_EACH_TYPE", "FAILED_EXAMPLES", "PATTERNS"):
        monkeypatch.setattr(status_bodies, name, 2)
    fill(engine)
    for step in (10, 20):
        evaluate(engine, step)
    for n in range(3):
        log.append(engine, sync_failed(str(n), f"failure {n}"))
    export()
    files = read(out)
    sync = files["checkpoint_sync"]
    assert [one["reason"] for one in sync["syncs"]] == ["failure 1", "failure 2"]
    assert [one["step"] for one in sync["checkpoints"]] == [200, 300]
    assert (sync["syncs_total"], sync["checkpoints_total"]) == (3, 5)
    calibration = files["confidence_calibration"]
    assert [one["step"] for one in calibration["evaluations"]] == [100, 200]
    assert calibration["checkpoints_total"] == 4
    assert {one["step"] for one in files["regression_monitoring"]["checks"]} == {100, 200}
    comparisons = files["model_comparisons"]
    assert (len(comparisons["rankings"]), comparisons["rankings_total"]) == (2, 4)
    testing = files["automated_testing"]
    assert (len(testing["failed_examples"]), testing["failed_examples_total"]) == (2, 19)
    mining = files["adversarial_mining"]
    assert (len(mining["examples"]["forgotten"]), mining["counts"]["forgotten"]) == (2, 18)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "csv"], "the status files are JSON: leave --format out."),
        (["--checkpoint", "100"], "--checkpoint goes with junit and corrections."),
    ],
)
def test_what_does_not_go_with_status_is_refused(
    out: Path, export: Export, arguments: list[str], words: str
) -> None:
    ran = export(*arguments)
    assert ran.code == 2
    assert words in ran.err
    assert not out.exists()


def test_standard_output_is_no_folder(export: Export) -> None:
    ran = export(to=Path("-"))
    assert ran.code == 2
    assert "name a folder with --out" in ran.err


def test_both_databases_give_the_same_files(sqlite_engine: Engine, postgres_engine: Engine) -> None:
    bodies = []
    for engine in (sqlite_engine, postgres_engine):
        for _ in eventful(engine):
            pass
        assert bring_up_to_date(engine, registry.projections(Settings())) == []
        with reading(engine) as connection:
            source = status_bodies.source_of(connection, registry.views(Settings()), "run")
            bodies.append([without_times(one.body(source).values) for one in FILES])
    assert bodies[0] == bodies[1]


def without_times(value: Any) -> Any:
    """Without what the clock gave: the two logs are not of the same second."""
    match value:
        case dict():
            return {
                name: without_times(one) for name, one in value.items() if not name.endswith("_at")
            }
        case list():
            return [without_times(one) for one in value]
        case _:
            return value


ASKS = [(one.name, asked) for one in FILES for _, asked in one.asks]


def test_python_reads_what_the_page_asks_jq_for(engine: Engine, out: Path, export: Export) -> None:
    fill(engine)
    log.append(engine, sync_completed("1"))
    export()
    plain = [(name, asked) for name, asked in ASKS if PLAIN.match(asked)]
    assert len(plain) >= len(FILES) - 2
    for name, asked in plain:
        value = follow(json.loads((out / name).read_text(encoding="utf-8")), asked)
        assert value is not None, asked


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not here")
def test_jq_answers_what_the_page_asks_it(engine: Engine, out: Path, export: Export) -> None:
    fill(engine)
    log.append(engine, sync_completed("1"))
    export()
    answers = {}
    for name, asked in ASKS:
        ran = subprocess.run(
            ["jq", "--compact-output", asked, name],
            cwd=out,
            capture_output=True,
            text=True,
            check=True,
        )
        answers[name, asked] = json.loads(ran.stdout)
        if PLAIN.match(asked):
            assert answers[name, asked] == follow(
                json.loads((out / name).read_text("utf-8")), asked
            )
    of_tests = [value for (name, _), value in answers.items() if name == "automated_testing.json"]
    assert of_tests == [1, ["hard"]]
    assert [200] in answers.values()  # the steps that regressed
    assert [300] in answers.values()  # the checkpoints that wait


def follow(value: Any, path: str) -> Any:
    """What `.key[-1].key` of jq leads to."""
    for key, index in re.findall(r"\.(\w+)|\[(-?\d+)\]", path):
        value = value[key] if key else value[int(index)]
    return value


def test_the_keeper_writes_at_first_and_after_an_evaluation(
    engine: Engine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_EXPORT__STATUS", "kept")
    logs.register_suite(engine, logs.questions("easy", 20, "easy"), suite_id="easy")
    file = root / "kept" / "confidence_calibration.json"
    keep = status_files.keeper(engine, load_workspace(root))
    keep()
    assert json.loads(file.read_text(encoding="utf-8"))["evaluations"] == []
    evaluate(engine, 100)
    file.unlink()
    keep()
    assert len(json.loads(file.read_text(encoding="utf-8"))["evaluations"]) == 1
    file.unlink()
    logs.arrive(engine, 200)
    keep()
    assert not file.exists()


def test_the_keeper_says_what_keeps_it_and_goes_on(
    engine: Engine,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MILEPOST_EXPORT__STATUS", "kept")
    (root / "kept").write_text("a file", encoding="utf-8")
    logs.register_suite(engine, logs.questions("easy", 20, "easy"), suite_id="easy")
    keep = status_files.keeper(engine, load_workspace(root))
    for step in (100, 200):
        evaluate(engine, step)
        keep()
    said = capsys.readouterr().out
    assert said.count("status files FAILED: cannot write") == 1
    (root / "kept").unlink()
    evaluate(engine, 300)
    keep()
    assert {one.name for one in (root / "kept").iterdir()} == NAMES


def test_without_a_folder_the_keeper_writes_nothing(engine: Engine, workspace: Workspace) -> None:
    evaluate_first = status_files.keeper(engine, workspace)
    evaluate_first()
    assert not list(workspace.root.rglob("checkpoint_sync.json"))
