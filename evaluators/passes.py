"""The two ways through a model: a batch at once on shared caches, or one example at a time.

Both give the same for the same examples. The second needs nothing of a model but its own forward
pass and `generate`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Protocol

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

from evaluators.decoder import Decoder
from evaluators.generation import Continuation, Endings, generate
from evaluators.measures import Measures, measure
from evaluators.planning import Batch
from evaluators.prompts import Encoded
from evaluators.scoring import score


@dataclass(frozen=True)
class Seen:
    """What the model made of one example: its targets' measures, an entry a token, and its text."""

    targets: tuple[Measures, ...]
    text: Continuation | None

    @property
    def finite(self) -> bool:
        """Whether every number of it is one."""
        scored = all(bool(one.finite.all()) for one in self.targets)
        return scored and (self.text is None or self.text.finite)


class Pass(Protocol):
    """A way through the model."""

    def run(self, batch: Batch) -> list[Seen]:
        """What the model made of each example, in order."""


@dataclass(frozen=True)
class Batched:
    """Prompts run once, targets as a second block, text from the same cache."""

    decoder: Decoder
    endings: Endings
    temperatures: tuple[float, ...]

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[Seen]:
        """What the model made of each example, in order."""
        block = score(self.decoder, batch, self.endings.eos, self.temperatures)
        wanted = {place for place, row in enumerate(batch) if row.generates}
        texts = generate(self.decoder, block, wanted, self.endings)
        measures: list[list[Measures]] = [[] for _ in batch]
        for one in block.scored:
            measures[one.row].append(one.measures[: len(one.target)])
        return [
            Seen(tuple(found), texts.get(row.prompt) if row.generates else None)
            for row, found in zip(batch, measures, strict=True)
        ]


@dataclass(frozen=True)
class Single:
    """Every target in a forward pass of its own, and the text by `model.generate`."""

    model: PreTrainedModel
    endings: Endings
    temperatures: tuple[float, ...]

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[Seen]:
        """What the model made of each example, in order."""
        return [self._run(row) for row in batch]

    def _run(self, row: Encoded) -> Seen:
        targets = tuple(self._score(row, target) for target in row.targets)
        finite = all(bool(one.finite.all()) for one in targets)
        return Seen(targets, self._generate(row) if row.generates and finite else None)

    def _score(self, row: Encoded, target: tuple[int, ...]) -> Measures:
        ids = torch.tensor([row.prompt + target], device=self.model.device)
        accepted = inspect.signature(self.model.forward).parameters
        keep = {"logits_to_keep": len(target) + 1} if "logits_to_keep" in accepted else {}
        output = self.model(ids, attention_mask=torch.ones_like(ids), use_cache=False, **keep)
        logits = output.logits[0, -len(target) - 1 : -1]
        return measure(logits, ids[0, -len(target) :], self.temperatures)

    def _generate(self, row: Encoded) -> Continuation:
        ids = torch.tensor([row.prompt], device=self.model.device)
        text = Continuation()
        watch = _Watch(text, self.endings)
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
    """Measures the logits of each step on their way, and leaves them as they are."""

    def __init__(self, text: Continuation, endings: Endings) -> None:
        self._text, self._endings = text, endings

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """Takes the argmax as the next token of the text."""
        self._text.extend(measure(scores, scores.argmax(-1), ()), self._endings)
        return scores


class _Until(StoppingCriteria):
    """Stops when the text has ended."""

    def __init__(self, text: Continuation) -> None:
        self._text = text

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:  # noqa: ARG002
        """One flag a row; there is one row."""
        return torch.tensor([self._text.ended], device=input_ids.device)
