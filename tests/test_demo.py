"""The demo, whole: a real model trains, real checkpoints are synced, evaluated and judged."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from commands.supervisor import milepost
from docs import make
from settings import load_workspace
from store.engine import connect
from store.projections import replay
from tests.conftest import Demo
from views import registry

pytestmark = [pytest.mark.demo, pytest.mark.timeout(900)]

# What scripts read: each view's keys, and whether there is a row for a checkpoint.
SHAPES = {
    "checkpoints": "checkpoint_id run step path bytes arrived_at status",
    "results": (
        "checkpoint_id step suite difficulty n n_failed loss perplexity token_accuracy accuracy"
    ),
    "regression": (
        "checkpoint_id step baseline_step suite difficulty loss loss_before loss_change accuracy "
        "accuracy_before accuracy_change verdict reason"
    ),
    "ranking": "rank checkpoint_id step score loss accuracy balance consistency",
    "calibration": (
        "checkpoint_id step difficulty bin_low bin_high n confidence accuracy ece brier"
    ),
    "confidences": "checkpoint_id step difficulty kind n confidence accuracy ece smooth_ece brier",
    "temperature": "checkpoint_id step what temperature nll_before nll_after ece_before ece_after",
    "curriculum": "step difficulty loss accuracy recommended_share strategy reason",
    "tests": "checkpoint_id step suite passed accuracy threshold n n_failed",
    "flips": "checkpoint_id step against baseline_step suite flip prompt answer_before answer",
    "hard-examples": "",
    "corrections": "",
    "alerts": "",
}


def show(workspace: Path, view: str) -> list[dict[str, Any]]:
    ran = subprocess.run(
        milepost("show", view, "--format", "json", workspace=workspace),
        capture_output=True,
        text=True,
        check=True,
    )

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    rows: list[dict[str, Any]] = json.loads(ran.stdout, parse_constant=refuse)
    return rows


def test_it_ends_well_with_a_summary(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    assert "✗" not in demo.output
    assert demo.output.count("✓") == 5
    assert "Traceback" not in demo.output
    assert "Warning" not in demo.output


def test_no_process_left_a_warning_or_a_traceback_in_its_log(demo: Demo) -> None:
    names = {file.name for file in (demo.workspace / "logs").iterdir()}
    assert names == {"sync.log", "watch.log", "evaluate.log", "trainer.log"}
    for file in (demo.workspace / "logs").iterdir():
        text = file.read_text(encoding="utf-8")
        assert "Traceback" not in text, text
        assert "warn" not in text.lower(), text


@pytest.mark.parametrize(("view", "keys"), SHAPES.items())
def test_every_view_has_the_keys_that_scripts_read(demo: Demo, view: str, keys: str) -> None:
    rows = show(demo.workspace, view)
    assert rows
    for row in rows:
        assert set(keys.split()) <= row.keys()
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))


def test_every_checkpoint_of_the_trainer_is_evaluated_once_and_whole(demo: Demo) -> None:
    trained = {
        int(folder.name.split("-")[1])
        for folder in (demo.workspace / "trainer" / "demo-1").glob("checkpoint-*")
    }
    rows = show(demo.workspace, "checkpoints")
    assert {row["step"] for row in rows} == trained
    assert len(rows) == len(trained) >= 8
    assert {(row["status"], row["examples"], row["scored"], row["failed"]) for row in rows} == {
        ("evaluated", 350, 350, 0)
    }


def test_the_damaged_checkpoint_regressed_and_the_recovery_did_not(demo: Demo) -> None:
    shown = show(demo.workspace, "regression")
    rows = [row for row in shown if row["suite"] == row["difficulty"] == "all"]
    verdicts = [row["verdict"] for row in rows]
    assert verdicts.count("REGRESSED") == 1
    at = verdicts.index("REGRESSED")
    assert rows[at]["loss_change"] > 0.15
    assert verdicts[at + 1] == "OK"


def test_accuracy_rises_and_falls_with_difficulty(demo: Demo) -> None:
    rows = [row for row in show(demo.workspace, "results") if row["role"] == "validation"]
    steps = sorted({row["step"] for row in rows})
    last = {row["difficulty"]: row["accuracy"] for row in rows if row["step"] == steps[-1]}
    first = {row["difficulty"]: row["accuracy"] for row in rows if row["step"] == steps[0]}
    assert last["easy"] > last["medium"] > last["hard"]
    assert last["easy"] >= first["easy"] + 0.2


def test_the_recommended_mix_sums_to_100_from_the_second_step_on(demo: Demo) -> None:
    rows = show(demo.workspace, "curriculum")
    first, *later = sorted({row["step"] for row in rows})
    assert {row["recommended_share"] for row in rows if row["step"] == first} == {None}
    for step in later:
        shares = [row["recommended_share"] for row in rows if row["step"] == step]
        assert (len(shares), sum(shares)) == (3, 100)


def test_every_documented_query_answers_on_it(demo: Demo) -> None:
    queries = [query for _, query in make.QUERIES.values()]
    with sqlite3.connect(f"file:{demo.workspace}/milepost.db?mode=ro", uri=True) as client:
        answers = {query: client.execute(query).fetchall() for query in queries}
    empty = [query for query, rows in answers.items() if not rows]
    # Everything was evaluated, and nothing exported to train on.
    assert empty == [make.QUERIES[name][1] for name in ("checkpoints", "effects")]


def test_replay_leaves_every_derived_table_equal_row_for_row(demo: Demo) -> None:
    workspace = load_workspace(demo.workspace)
    projections = registry.projections(workspace.settings)
    tables = [table.name for one in projections for table in one.tables]
    with sqlite3.connect(f"file:{demo.workspace}/milepost.db?mode=ro", uri=True) as client:

        def dump() -> dict[str, list[Any]]:
            return {
                name: sorted(client.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
                for name in [*tables, "projection"]
            }

        before = dump()
        engine = connect(workspace.database_url)
        assert replay(engine, projections) == []
        engine.dispose()
        assert dump() == before
    assert len(before["grade"]) >= 8 * 350


def test_status_is_well_and_knows_the_evaluators_memory(demo: Demo) -> None:
    ran = subprocess.run(
        milepost("status", "--format", "json", workspace=demo.workspace),
        capture_output=True,
        text=True,
        check=False,
    )
    state = json.loads(ran.stdout)
    assert (ran.returncode, state["troubles"]) == (0, [])
    assert 10**8 < state["peak_bytes"] < 2 * 10**9
    assert state["processes"] == []
