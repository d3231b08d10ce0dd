"""The engine: one load, one plan, one pass over a checkpoint.

    engine = load(folder, settings)
    plan = engine.plan(examples)
    for outcomes in engine.run(plan, evaluation_id):
        ...

Every example gives exactly one outcome: its numbers, or the reason why there are none.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from transformers import PreTrainedModel

from errors import EvaluationFault
from evaluators.batched import Batched
from evaluators.budget import budget_of
from evaluators.decoder import Unsuited, decoder_of
from evaluators.generation import Endings
from evaluators.loading import NO_TRUST, Standing, device_of, dtype_of, load_model
from evaluators.outcomes import Outcome, Recorder, failed
from evaluators.passes import Pass, Single
from evaluators.planning import Plan, Unencodable
from evaluators.probe import try_out
from evaluators.prompts import Encoded, Encoder, Ids, Limits, PromptFormat
from evaluators.sampling import Sampling
from settings import EvaluationSettings, Trust
from store.records import Example

__all__ = ["EVALUATOR_VERSION", "Engine", "Outcome", "Plan", "load", "numbers"]

# Raised with every change that makes other numbers of the same checkpoint and settings.
EVALUATOR_VERSION = "1"


def numbers(settings: EvaluationSettings) -> dict[str, Any]:
    """The settings that change what is measured, as JSON values, with the dtype as it is here.

    Raises SettingsError for a device that this machine does not have.
    """
    found = settings.model_dump(
        mode="json",
        include={
            "dtype",
            "generate_choices",
            "max_prompt_tokens",
            "max_new_tokens",
            "stop",
            "temperatures",
            "think",
            # Without samples they change nothing, and older evaluations stay those that are wanted.
            *(("samples", "sample_temperature") if settings.samples else ()),
        },
    )
    dtype = dtype_of(settings, device_of(settings))
    return {**found, "dtype": str(dtype).removeprefix("torch.")}


@dataclass(frozen=True)
class Engine:
    """A loaded checkpoint, ready to evaluate.

    `fallback` is the reason why its examples go through the model one at a time; None if they go in
    batches.
    """

    device: str
    dtype: str
    attention: str
    architecture: str
    parameters: int
    libraries: dict[str, str]
    fallback: str | None
    _settings: EvaluationSettings
    _encoder: Encoder
    _pass: Pass
    _endings: Endings
    _standing: Standing

    @property
    def prompt_format(self) -> PromptFormat:
        """How messages become a prompt: "chat-template" or "plain"."""
        return self._encoder.format

    def plan(
        self, examples: Iterable[Example], drafts: Mapping[str, Sequence[str]] | None = None
    ) -> Plan:
        """Encodes the examples and packs them into batches.

        `drafts` are texts, by example id, that the model may well write: those of an earlier
        checkpoint. They change how long the pass takes, and nothing that it measures.
        """
        rows: list[Encoded] = []
        unencodable: list[Unencodable] = []
        for example in examples:
            try:
                rows.append(self._encoder.encode(example))
            except EvaluationFault as fault:
                unencodable.append(Unencodable(example, str(fault)))
        return Plan(
            self._pass.pack(rows),
            tuple(unencodable),
            cached=self.fallback is None,
            drafts={} if drafts is None else self._drafts(rows, drafts),
        )

    def _drafts(
        self, rows: Iterable[Encoded], drafts: Mapping[str, Sequence[str]]
    ) -> dict[str, tuple[Ids, ...]]:
        """The drafts of what is generated as ids, by example id, each with the target's end."""
        found = {}
        for row in rows:
            texts = drafts.get(row.example.example_id, ()) if row.generates else ()
            last = row.targets[row.answer][-1:]
            end = last if last[0] in self._endings.eos else ()
            if ids := tuple((*self._endings.encode(text), *end) for text in texts):
                found[row.example.example_id] = ids
        return found

    def run(self, plan: Plan, evaluation_id: str) -> Iterator[list[Outcome]]:
        """Runs the model over the plan, and gives outcomes as soon as they are known.

        They come in lists of any size and in any order, exactly one for each example. An empty list
        is a chance to stop before the next ones are known.
        """
        if plan.unencodable:
            yield [failed(evaluation_id, one) for one in plan.unencodable]
        recorder = Recorder(
            evaluation_id, self._endings, self._settings.temperatures, self._settings.trace
        )
        for done in self._pass.run(plan.batches, plan.drafts):
            yield [recorder.outcome(row, seen) for row, seen in done]

    @property
    def tally(self) -> dict[str, int]:
        """What the runs did, by name: decode_steps, draft_tokens_offered, draft_tokens_accepted,
        out_of_memory.
        """
        return self._pass.tally.summary

    def let_go(self) -> None:
        """Frees the model's memory. Nothing can be run after that."""
        self._pass.let_go()
        self._standing.let_go()

    def device_peak_bytes(self) -> int | None:
        """The most memory torch held on the accelerator since the load; None on the CPU."""
        if not self.device.startswith("cuda"):
            return None
        return torch.cuda.max_memory_allocated(self.device)


def load(
    path: Path,
    settings: EvaluationSettings,
    trust: Trust = NO_TRUST,
    standing: Engine | None = None,
) -> Engine:
    """Loads the checkpoint in the folder `path`. Raises ModelLoadFault, SettingsError.

    `standing` is the engine of a checkpoint before, which is spent by this: its model takes the new
    weights where all else is the same, and is let go of before another one is loaded where not.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    kept = Standing() if standing is None else standing._standing
    if standing is not None:
        standing._pass.let_go()
    model, tokenizer, eos = load_model(path, settings, trust, kept)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    config = model.config.get_text_config(decoder=True)
    context = getattr(config, "max_position_embeddings", None)
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings.weight, torch.Tensor)
    limits = Limits(
        context=context if context is not None and context > 0 else None,
        vocabulary=embeddings.weight.shape[0],
        max_prompt_tokens=settings.max_prompt_tokens,
        max_new_tokens=settings.max_new_tokens,
    )
    endings = Endings(tokenizer, eos, settings.stop, settings.max_new_tokens)
    way, fallback = _way(model, endings, settings, kept)
    return Engine(
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        attention=str(model.config._attn_implementation),
        architecture=type(model).__name__,
        parameters=model.num_parameters(),
        libraries={
            "python": platform.python_version(),
            "tokenizers": tokenizers.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        fallback=fallback,
        _settings=settings,
        _encoder=Encoder(
            tokenizer,
            eos,
            limits,
            think=settings.think,
            generate_choices=settings.generate_choices,
        ),
        _pass=way,
        _endings=endings,
        _standing=kept,
    )


def _way(
    model: PreTrainedModel, endings: Endings, settings: EvaluationSettings, kept: Standing
) -> tuple[Pass, str | None]:
    """The way through the model, and why it is not the one in batches; None if it is.

    A model that only took new weights is not tried out again.
    """
    sampling = Sampling(settings.samples, settings.sample_temperature)
    single = Single(model, endings, settings.temperatures, sampling)
    decoder = decoder_of(model)
    if isinstance(decoder, Unsuited):
        return single, decoder.reason
    budget = budget_of(model.device, settings.memory_bytes, settings.batch_tokens)
    batched = Batched(decoder, endings, settings.temperatures, budget, sampling)
    trial = kept.trial or try_out(batched, single)
    kept.trial = trial if trial.conclusive else None
    return (batched if trial.difference is None else single), trial.difference
