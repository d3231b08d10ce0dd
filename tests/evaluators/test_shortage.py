"""A pass that runs out of memory goes on in less of it, and loses nothing."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from errors import NothingScored
from evaluators.batched import NO_ROOM
from evaluators.budget import Budget, budget_of
from evaluators.memory import is_out_of_memory
from tests.evaluators.checkpoints import LETTERS, SPECIAL, save
from tests.evaluators.shortage import LONG, SHORT

MIB = 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose layers widen a token to 64 KiB: a batch takes far more than the rest."""
    torch.manual_seed(1)
    model = LlamaForCausalLM(
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
    return save(tmp_path_factory.mktemp("wide"), model)


def evaluate(folder: Path, room: int, budget: int = 8192 * MIB) -> Any:
    module = "tests.evaluators.shortage"
    command = [sys.executable, "-m", module, str(folder), str(room), str(budget)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(ran.stdout.splitlines()[-1])


def test_out_of_memory_halves_the_batches_and_loses_nothing(folder: Path) -> None:
    enough, little = evaluate(folder, 0), evaluate(folder, 100 * MIB)
    assert enough["tally"]["out_of_memory"] == 0
    assert little["tally"]["out_of_memory"] > 1
    ids = [row[0] for row in little["rows"]]
    assert sorted(ids) == sorted(one.example_id for one in [*SHORT, LONG])
    expected = {row[0]: row[1:] for row in enough["rows"]}
    for example_id, error, logprob, text in little["rows"]:
        if example_id == LONG.example_id:
            # 1,800 tokens of 64 KiB: it does not fit even alone.
            assert (error, logprob, text) == (NO_ROOM, None, None)
        else:
            assert error is None
            assert logprob == pytest.approx(expected[example_id][1], abs=1e-3)
            assert text == expected[example_id][2]


def test_a_pass_takes_no_more_than_its_budget_beside_the_weights(folder: Path) -> None:
    found = evaluate(folder, 256 * MIB, 256 * MIB)
    assert found["tally"]["out_of_memory"] == 0
    assert len(found["rows"]) == len(SHORT)
    # In a sixth of it the same batches do not fit: the limit is felt.
    assert evaluate(folder, 40 * MIB, 256 * MIB)["tally"]["out_of_memory"] > 0


def test_a_budget_is_shared_by_batches_and_texts() -> None:
    budget = Budget(1000, batch_tokens=50, pool_rows=9)
    # Of 1,000 bytes, 200 are for logits, and 400 are for each.
    assert budget.tokens(10, 200) == 40
    assert budget.tokens(1, 200) == 50
    assert budget.room(100, 200) == 4
    assert (budget.tokens(5000, 200), budget.room(5000, 2000)) == (1, 0)


def test_half_of_a_budget_ends_at_one_row_of_one_token() -> None:
    budget = Budget(1000, batch_tokens=50, pool_rows=9)
    assert budget.halved == Budget(500, batch_tokens=25, pool_rows=4)
    for _ in range(20):
        budget = budget.halved
    assert budget == Budget(1, 1, 1)


def test_the_budget_is_what_the_settings_say() -> None:
    assert budget_of(torch.device("cpu"), 12345, 10).bytes == 12345
    assert 0 < budget_of(torch.device("cpu"), None, 10).bytes <= 2**30


def test_torch_has_several_ways_to_say_that_memory_is_out() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**60)
    assert is_out_of_memory(found.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for linear"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(errno.ENOENT, "No such file"))
    assert not is_out_of_memory(NothingScored(f"The first one: {NO_ROOM}"))
