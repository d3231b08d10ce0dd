"""An evaluator in a process of its own, from which memory and checkpoints are taken as it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import Engine, func, select
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from commands.supervisor import milepost
from data.workspace import make
from store.engine import connect
from store.events import (
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
)
from store.lifecycle import CHECKPOINT
from store.schema import PREDICTION
from tests.evaluators.checkpoints import LETTERS, SPECIAL, make_model, save
from tests.test_crash import begun, events, examples_recorded, wait_for_rows

MIB = 2**20
ROWS = 60
WEIGHTS = "model.safetensors"


def workspace(root: Path, rows: int, evaluation: str) -> Path:
    suite = root / "sums.jsonl"
    lines = [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(rows)]
    suite.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    text = (
        f"[evaluation]\nthreads = 1\nmax_new_tokens = 4\n{evaluation}\n"
        f"[[suite]]\nname = 'sums'\npath = {json.dumps(str(suite))}\n"
    )
    return make(root / "workspace", text=text).root


def take_in(root: Path, models: dict[int, PreTrainedModel]) -> dict[int, Path]:
    """The folders of checkpoints that have arrived, by step."""
    folders = {step: root / "checkpoints" / "run" / f"checkpoint-{step}" for step in models}
    for step, model in models.items():
        save(folders[step], model)
    subprocess.run(milepost("watch", "--once", workspace=root), check=True, capture_output=True)
    return folders


@pytest.fixture
def wide() -> PreTrainedModel:
    """Layers that widen a token to 64 KiB: a batch takes far more than all the rest."""
    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(SPECIAL) + len(LETTERS),
            hidden_size=32,
            intermediate_size=16384,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=2048,
            initializer_range=0.2,
            bos_token_id=1,
            eos_token_id=3,
            pad_token_id=0,
        )
    )


@pytest.fixture
def series() -> dict[int, PreTrainedModel]:
    """Six checkpoints of one model, by step."""
    models = {}
    for number in range(6):
        model = make_model("llama")
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(1 + number / 10)  # type: ignore[operator]
        models[10 * (number + 1)] = model
    return models


def test_an_evaluator_that_runs_out_of_memory_goes_on_and_loses_nothing(
    tmp_path: Path, wide: PreTrainedModel
) -> None:
    rows = 300
    # Batches of 130 examples, which take 200 MiB: each of them fits, until there is a limit.
    room = f"batch_tokens = 3000\nquick_examples = 0\nmemory_bytes = {8192 * MIB}"
    root = workspace(tmp_path, rows, room)
    take_in(root, {1: wide})
    engine = connect(f"sqlite:///{root / 'milepost.db'}")
    with begun(root) as process:
        wait_for_rows(engine, process, 1)
        running = psutil.Process(process.pid)
        limit = running.memory_info().vms + 64 * MIB
        running.rlimit(psutil.RLIMIT_AS, (limit, psutil.RLIM_INFINITY))
        assert examples_recorded(engine)[0] < 100
        # More than the batch that was under way: the next one has met the limit.
        wait_for_rows(engine, process, 200)
        running.rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "DefaultCPUAllocator: can't allocate memory" in said
    (completed,) = events(engine, EvaluationCompleted)
    assert (completed.scored, completed.failed) == (rows, 0)
    assert len(events(engine, EvaluationStarted)) == 1
    assert examples_recorded(engine) == (rows, rows)
    engine.dispose()


def test_checkpoints_that_go_away_or_are_broken_block_no_other(
    tmp_path: Path, series: dict[int, PreTrainedModel]
) -> None:
    root = workspace(tmp_path, ROWS, "batch_tokens = 64")
    folders = take_in(root, series)
    engine = connect(f"sqlite:///{root / 'milepost.db'}")

    # The newest is deleted between two attempts.
    with begun(root) as process:
        wait_for_rows(engine, process, 10)
        process.kill()
    before = examples_recorded(engine)[0]
    assert 10 <= before < ROWS
    shutil.rmtree(folders[60])

    truncated = (folders[30] / WEIGHTS).read_bytes()[:-1000]
    (folders[30] / WEIGHTS).write_bytes(truncated)
    weights = load_file(folders[20] / WEIGHTS)
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, folders[20] / WEIGHTS, metadata={"format": "pt"})

    # One is deleted in the middle of its pass, and the one after it before it is loaded.
    with begun(root) as process:
        wait_for_rows(engine, process, before + 10)
        shutil.rmtree(folders[40])
        shutil.rmtree(folders[50])
        assert process.wait(timeout=120) == 0

    steps = step_of(engine)
    abandoned = {
        steps[one.checkpoint_id]: one.reason for one in events(engine, EvaluationAbandoned)
    }
    failed = {steps[one.checkpoint_id]: one for one in events(engine, EvaluationFailed)}
    completed = {steps[one.checkpoint_id]: one for one in events(engine, EvaluationCompleted)}
    assert abandoned == {step: f"{folders[step]} is gone" for step in (60, 40)}
    assert {step: one.error for step, one in failed.items()} == {
        30: "ModelLoadFault",
        20: "NothingScored",
    }
    assert "check that the checkpoint was copied whole" in failed[30].message
    assert f"not one of its {ROWS} examples could be scored" in failed[20].message
    assert "not finite" in failed[20].message
    assert not any(one.retriable for one in failed.values())
    assert {step: (one.scored, one.failed) for step, one in completed.items()} == {
        50: (ROWS, 0),
        10: (ROWS, 0),
    }
    # What the deleted one had recorded stays, and nobody has an example twice.
    with engine.connect() as connection:
        query = select(
            PREDICTION.c.evaluation_id,
            func.count(),
            func.count(PREDICTION.c.example_id.distinct()),
        ).group_by(PREDICTION.c.evaluation_id)
        counts = sorted((rows, examples) for _, rows, examples in connection.execute(query))
    assert counts == [(before, before), *[(ROWS, ROWS)] * 3]
    engine.dispose()


def step_of(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        rows = connection.execute(select(CHECKPOINT.c.checkpoint_id, CHECKPOINT.c.step))
        return {row.checkpoint_id: row.step for row in rows}
