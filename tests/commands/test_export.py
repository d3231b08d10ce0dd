"""What is exported reads back equal, in every format, through readers that are not ours."""

from __future__ import annotations

import csv
import json
import math
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import pyarrow
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from sqlalchemy import Engine

from commands.encoding import Encoding
from commands.export import SOURCES, What, chunks, export
from data.workspace import make
from errors import ExportFault, UsageError
from settings import Workspace
from store import log
from store.engine import connect, reading
from store.events import PredictionsRecorded
from store.log import Rows
from store.records import Prediction
from tests import logs
from tests.logs import Seen
from tests.views.deriving import answered, rejected, sync_completed
from views.view import Column

BIG = 2**53 + 1
TEXTS = [
    "",
    "commas, \"quotes\" and 'more'",
    "lines\nof\r\nall\rkinds",
    "\u2028\u2029\x85\x0b\x0c line breaks of Unicode",
    "\x01\x1f\t\x7f controls",
    "é ü 漢字 🙂 ‮ \ufeff",
    " spaces ",
    "null",
    "NaN",
    "0123",
    "\\N \\n",
]
FLOATS = [5e-324, 2.2250738585072014e-308, 0.1 + 0.2, 1 / 3, -1.7976931348623157e308, -0.5, 1e22]


class Case(NamedTuple):
    workspace: Workspace
    engine: Engine


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """A workspace with a log in which every column has nulls, and values that are hard to write."""
    workspace = make(tmp_path / "workspace")
    engine = connect(workspace.database_url)
    fill(engine)
    yield Case(workspace, engine)
    engine.dispose()


@pytest.fixture
def postgres_case(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """The same log in PostgreSQL."""
    monkeypatch.setenv("MILEPOST_DATABASE__URL", postgres_url)
    workspace = make(tmp_path / "workspace")
    engine = connect(workspace.database_url)
    fill(engine)
    yield Case(workspace, engine)
    engine.dispose()


def fill(engine: Engine) -> None:
    asked = [
        logs.example("easy", f"asks {text}", f"target {text}", k, skill=None if k % 2 else text)
        for k, text in enumerate(TEXTS)
    ]
    logs.register_suite(engine, asked, suite_id="easy", difficulty="easy")
    checkpoint = logs.arrive(engine, 100, run='run "a", b')
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=len(asked))
    seen = [
        logs.prediction(evaluation, one, Seen(text, -k / 7, -k / 3))
        for k, (one, text) in enumerate(zip(asked, TEXTS, strict=True))
    ]
    hard = [
        Prediction(
            **{
                **vars(one),
                "prompt_tokens": BIG + k,
                "prompt_truncated": bool(k % 2),
                "target_entropy": number,
            }
        )
        for k, (one, number) in enumerate(zip(seen, FLOATS * 2, strict=False))
    ]
    hard[-1] = logs.prediction(evaluation, asked[-1], Seen("", error=TEXTS[2]))
    log.append(
        engine,
        PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=len(hard) - 1, failed=1),
        rows=Rows(predictions=hard),
    )
    logs.complete(engine, evaluation, checkpoint, scored=len(hard) - 1, failed=1)
    other = logs.arrive(engine, 5, run="other")
    logs.evaluate(engine, other, ["easy"], answered(asked, 3))
    broken = logs.arrive(engine, 7, run="other")
    failed = logs.start(engine, broken, ["easy"], examples=len(asked))
    logs.fail(engine, failed, broken, ["easy"], message=TEXTS[1])
    log.append(engine, rejected("/checkpoints/run/checkpoint-500", TEXTS[3]))
    log.append(engine, sync_completed("3"))


def stored(case: Case, what: What, where: str = "") -> list[dict[str, Any]]:
    """What the database's own driver gives, with flags as bool and JSON as values."""
    source = SOURCES[what]
    order = {What.predictions: "run, step, suite, example_id, sample"}.get(what, source.order)
    names = ", ".join(column.name for column in source.columns)
    query = f"SELECT {names} FROM {source.relation} {where} ORDER BY {order}"
    with case.engine.connect() as connection:
        rows = connection.exec_driver_sql(query).fetchall()
    return [
        {
            column.name: _value(column, value)
            for column, value in zip(source.columns, row, strict=True)
        }
        for row in rows
    ]


def _value(column: Column, value: Any) -> Any:
    if value is None:
        return None
    match column.unit:
        case "flag":
            return bool(value)
        case "json":
            return json.loads(value)
        case _:
            return value


