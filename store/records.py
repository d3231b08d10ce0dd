"""The typed payloads that are rows instead of JSON: examples, predictions and token traces.

Field for field the columns of the tables `example`, `prediction` and `token_trace`, without
`position`, which the log adds: the position of the event that recorded the row.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, fields
from typing import Any, Literal

Kind = Literal["chat", "completion", "choice", "text"]
FinishReason = Literal["eos", "stop", "length"]


@dataclass(frozen=True)
class Example:
    """One usable row of a suite.

    `messages` is what the model is given (a chat without the turn that is the target; one user
    message for a plain prompt; empty for bare text). `target` is the text that it should give.
    """

    suite_id: str
    example_id: str
    line: int
    kind: Kind
    messages: tuple[dict[str, str], ...]
    target: str
    choices: tuple[str, ...] | None = None
    difficulty: str | None = None
    skill: str | None = None
    metadata: dict[str, Any] | None = None


def example_id_of(
    kind: Kind,
    messages: tuple[dict[str, str], ...],
    target: str,
    choices: tuple[str, ...] | None = None,
) -> str:
    """SHA-256 (first 32 hex digits) of what the model sees and what it should say.

    The same content in two files is the same example.
    """
    content = json.dumps([kind, messages, target, choices], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Prediction:
    """What one evaluation saw for one example (and sample), or the error in place of it.

    Log-probabilities, entropies and margins are in nats. `generated_logprob` and `target_logprob`
    are sums over tokens; `generated_entropy` and `target_entropy` are means over tokens;
    `target_margin` is the mean of top-1 minus top-2 log-probability; `target_rank` is the mean rank
    of the target token (0 is the argmax); `target_top1` counts the tokens whose argmax is the
    target; `target_first_miss` is the index of the first token that is not (None: all are).
    `logprob_at_temperature` maps a temperature, as text, to the target's summed log-probability
    at it; `choice_logprobs` holds one summed log-probability a choice.
    The measured fields come in three groups (generated_*, target_*, choice_logprobs), each all
    there or all None; with `error` set, every measured field is None.
    """

    evaluation_id: str
    example_id: str
    sample: int = 0
    prompt_tokens: int | None = None
    prompt_truncated: bool | None = None
    generated_text: str | None = None
    finish_reason: FinishReason | None = None
    generated_tokens: int | None = None
    generated_logprob: float | None = None
    generated_min_logprob: float | None = None
    generated_entropy: float | None = None
    target_tokens: int | None = None
    target_bytes: int | None = None
    target_logprob: float | None = None
    target_min_logprob: float | None = None
    target_entropy: float | None = None
    target_margin: float | None = None
    target_rank: float | None = None
    target_top1: int | None = None
    target_first_miss: int | None = None
    logprob_at_temperature: dict[str, float] | None = None
    choice_logprobs: tuple[float, ...] | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        """Refuses non-finite numbers before they reach the database. Raises ValueError."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name} of example {self.example_id} is {value}")


@dataclass(frozen=True)
class TokenTrace:
    """The per-token arrays of one text: `kind` says whether of the target or of the generation.

    `pieces` are the tokens' texts. `logprob`, `entropy` and `margin` are little-endian float16
    arrays as bytes, one value a token, in nats.
    """

    evaluation_id: str
    example_id: str
    sample: int
    kind: Literal["target", "generated"]
    pieces: tuple[str, ...]
    logprob: bytes
    entropy: bytes
    margin: bytes
