"""What a way through a model gives, and the plain way: one example at a time.

It needs nothing of a model but its own forward pass and `generate`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from evaluators.drafts import Acceptance
from evaluators.generation import Continuation, Endings
from evaluators.measures import Measures, measure
from evaluators.planning import Batch, pack
from evaluators.prompts import Encoded, Ids
from evaluators.sampling import NO_SAMPLES, Draws, Sample, Sampling

# Tokens of the examples whose outcomes are given together when each is run alone.
GIVEN_TOGETHER = 1024


@dataclass(frozen=True)
class Seen:
    """What the model made of one example: its targets' measures, an entry a token, its greedy text
    and its samples, each of them ended.
    """

    targets: tuple[Measures, ...]
    text: Continuation | None
    samples: tuple[Continuation, ...] = ()

    @property
    def finite(self) -> bool:
        """Whether every number of it is one, but for the samples, of which each says it itself."""
        scored = all(bool(one.finite.all()) for one in self.targets)
        return scored and (self.text is None or self.text.finite)


@dataclass(frozen=True)
class Unmeasured:
    """Why the model could make nothing of an example."""

    reason: str


class Done(NamedTuple):
    """An example that is done with, and what came of it."""

    row: Encoded
    seen: Seen | Unmeasured


Drafts: TypeAlias = Mapping[str, tuple[Ids, ...]]


class Pass(Protocol):
    """A way through the model."""

    @property
    def tally(self) -> Tally:
        """What its runs did so far."""

    def pack(self, rows: Sequence[Encoded]) -> tuple[Batch, ...]:
        """The examples in batches of a size that suits it."""

    def run(self, batches: Sequence[Batch], drafts: Drafts) -> Iterator[list[Done]]:
        """What the model made of each example, as soon as it is known.

        A list may be empty: it is a chance to stop.
        """

    def let_go(self) -> None:
        """Frees what it holds beside the model. Nothing can be run after that."""


@dataclass
class Tally:
    """What a pass did, beside what it measured. Steps are forward passes that carry texts on."""

    acceptance: Acceptance = field(default_factory=Acceptance)
    steps: int = 0
    out_of_memory: int = 0

    @property
    def summary(self) -> dict[str, int]:
        """The counts by name."""
        return {
            "decode_steps": self.steps,
            "draft_tokens_offered": sum(self.acceptance.offered.values()),
            "draft_tokens_accepted": sum(self.acceptance.accepted.values()),
            "out_of_memory": self.out_of_memory,
        }


@dataclass(frozen=True)
class Single:
    """Every target in a forward pass of its own, and the text by `model.generate`."""

    model: PreTrainedModel
    endings: Endings
    temperatures: tuple[float, ...]
    sampling: Sampling = NO_SAMPLES
    tally: Tally = field(default_factory=Tally)

    def pack(self, rows: Sequence[Encoded]) -> tuple[Batch, ...]:
        """Batches of few examples: they are only given together."""
        return pack(rows, GIVEN_TOGETHER)

    def run(self, batches: Sequence[Batch], drafts: Drafts) -> Iterator[list[Done]]:  # noqa: ARG002
        """What the model made of each example, in order; drafts are of no use to it."""
        for batch in batches:
            yield [Done(row, self._run(row)) for row in batch]

    def let_go(self) -> None:
        """Holds nothing beside the model."""

    @torch.inference_mode()
    def _run(self, row: Encoded) -> Seen:
        targets = tuple(self._score(row, target) for target in row.targets)
        finite = all(bool(one.finite.all()) for one in targets)
        if not (row.generates and finite):
            return Seen(targets, None)
        text = self._generate(row, None)
        numbers = range(1, self.sampling.samples + 1) if text.finite else ()
        return Seen(
            targets,
            text,
            tuple(self._generate(row, Sample(row.example.example_id, one)) for one in numbers),
        )

    def _score(self, row: Encoded, target: tuple[int, ...]) -> Measures:
        ids = torch.tensor([row.prompt + target], device=self.model.device)
        accepted = inspect.signature(self.model.forward).parameters
        keep = {"logits_to_keep": len(target) + 1} if "logits_to_keep" in accepted else {}
        output = self.model(ids, attention_mask=torch.ones_like(ids), use_cache=False, **keep)
        logits = output.logits[0, -len(target) - 1 : -1]
        return measure(logits, ids[0, -len(target) :], self.temperatures)

    def _generate(self, row: Encoded, sample: Sample | None) -> Continuation:
        ids = torch.tensor([row.prompt], device=self.model.device)
        text = Continuation(sample)
        watch = _Watch(text, self.endings, self.sampling.temperature)
        self.model.generate(  # type: ignore[operator]
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                do_sample=False,
                num_beams=1,
                max_new_tokens=self.endings.max_new_tokens,
                pad_token_id=0,
            ),
            logits_processor=LogitsProcessorList([watch]),
            stopping_criteria=StoppingCriteriaList([_Until(text)]),
        )
        return text


class _Watch(LogitsProcessor):
    """Measures the logits of each step on their way. It leaves those of the greedy text as they
    are, and rules out all but the token drawn for a sample.
    """

    def __init__(self, text: Continuation, endings: Endings, temperature: float) -> None:
        self._text, self._endings, self._temperature = text, endings, temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """Takes the next token of the text."""
        if self._text.sample is None:
            self._text.extend(measure(scores, None, ()), self._endings)
            return scores
        chances = torch.tensor([self._text.chance], dtype=torch.float64, device=scores.device)
        said = measure(scores, Draws(chances, self._temperature), ())
        self._text.extend(said, self._endings)
        alone = torch.full_like(scores, -torch.inf)
        alone[:, said.token] = 0.0
        return alone


class _Until(StoppingCriteria):
    """Stops when the text has ended."""

    def __init__(self, text: Continuation) -> None:
        self._text = text

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:  # noqa: ARG002
        """One flag a row; there is one row."""
        return torch.tensor([self._text.ended], device=input_ids.device)
