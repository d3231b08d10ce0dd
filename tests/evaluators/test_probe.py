"""A model is batched only if its batched numbers are its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from evaluators import attention
from evaluators.batched import Batched
from evaluators.caches import Slots
from evaluators.decoder import Decoder, Step, Unsuited, decoder_of
from evaluators.generation import Endings
from evaluators.loading import load_model
from evaluators.passes import Single
from evaluators.probe import try_out
from settings import EvaluationSettings
from tests.evaluators.conftest import Checkpoint


class Bent(Decoder):
    """A decoder with one thing wrong."""

    def __init__(self, right: Decoder, bend: Callable[[Step], Step], scale: float = 1.0) -> None:
        self.__dict__.update(right.__dict__)
        self._bend = bend
        self._by = scale

    def states(self, step: Step, cache: Slots) -> torch.Tensor:
        return super().states(self._bend(step), cache)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return super().logits(states) * self._by


class Lacking(Decoder):
    """A decoder for which an attribute of some objects is another one."""

    def __init__(self, right: Decoder, of: Sequence[object], name: str, value: object) -> None:
        self.__dict__.update(right.__dict__)
        self._of, self._name, self._value = of, name, value

    def states(self, step: Step, cache: Slots) -> torch.Tensor:
        with pytest.MonkeyPatch.context() as patch:
            for one in self._of:
                patch.setattr(one, self._name, self._value)
            return super().states(step, cache)


def passes(checkpoint: Checkpoint, kind: str) -> tuple[Decoder, Batched, Single]:
    model, tokenizer, eos = load_model(checkpoint(kind), EvaluationSettings(device="cpu"))
    endings = Endings(tokenizer, eos, (), 8)
    decoder = decoder_of(model)
    assert isinstance(decoder, Decoder)
    return decoder, Batched(decoder, endings, (1.0,)), Single(model, endings, (1.0,))


def disagrees(batched: Batched, single: Single) -> bool:
    return "differs by" in (try_out(batched, single).difference or "")


def unbent(step: Step) -> Step:
    return step


def seeing_one_token_ahead(step: Step) -> Step:
    return step._replace(layout=replace(step.layout, starts=step.layout.starts + 1))


def with_positions_in_the_step(step: Step) -> Step:
    return step._replace(positions=torch.arange(len(step.ids)))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_a_mask_that_shows_too_much_is_noticed(checkpoint: Checkpoint, kind: str) -> None:
    decoder, batched, single = passes(checkpoint, kind)
    assert not disagrees(batched, single)
    assert not disagrees(Batched(Bent(decoder, unbent), batched.endings, (1.0,)), single)
    assert disagrees(
        Batched(Bent(decoder, seeing_one_token_ahead), batched.endings, (1.0,)), single
    )


def test_positions_that_are_not_those_in_the_row_are_noticed(checkpoint: Checkpoint) -> None:
    decoder, batched, single = passes(checkpoint, "gpt2")
    bent = Bent(decoder, with_positions_in_the_step)
    assert disagrees(Batched(bent, batched.endings, (1.0,)), single)


@pytest.mark.parametrize("kind", ["mistral", "gemma3"])
def test_a_window_wider_than_the_trial_is_tried_too(checkpoint: Checkpoint, kind: str) -> None:
    decoder, batched, single = passes(checkpoint, kind)
    config = single.model.config
    config.sliding_window = 4096
    bent = Lacking(decoder, [config], "sliding_window", 10**6)
    assert not disagrees(batched, single)
    assert disagrees(Batched(bent, batched.endings, (1.0,)), single)
    assert config.sliding_window == 4096


def test_windows_are_what_they_were_when_the_trial_fails(checkpoint: Checkpoint) -> None:
    def fails(step: Step) -> Step:
        raise MemoryError(step)

    decoder, batched, single = passes(checkpoint, "mistral")
    single.model.config.sliding_window = 4096
    with pytest.raises(MemoryError):
        try_out(Batched(Bent(decoder, fails), batched.endings, (1.0,)), single)
    assert single.model.config.sliding_window == 4096


def test_an_attention_without_its_bound_is_noticed(checkpoint: Checkpoint) -> None:
    decoder, batched, single = passes(checkpoint, "gemma2")
    name = "attn_logit_softcapping"
    modules = [one for one in single.model.modules() if hasattr(one, name)]
    assert not disagrees(batched, single)
    bent = Lacking(decoder, modules, name, None)
    assert disagrees(Batched(bent, batched.endings, (1.0,)), single)


def test_an_attention_without_its_sinks_is_noticed(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_sinks(scores: torch.Tensor, sinks: torch.Tensor) -> torch.Tensor:
        assert sinks.shape == scores.shape[1:3]
        return scores.softmax(-1)

    _, batched, single = passes(checkpoint, "gpt-oss")
    assert not disagrees(batched, single)
    monkeypatch.setattr(attention, "_shares", without_sinks)
    assert disagrees(batched, single)


def test_a_rotary_embedding_that_follows_the_longest_row_is_known_by_its_type(
    checkpoint: Checkpoint,
) -> None:
    _, batched, single = passes(checkpoint, "phi3-longrope")
    assert try_out(batched, single).difference == (
        "its longrope rotary embedding depends on the longest row of a batch"
    )


def test_a_head_that_is_not_the_models_is_noticed(checkpoint: Checkpoint) -> None:
    decoder, batched, single = passes(checkpoint, "llama")
    assert disagrees(Batched(Bent(decoder, unbent, 1.01), batched.endings, (1.0,)), single)


def test_a_model_that_objects_to_batches_is_run_without_them(checkpoint: Checkpoint) -> None:
    def objects(step: Step) -> Step:
        raise NotImplementedError("no padding here")

    decoder, batched, single = passes(checkpoint, "llama")
    reason = try_out(Batched(Bent(decoder, objects), batched.endings, (1.0,)), single).difference
    assert reason == "in a batch the model raises NotImplementedError: no padding here"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("mamba", "MambaForCausalLM keeps no key-value cache"),
        ("bloom", "BloomForCausalLM takes no position_ids, which rows side by side need"),
    ],
)
def test_a_model_with_another_cache_or_other_positions_is_no_decoder(
    checkpoint: Checkpoint, kind: str, reason: str
) -> None:
    model = load_model(checkpoint(kind), EvaluationSettings(device="cpu")).model
    assert decoder_of(model) == Unsuited(reason)
