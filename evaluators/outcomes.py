"""From what the model made of an example to the rows that the log keeps.

The end-of-turn token counts as a token of the target, and as one of the generated text if the
model said it: it belongs to both sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from evaluators.generation import Continuation, Endings
from evaluators.measures import Measures
from evaluators.passes import Seen, Unmeasured
from evaluators.planning import Unencodable
from evaluators.prompts import Encoded
from evaluators.scoring import first_miss
from store.records import Prediction, TokenTrace

Numbers: TypeAlias = Sequence[float] | npt.NDArray[np.float64]

NOT_FINITE = "the model's logits are not finite (NaN or infinity) on this example"

LARGEST_FLOAT16 = 65504.0


class Outcome(NamedTuple):
    """What is recorded of one example: its prediction, or the error in its place, and traces.

    `samples` are those beside the greedy text; there are none of an example that is an error.
    """

    prediction: Prediction
    traces: tuple[TokenTrace, ...] = ()
    samples: tuple[Prediction, ...] = ()

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """All rows of the example, by sample."""
        return self.prediction, *self.samples


def failed(evaluation_id: str, unencodable: Unencodable) -> Outcome:
    """The outcome of an example that was not put to the model."""
    example_id = unencodable.example.example_id
    return Outcome(Prediction(evaluation_id, example_id, error=unencodable.reason))


@dataclass(frozen=True)
class Recorder:
    """Makes the outcomes of one evaluation; `temperatures` are those that were measured."""

    evaluation_id: str
    endings: Endings
    temperatures: tuple[float, ...]
    trace: bool
    pieces: dict[int, str] = field(default_factory=dict)

    def outcome(self, row: Encoded, seen: Seen | Unmeasured) -> Outcome:
        """The outcome of an example that the model was run on."""
        example = row.example
        if isinstance(seen, Unmeasured):
            return failed(self.evaluation_id, Unencodable(example, seen.reason))
        if not seen.finite:
            return failed(self.evaluation_id, Unencodable(example, NOT_FINITE))
        target, measures = row.targets[row.answer], seen.targets[row.answer]
        choices = tuple(math.fsum(one.logprob) for one in seen.targets)
        prediction = Prediction(
            evaluation_id=self.evaluation_id,
            example_id=example.example_id,
            prompt_tokens=len(row.prompt),
            prompt_truncated=row.prompt_truncated,
            target_tokens=len(target),
            target_bytes=row.target_bytes,
            target_logprob=math.fsum(measures.logprob),
            target_min_logprob=float(measures.logprob.min()),
            target_entropy=_mean(measures.entropy),
            target_margin=_mean(measures.margin),
            target_rank=_mean(measures.rank),
            target_top1=int((measures.top == np.array(target)).sum()),
            target_first_miss=first_miss(target, measures),
            logprob_at_temperature=self._at_temperature(measures),
            choice_logprobs=None if example.choices is None else choices,
        )
        traces = [
            self._traced(
                example.example_id,
                "target",
                target,
                (measures.logprob, measures.entropy, measures.margin),
            )
        ]
        if (text := seen.text) is not None:
            prediction = self._with_text(prediction, text)
        samples = tuple(self._sample(example.example_id, one) for one in seen.samples)
        texts = (seen.text, *(one for one in seen.samples if one.finite))
        traces += [self._traced_text(example.example_id, one) for one in texts if one is not None]
        return Outcome(prediction, tuple(traces) if self.trace else (), samples)

    def _sample(self, example_id: str, text: Continuation) -> Prediction:
        assert text.sample is not None
        empty = Prediction(self.evaluation_id, example_id, text.sample.number)
        if text.finite:
            return self._with_text(empty, text)
        return replace(empty, error=NOT_FINITE)

    def _at_temperature(self, measures: Measures) -> dict[str, float]:
        pairs = zip(self.temperatures, measures.at_temperature, strict=True)
        return {str(temperature): math.fsum(numbers) for temperature, numbers in pairs}

    def _with_text(self, prediction: Prediction, text: Continuation) -> Prediction:
        assert text.finish is not None
        return replace(
            prediction,
            generated_text=self.endings.text(text.tokens, text.finish),
            finish_reason=text.finish,
            generated_tokens=len(text.tokens),
            generated_logprob=math.fsum(text.logprob),
            generated_min_logprob=min(text.logprob),
            generated_entropy=_mean(text.entropy),
        )

    def _traced_text(self, example_id: str, text: Continuation) -> TokenTrace:
        numbers = (text.logprob, text.entropy, text.margin)
        number = 0 if text.sample is None else text.sample.number
        return self._traced(example_id, "generated", text.tokens, numbers, number)

    def _traced(
        self,
        example_id: str,
        kind: Literal["target", "generated"],
        tokens: Sequence[int],
        numbers: tuple[Numbers, Numbers, Numbers],
        sample: int = 0,
    ) -> TokenTrace:
        logprob, entropy, margin = map(_float16, numbers)
        return TokenTrace(
            evaluation_id=self.evaluation_id,
            example_id=example_id,
            sample=sample,
            kind=kind,
            pieces=tuple(self._piece(token) for token in tokens),
            logprob=logprob,
            entropy=entropy,
            margin=margin,
        )

    def _piece(self, token: int) -> str:
        if token not in self.pieces:
            self.pieces[token] = self.endings.decode([token], special=True)
        return self.pieces[token]


def _mean(numbers: Numbers | npt.NDArray[np.int64]) -> float:
    return math.fsum(numbers) / len(numbers)


def _float16(numbers: Numbers) -> bytes:
    """Little-endian float16; what is beyond its range is its largest number, never infinity."""
    return np.clip(numbers, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype("<f2").tobytes()
