"""A worker evaluates each checkpoint once, whole, and says by name what it could not do."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import Engine, delete, func, insert, select

from errors import ConcurrencyError
from evaluators.claims import PROCESS, Task, Wanted, host, pending
from evaluators.register import register_suites
from evaluators.worker import Worker
from settings import EvaluationSettings, Workspace, parse
from store import log
from store.check import misfits
from store.events import (
    CheckpointArrived,
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    Event,
    PredictionsRecorded,
)
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from store.schema import EXAMPLE, HEARTBEAT, PREDICTION, TOKEN_TRACE
from tests.evaluators.checkpoints import make_model, save
from tests.evaluators.conftest import Checkpoint

ROWS: list[dict[str, object]] = [
    {"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(12)
]
SETTINGS = EvaluationSettings(threads=1, batch_tokens=120, max_new_tokens=4)


def write(file: Path, rows: list[dict[str, object]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def workspace(root: Path, suites: dict[str, list[dict[str, object]]], extra: str = "") -> Workspace:
    text = ""
    for name, rows in suites.items():
        path = write(root / f"{name}.jsonl", rows)
        text += f"[[suite]]\nname = '{name}'\npath = '{path}'\n{extra}\n"
    return Workspace(root, parse(text, root / "milepost.toml"))


def arrive(engine: Engine, path: Path, step: int) -> str:
    checkpoint_id = f"checkpoint {step}"
    log.append(
        engine,
        CheckpointArrived(
            checkpoint_id=checkpoint_id,
            run="run",
            step=step,
            path=str(path),
            bytes=1,
            dtype="F32",
            architecture="LlamaForCausalLM",
            parameters=1,
            kind="full",
            epoch=None,
            train_loss=None,
            learning_rate=None,
        ),
    )
    return checkpoint_id


@dataclass
class Bench:
    """A database, suites and a worker on them."""

    engine: Engine
    place: Workspace
    settings: EvaluationSettings = SETTINGS
    stop: threading.Event = field(default_factory=threading.Event)
    derived: int = 0
    seen: list[tuple[int, int, int]] = field(default_factory=list)
    after: Callable[[int], None] = lambda _recorded: None

    def run(self) -> int:
        suites = register_suites(self.engine, self.place)
        return Worker(
            self.engine, suites, self.settings, self.stop, self._derive, self._progress
        ).run_pending()

    def _derive(self) -> None:
        self.derived += 1

    def _progress(self, task: Task, recorded: int, examples: int) -> None:
        self.seen.append((task.step, recorded, examples))
        self.after(recorded)

    def events(self, *types: type[Event]) -> list[Event]:
        with self.engine.connect() as connection:
            return [one.event for one in log.read(connection, types=types or None)]

    def count(self, table: object = PREDICTION) -> int:
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    return Bench(engine, workspace(tmp_path, {"sums": ROWS}))


def test_a_checkpoint_is_evaluated_once_with_every_example(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    assert bench.run() == 1
    assert bench.run() == 0
    (started,) = bench.events(EvaluationStarted)
    (completed,) = bench.events(EvaluationCompleted)
    assert isinstance(started, EvaluationStarted)
    assert isinstance(completed, EvaluationCompleted)
    assert (started.examples, started.attempt, started.pid) == (12, 1, os.getpid())
    assert (started.device, started.dtype, started.prompt_format) == (
        "cpu",
        "float32",
        "chat-template",
    )
    assert (completed.scored, completed.failed) == (12, 0)
    assert completed.peak_bytes > 10**8
    assert bench.count() == 12
    assert bench.count(TOKEN_TRACE) == 24


def test_batches_are_in_the_log_as_they_are_done(bench: Bench, checkpoint: Checkpoint) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    bench.run()
    batches = bench.events(PredictionsRecorded)
    assert len(batches) >= 2
    assert bench.derived >= len(batches)
    recorded = [recorded for _, recorded, _ in bench.seen]
    assert recorded[0] == 0
    assert recorded == sorted(recorded)
    assert recorded[-1] == 12


def test_the_newest_step_goes_first(bench: Bench, checkpoint: Checkpoint) -> None:
    for step in (200, 300, 100):
        arrive(bench.engine, checkpoint("llama"), step)
    bench.run()
    assert list(dict.fromkeys(step for step, _, _ in bench.seen)) == [300, 200, 100]


def test_the_oldest_step_goes_first_where_that_is_wanted(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    bench.settings = SETTINGS.model_copy(update={"order": "oldest"})
    for step in (200, 300, 100):
        arrive(bench.engine, checkpoint("llama"), step)
    bench.run()
    assert list(dict.fromkeys(step for step, _, _ in bench.seen)) == [100, 200, 300]


def test_an_interrupted_evaluation_goes_on_where_it_was(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    bench.after = lambda recorded: bench.stop.set() if recorded else None
    bench.run()
    part = bench.count()
    assert 0 < part < 12
    assert bench.events(EvaluationCompleted) == []
    bench.stop.clear()
    bench.after = lambda _recorded: None
    assert bench.run() == 1
    starts = bench.events(EvaluationStarted)
    assert [one.attempt for one in starts if isinstance(one, EvaluationStarted)] == [1, 2]
    (completed,) = bench.events(EvaluationCompleted)
    assert isinstance(completed, EvaluationCompleted)
    assert completed.scored == 12
    assert bench.count() == 12


def test_samples_come_with_their_example_and_are_the_same_after_an_interruption(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    changes = {"max_new_tokens": 12, "samples": 2, "sample_temperature": 1.5}
    bench.settings = SETTINGS.model_copy(update=changes)
    for step in (100, 200):
        arrive(bench.engine, checkpoint("llama"), step)
    # In the middle of the first, and then without a stop.
    bench.after = lambda recorded: bench.stop.set() if 0 < recorded < 12 else None
    bench.run()
    assert bench.stop.is_set()
    part = bench.count()
    assert 0 < part < 36
    assert part % 3 == 0
    bench.stop.clear()
    bench.after = lambda _recorded: None
    assert bench.run() == 2
    assert [done for _, done, of in bench.seen if done > of] == []
    completed = bench.events(EvaluationCompleted)
    assert [one.scored for one in completed if isinstance(one, EvaluationCompleted)] == [12, 12]
    query = select(PREDICTION.c.example_id, PREDICTION.c.sample, PREDICTION.c.generated_text)
    with bench.engine.connect() as connection:
        assert list(misfits(connection)) == []
        of_each = [
            connection.execute(query.where(PREDICTION.c.evaluation_id == one)).all()
            for one in connection.execute(select(PREDICTION.c.evaluation_id).distinct()).scalars()
        ]
        first, second = (sorted(map(tuple, one)) for one in of_each)
    assert first == second
    assert [sample for _, sample, _ in first] == [0, 1, 2] * 12


def test_who_is_told_to_stop_does_not_wait_for_the_first_text(bench: Bench, tmp_path: Path) -> None:
    arrive(bench.engine, save(tmp_path / "wordy", make_model("llama")), 100)
    bench.after = lambda _recorded: bench.stop.set()
    bench.run()
    assert bench.count() == 0
    assert len(bench.events(EvaluationStarted)) == 1
    bench.stop.clear()
    bench.after = lambda _recorded: None
    assert bench.run() == 1
    assert bench.count() == 12


def test_who_is_told_to_stop_when_all_is_recorded_says_that_it_is(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    bench.after = lambda recorded: bench.stop.set() if recorded == 12 else None
    assert bench.run() == 1
    assert len(bench.events(EvaluationCompleted)) == 1


def test_an_example_in_two_suites_is_scored_once(
    engine: Engine, tmp_path: Path, checkpoint: Checkpoint
) -> None:
    bench = Bench(engine, workspace(tmp_path, {"few": ROWS[:3], "all": ROWS}))
    arrive(engine, checkpoint("llama"), 100)
    bench.run()
    assert bench.count() == 12
    assert bench.count(EXAMPLE) == 15


def test_a_suite_without_a_usable_row_fails_by_name_before_any_model_is_loaded(
    engine: Engine, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"conversation": "hello"}, {"conversation": "you"}]
    bench = Bench(engine, workspace(tmp_path, {"sums": ROWS, "chats": rows}))
    checkpoint_id = arrive(engine, tmp_path, 100)
    assert bench.run() == 1
    (failed,) = bench.events(EvaluationFailed)
    assert isinstance(failed, EvaluationFailed)
    assert (failed.error, failed.checkpoint_id) == ("NothingScored", checkpoint_id)
    assert "suite 'chats'" in failed.message
    assert "none of its 2 rows can be used" in failed.message
    assert "conversation" in failed.message
    assert bench.count() == 0
    assert bench.run() == 0


def test_weights_that_are_not_numbers_fail_by_name_with_every_example_in_the_log(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint("llama"), broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    arrive(bench.engine, broken, 100)
    bench.run()
    (failed,) = bench.events(EvaluationFailed)
    assert isinstance(failed, EvaluationFailed)
    assert failed.error == "NothingScored"
    assert "not one of its 12 examples could be scored" in failed.message
    with bench.engine.connect() as connection:
        rows = connection.execute(select(PREDICTION.c.error, PREDICTION.c.target_logprob)).all()
    assert len(rows) == 12
    assert all(row.error and row.target_logprob is None for row in rows)


def test_a_checkpoint_that_does_not_load_fails_and_the_next_one_is_evaluated(
    bench: Bench, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint("llama"), broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    arrive(bench.engine, broken, 200)
    good = arrive(bench.engine, checkpoint("llama"), 100)
    assert bench.run() == 2
    (failed,) = bench.events(EvaluationFailed)
    (completed,) = bench.events(EvaluationCompleted)
    assert isinstance(failed, EvaluationFailed)
    assert isinstance(completed, EvaluationCompleted)
    assert failed.error == "ModelLoadFault"
    assert str(broken) in failed.message
    assert not failed.retriable
    assert completed.checkpoint_id == good


def test_a_folder_that_is_gone_ends_as_abandoned(bench: Bench, tmp_path: Path) -> None:
    arrive(bench.engine, tmp_path / "gone", 100)
    assert bench.run() == 1
    (abandoned,) = bench.events(EvaluationAbandoned)
    assert isinstance(abandoned, EvaluationAbandoned)
    assert abandoned.reason == f"{tmp_path / 'gone'} is gone"
    assert bench.run() == 0


def test_a_fault_of_the_machine_is_tried_again_but_not_for_ever(
    bench: Bench, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise MemoryError("no memory left")

    arrive(bench.engine, checkpoint("llama"), 100)
    monkeypatch.setattr("evaluators.engine.load", out_of_memory)
    assert bench.run() == 3
    failures = bench.events(EvaluationFailed)
    assert [(one.attempt, one.error, one.retriable) for one in failures] == [  # type: ignore[attr-defined]
        (1, "MemoryError", True),
        (2, "MemoryError", True),
        (3, "MemoryError", True),
    ]


def claim(engine: Engine, task: Task, pid: int) -> None:
    log.append(
        engine,
        EvaluationStarted(
            evaluation_id=task.evaluation_id,
            attempt=task.attempt,
            checkpoint_id=task.checkpoint_id,
            suites=(),
            examples=12,
            evaluator_version="1",
            host=host(),
            pid=pid,
            device="cpu",
            dtype="float32",
            attention="sdpa",
            prompt_format="plain",
            libraries={},
            plan={},
            settings={},
            fallback=None,
            quick=None,
        ),
        expected_version=task.version,
    )


def another_worker(engine: Engine) -> int:
    """Another process that lives and says that it evaluates; returns its id."""
    beat = {"process": PROCESS, "host": host(), "pid": os.getppid(), "doing": "evaluating"}
    with engine.begin() as connection:
        connection.execute(insert(HEARTBEAT).values(**beat, seen_at=log.now()))
    return os.getppid()


def test_what_a_living_worker_holds_is_not_pending_and_what_a_dead_one_held_is(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)

    def tasks() -> list[Task]:
        bring_up_to_date(bench.engine, [LIFECYCLE])
        with bench.engine.connect() as connection:
            return pending(connection, Wanted(("suite",), "1", {}))

    (task,) = tasks()
    claim(bench.engine, task, another_worker(bench.engine))
    assert tasks() == []
    with bench.engine.begin() as connection:
        connection.execute(delete(HEARTBEAT))
    (again,) = tasks()
    assert (again.attempt, again.version) == (2, 1)
    with pytest.raises(ConcurrencyError):
        claim(bench.engine, task._replace(attempt=9), os.getpid())


def test_a_worker_that_was_overtaken_lets_go(bench: Bench, checkpoint: Checkpoint) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    overtaken: list[int] = []

    def overtake(recorded: int) -> None:
        if recorded and not overtaken:
            overtaken.append(recorded)
            (started,) = bench.events(EvaluationStarted)
            assert isinstance(started, EvaluationStarted)
            pid = another_worker(bench.engine)
            log.append(bench.engine, started.model_copy(update={"attempt": 2, "pid": pid}))

    bench.after = overtake
    assert bench.run() == 0
    assert bench.count() == overtaken[0]
    assert bench.events(EvaluationFailed) == []
