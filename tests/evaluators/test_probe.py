"""A model is batched only if its batched numbers are its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import DynamicCache

from evaluators.decoder import Decoder, Step, Unsuited, decoder_of
from evaluators.generation import Endings
from evaluators.loading import load_model
from evaluators.passes import Batched, Single
from evaluators.probe import disagreement
from settings import EvaluationSettings
from tests.evaluators.conftest import Checkpoint


class Bent(Decoder):
    """A decoder with one thing wrong."""

    def __init__(self, right: Decoder, bend: Callable[[Step], Step], scale: float = 1.0) -> None:
        self.__dict__.update(right.__dict__)
        self._bend = bend
        self._by = scale

    def states(self, step: Step, cache: DynamicCache) -> torch.Tensor:
        return super().states(self._bend(step), cache)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return super().logits(states) * self._by


def passes(checkpoint: Checkpoint, kind: str) -> tuple[Decoder, Batched, Single]:
    model, tokenizer, eos = load_model(checkpoint(kind), EvaluationSettings(device="cpu"))
    endings = Endings(tokenizer, eos, (), 8)
    decoder = decoder_of(model)
    assert isinstance(decoder, Decoder)
    return decoder, Batched(decoder, endings, (1.0,)), Single(model, endings, (1.0,))


def disagrees(batched: Batched, single: Single) -> bool:
    return "differs by" in (disagreement(batched, single) or "")


def unbent(step: Step) -> Step:
    return step


def without_mask(step: Step) -> Step:
    return step._replace(mask=torch.ones_like(step.mask))


def with_positions_of_columns(step: Step) -> Step:
    width = step.ids.shape[1]
    columns = torch.arange(width) + step.mask.shape[1] - width
    return step._replace(positions=columns.expand(len(step.ids), -1))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_padding_that_is_not_masked_is_noticed(checkpoint: Checkpoint, kind: str) -> None:
    decoder, batched, single = passes(checkpoint, kind)
    assert not disagrees(batched, single)
    assert not disagrees(Batched(Bent(decoder, unbent), batched.endings, (1.0,)), single)
    assert disagrees(Batched(Bent(decoder, without_mask), batched.endings, (1.0,)), single)


def test_absolute_positions_that_count_padding_are_noticed(checkpoint: Checkpoint) -> None:
    decoder, batched, single = passes(checkpoint, "gpt2")
    bent = Bent(decoder, with_positions_of_columns)
    assert disagrees(Batched(bent, batched.endings, (1.0,)), single)


def test_a_head_that_is_not_the_models_is_noticed(checkpoint: Checkpoint) -> None:
    decoder, batched, single = passes(checkpoint, "llama")
    assert disagrees(Batched(Bent(decoder, unbent, 1.01), batched.endings, (1.0,)), single)


def test_a_model_that_objects_to_batches_is_run_without_them(checkpoint: Checkpoint) -> None:
    def objects(step: Step) -> Step:
        raise NotImplementedError("no padding here")

    decoder, batched, single = passes(checkpoint, "llama")
    reason = disagreement(Batched(Bent(decoder, objects), batched.endings, (1.0,)), single)
    assert reason == "in a batch the model raises NotImplementedError: no padding here"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("mamba", "MambaForCausalLM keeps no key-value cache"),
        ("bloom", "BloomForCausalLM takes no position_ids, which padding needs"),
    ],
)
def test_a_model_with_another_cache_or_other_positions_is_no_decoder(
    checkpoint: Checkpoint, kind: str, reason: str
) -> None:
    model = load_model(checkpoint(kind), EvaluationSettings(device="cpu")).model
    assert decoder_of(model) == Unsuited(reason)