def read_jsonl(file: Path, _columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def read_csv(file: Path, columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    table = arrow_csv.read_csv(
        file,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types={column.name: _arrow_type(column) for column in columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return _with_json(table.to_pylist(), columns)


def read_parquet(file: Path, columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    return _with_json(parquet.read_table(file).to_pylist(), columns)


def _with_json(rows: list[dict[str, Any]], columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    names = {column.name for column in columns if column.unit == "json"}
    return [
        {name: json.loads(one) if name in names and one else one for name, one in row.items()}
        for row in rows
    ]


def _arrow_type(column: Column) -> Any:
    match column.unit:
        case "count" | "step" | "bytes":
            return pyarrow.int64()
        case "seconds" | "nats" | "share" | "number":
            return pyarrow.float64()
        case "flag":
            return pyarrow.bool_()
        case _:
            return pyarrow.string()


READERS: dict[str, Callable[[Path, tuple[Column, ...]], list[dict[str, Any]]]] = {
    "jsonl": read_jsonl,
    "csv": read_csv,
    "parquet": read_parquet,
}


@pytest.mark.parametrize("what", What)
@pytest.mark.parametrize("encoding", Encoding)
def test_what_is_exported_reads_back_equal(
    case: Case, tmp_path: Path, what: What, encoding: Encoding
) -> None:
    file = tmp_path / f"{what}.{encoding}"
    export(case.workspace, what, str(file))
    read = READERS[encoding](file, SOURCES[what].columns)
    assert [list(row) for row in read] == [[one.name for one in SOURCES[what].columns]] * len(read)
    expected = stored(case, what)
    assert read == expected
    assert [repr(row) for row in read] == [repr(row) for row in expected]


@pytest.mark.parametrize("what", What)
@pytest.mark.parametrize("encoding", Encoding)
def test_what_is_exported_from_postgresql_reads_back_equal(
    postgres_case: Case, tmp_path: Path, what: What, encoding: Encoding
) -> None:
    file = tmp_path / f"{what}.{encoding}"
    export(postgres_case.workspace, what, str(file))
    read = READERS[encoding](file, SOURCES[what].columns)
    assert [repr(row) for row in read] == [repr(row) for row in stored(postgres_case, what)]
    assert read


def test_the_log_holds_the_hard_cases(case: Case, tmp_path: Path) -> None:
    """The comparisons above are worth what the rows hold."""
    file = tmp_path / "predictions.jsonl"
    export(case.workspace, What.predictions, str(file))
    rows = read_jsonl(file, ())
    assert {row["generated_text"] for row in rows} >= {*TEXTS[:-1], None}
    assert {row["prompt_tokens"] for row in rows} >= {BIG, BIG + 1, None}
    assert {row["target_entropy"] for row in rows} >= set(FLOATS)
    assert {row["prompt_truncated"] for row in rows} == {True, False, None}
    assert {row["correct"] for row in rows} == {True, False, None}


def test_the_standard_csv_reader_and_pandas_read_the_csv(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "predictions.csv"
    export(case.workspace, What.predictions, str(file))
    expected = stored(case, What.predictions)
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [row["generated_text"] for row in rows] == [
        row["generated_text"] or "" for row in expected
    ]
    assert [int(row["prompt_tokens"]) for row in rows if row["prompt_tokens"]] == [
        row["prompt_tokens"] for row in expected if row["prompt_tokens"] is not None
    ]
    frame = pandas.read_csv(file)
    losses = [row["loss"] for row in expected]
    read = [None if math.isnan(one) else one for one in frame["loss"].tolist()]
    assert read == losses


def test_an_empty_text_and_a_null_look_different_in_csv(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "predictions.csv"
    export(case.workspace, What.predictions, str(file))
    # prompt, target, choices, generated_text, grader
    assert ',"asks ","target ",,"","exact@2",' in file.read_text(encoding="utf-8")


def test_parquet_types_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    workspace = make(tmp_path / "workspace")
    for what in What:
        file = tmp_path / f"{what}.parquet"
        export(workspace, what, str(file))
        table = parquet.read_table(file)
        assert table.num_rows == 0
        types = {column.name: _arrow_type(column) for column in SOURCES[what].columns}
        assert dict(zip(table.schema.names, table.schema.types, strict=True)) == types


@pytest.mark.parametrize("what", [What.predictions, What.results])
def test_a_run_is_exported_alone(case: Case, tmp_path: Path, what: What) -> None:
    file = tmp_path / "run.jsonl"
    export(case.workspace, what, str(file), run="other")
    rows = read_jsonl(file, ())
    assert rows == stored(case, what, "WHERE run = 'other'")
    assert rows


def test_the_events_of_a_run_are_those_of_its_checkpoints(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    export(case.workspace, What.events, str(file), run="other")
    assert [row["type"] for row in read_jsonl(file, ())] == [
        "CheckpointArrived",
        "EvaluationStarted",
        "PredictionsRecorded",
        "EvaluationCompleted",
        "CheckpointArrived",
        "EvaluationStarted",
        "EvaluationFailed",
    ]
    export(case.workspace, What.events, str(file), run="run", force=True)
    assert [row["type"] for row in read_jsonl(file, ())] == ["CheckpointRejected", "SyncCompleted"]


def test_an_unknown_run_names_the_known_ones(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no run 'others'.*other"):
        export(case.workspace, What.results, str(tmp_path / "out.csv"), run="others")
    assert not (tmp_path / "out.csv").exists()


def test_a_file_is_replaced_only_with_force(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"exists\. --force replaces it"):
        export(case.workspace, What.results, str(file))
    assert file.read_text() == "mine"
    link = tmp_path / "link.csv"
    link.symlink_to(file)
    export(case.workspace, What.results, str(link), force=True)
    assert link.is_symlink()
    assert file.read_text().startswith("run,")
    assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444


@pytest.mark.parametrize(
    ("out", "encoding", "said"),
    [
        ("out.txt", None, r"ends in none of \.jsonl, \.csv, \.parquet"),
        ("-", Encoding.parquet, "Parquet needs a file"),
        ("/dev/full", Encoding.parquet, "Parquet needs a file"),
    ],
)
def test_a_format_that_does_not_fit_is_a_usage_error(
    case: Case, out: str, encoding: Encoding | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        export(case.workspace, What.results, out, encoding=encoding)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("/dev/full", "cannot write /dev/full: No space left on device. Make room"),
        ("absent/out.csv", "cannot write absent/out.csv: No such file.*Make its folder first"),
        ("folder.csv", "cannot write folder.csv: Is a directory"),
        ("/proc/out.csv", "cannot write /proc/out.csv"),
    ],
)
def test_what_cannot_be_written_is_a_fault_that_names_the_file(
    case: Case, out: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    with pytest.raises(ExportFault, match=said):
        export(case.workspace, What.results, out)


@pytest.mark.parametrize("encoding", Encoding)
def test_a_full_disk_leaves_no_half_file_and_keeps_the_old_one(
    case: Case, tmp_path: Path, encoding: Encoding
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    file = folder / f"predictions.{encoding}"
    file.write_text("old")
    export(case.workspace, What.results, str(tmp_path / "first.csv"))  # derives the views

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    ran = milepost(case, "export", "predictions", "--out", str(file), "--force", preexec_fn=small)
    assert ran.returncode == 3
    assert f"cannot write {file}: File too large. Make room" in " ".join(
        ran.stderr.decode().split()
    )
    assert [one.name for one in folder.iterdir()] == [file.name]
    assert file.read_text() == "old"


def milepost(case: Case, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, "MILEPOST_WORKSPACE": str(case.workspace.root), "COLUMNS": "500"},
        **options,
    )


def test_standard_output_holds_the_rows_alone(case: Case) -> None:
    ran = milepost(case, "export", "events", "--out", "-")
    assert ran.returncode == 0
    rows = [json.loads(line) for line in ran.stdout.decode().splitlines()]
    assert rows == stored(case, What.events)
    assert ran.stderr.decode() == f"exported {len(rows)} events to -\n"


def test_a_reader_that_stops_is_told_of_and_nothing_more(case: Case) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        command = [sys.executable, "-m", "cli", "export", "predictions", "--out", "-"]
        ran = subprocess.run(
            command,
            stdout=closed,
            stderr=subprocess.PIPE,
            env={**os.environ, "MILEPOST_WORKSPACE": str(case.workspace.root), "COLUMNS": "500"},
            check=False,
        )
    assert ran.returncode == 3
    assert ran.stderr.decode() == (
        "milepost: cannot write standard output: Broken pipe. Whoever read it has stopped, so it "
        "is not whole.\n"
    )


def test_rows_come_in_chunks_that_do_not_grow_with_the_log(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.export.CHUNK_ROWS", 3)
    for step in range(8):
        logs.arrive(engine, step)
    with reading(engine) as connection:
        sizes = [len(rows) for rows in chunks(connection, What.events, None)]
    assert sizes == [3, 3, 2]
