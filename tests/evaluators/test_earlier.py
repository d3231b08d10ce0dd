"""What the worker keeps from one checkpoint for the next: texts as drafts, and the engine."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import Engine, select

from evaluators import engine as passes
from evaluators.claims import Task
from evaluators.earlier import texts
from evaluators.keeper import Keeper
from evaluators.loading import NO_TRUST
from evaluators.register import register_suites
from evaluators.worker import Worker
from store.events import EvaluationAbandoned, EvaluationCompleted, EvaluationFailed
from store.records import Example
from store.schema import PREDICTION
from tests.evaluators.conftest import Checkpoint
from tests.evaluators.test_worker import ROWS, SETTINGS, Bench, arrive, workspace

Given = list[Mapping[str, Sequence[str]]]


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    return Bench(engine, workspace(tmp_path, {"sums": ROWS}))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """The drafts that each plan was made with."""
    found: Given = []
    plan = passes.Engine.plan

    def watched(
        engine: passes.Engine,
        examples: Iterable[Example],
        drafts: Mapping[str, Sequence[str]] | None = None,
    ) -> passes.Plan:
        found.append(drafts or {})
        return plan(engine, examples, drafts)

    monkeypatch.setattr(passes.Engine, "plan", watched)
    return found


def copy(source: Path, target: Path, factor: float = 1.0) -> Path:
    """The checkpoint with its embeddings scaled."""
    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    weights["model.embed_tokens.weight"] *= factor
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def written(engine: Engine, evaluation_id: str) -> dict[str, Any]:
    query = select(PREDICTION).where(PREDICTION.c.evaluation_id == evaluation_id)
    with engine.connect() as connection:
        return {row.example_id: row for row in connection.execute(query)}


def completed(bench: Bench) -> list[EvaluationCompleted]:
    return [
        one for one in bench.events(EvaluationCompleted) if isinstance(one, EvaluationCompleted)
    ]


def test_drafts_are_what_the_nearest_step_wrote(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path, given: Given
) -> None:
    for step in (100, 300, 900):
        arrive(bench.engine, copy(checkpoint("llama"), tmp_path / str(step), 1 + step / 1000), step)
        bench.run()
    by_step = {one.checkpoint_id: one.evaluation_id for one in completed(bench)}
    arrive(bench.engine, copy(checkpoint("llama"), tmp_path / "400", 1.4), 400)
    bench.run()
    assert given[0] == {}
    said = {
        example_id: [row.generated_text]
        for example_id, row in written(bench.engine, by_step["checkpoint 300"]).items()
        if row.generated_text
    }
    assert said
    assert given[-1] == said


def test_another_run_and_other_suites_give_no_drafts(bench: Bench, checkpoint: Checkpoint) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    bench.run()
    suites = [one.suite_id for one in register_suites(bench.engine, bench.place)]
    task = Task("other evaluation", "checkpoint 200", "run", 200, Path(), 0, 1)
    with bench.engine.connect() as connection:
        assert texts(connection, task, suites)
        assert texts(connection, task._replace(run="other"), suites) == {}
        assert texts(connection, task, ["other suite"]) == {}


def test_drafts_change_no_number(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    bench.run()
    later = copy(checkpoint("llama"), tmp_path / "later", 1.3)
    arrive(bench.engine, later, 200)
    bench.run()
    drafted = written(bench.engine, completed(bench)[-1].evaluation_id)
    monkeypatch.setattr("evaluators.worker.texts", lambda *_: {})
    arrive(bench.engine, later, 300)
    bench.run()
    plain = written(bench.engine, completed(bench)[-1].evaluation_id)
    assert drafted.keys() == plain.keys()
    for example_id, row in drafted.items():
        assert row.generated_text == plain[example_id].generated_text
        assert row.finish_reason == plain[example_id].finish_reason
        assert row.target_logprob == pytest.approx(plain[example_id].target_logprob, abs=1e-4)
        assert row.generated_logprob == pytest.approx(plain[example_id].generated_logprob, abs=1e-4)


def test_the_engine_stays_for_the_next_checkpoint_and_leaves_when_none_comes(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    models = []
    load = passes.load

    def watched(*arguments: Any) -> passes.Engine:
        engine = load(*arguments)
        models.append(weakref.ref(engine._standing.model._model))
        return engine

    settings = SETTINGS.model_copy(update={"unload_after_seconds": 3600.0})
    suites = register_suites(bench.engine, bench.place)
    keeper = Keeper()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluators.engine.load", watched)
        for step in (100, 200):
            arrive(bench.engine, copy(checkpoint("llama"), tmp_path / str(step), step / 100), step)
        for seconds in (3600.0, 0.0):
            worker = Worker(
                bench.engine,
                suites,
                settings.model_copy(update={"unload_after_seconds": seconds}),
                bench.stop,
                lambda: None,
                lambda *_: None,
                NO_TRUST,
                keeper,
            )
            worker.run_pending()
            gc.collect()
            assert (models[0]() is not None) == bool(seconds)
    assert len(models) == 2
    assert len(completed(bench)) == 2


def test_a_checkpoint_that_does_not_load_does_not_spoil_the_one_after_it(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    broken = copy(checkpoint("llama"), tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"not weights")
    arrive(bench.engine, copy(checkpoint("llama"), tmp_path / "first"), 300)
    arrive(bench.engine, broken, 200)
    arrive(bench.engine, copy(checkpoint("llama"), tmp_path / "last", 1.5), 100)
    assert bench.run() == 3
    assert [one.checkpoint_id for one in completed(bench)] == ["checkpoint 300", "checkpoint 100"]
    assert len(bench.events(EvaluationFailed)) == 1


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_checkpoint_that_is_being_deleted_is_given_up_and_not_failed(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path, name: str
) -> None:
    half = copy(checkpoint("llama"), tmp_path / "half")
    (half / name).unlink()
    arrive(bench.engine, half, 100)
    bench.run()
    assert bench.events(EvaluationFailed) == []
    (abandoned,) = bench.events(EvaluationAbandoned)
    assert isinstance(abandoned, EvaluationAbandoned)
    assert f"files of {half} are gone" in abandoned.reason


def test_a_checkpoint_deleted_in_the_middle_is_evaluated_to_its_end(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = copy(checkpoint("llama"), tmp_path / "gone")
    arrive(bench.engine, folder, 100)
    bench.after = lambda _recorded: shutil.rmtree(folder, ignore_errors=True)
    assert bench.run() == 1
    (ended,) = completed(bench)
    assert (ended.scored, ended.failed) == (12, 0)


def test_memory_that_runs_out_on_the_cpu_is_worth_another_attempt(
    bench: Bench, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    arrive(bench.engine, checkpoint("llama"), 100)
    monkeypatch.setattr("evaluators.engine.load", out_of_memory)
    bench.run()
    failures = [one for one in bench.events(EvaluationFailed) if isinstance(one, EvaluationFailed)]
    assert [(one.error, one.retriable) for one in failures] == [("RuntimeError", True)] * 3
    assert "free some, or lower batch_tokens" in failures[0].message
