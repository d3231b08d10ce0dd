"""A text, greedy or drawn: its tokens, what the model said at each, and what ends it.

Greedy decoding is the argmax of the model's own logits, with ties going to the lower token id.
Settings of the checkpoint that would bend them, such as a repetition penalty, are not applied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from evaluators.measures import Measures
from evaluators.prompts import Ids
from evaluators.sampling import Sample
from store.records import FinishReason


@dataclass(frozen=True)
class Endings:
    """What ends a generated text: an EOS token, a stop string, or its length, in this order."""

    tokenizer: PreTrainedTokenizerBase
    eos: frozenset[int]
    stop: tuple[str, ...]
    max_new_tokens: int

    def reason(self, tokens: Sequence[int]) -> FinishReason | None:
        """Why a text ends with its last token; None if it goes on."""
        if tokens[-1] in self.eos:
            return "eos"
        if self.stop and any(stop in self.decode(tokens, special=True) for stop in self.stop):
            return "stop"
        return "length" if len(tokens) >= self.max_new_tokens else None

    def text(self, tokens: Sequence[int], reason: FinishReason) -> str:
        """The text without special tokens, cut before the stop string that ended it."""
        text = self.decode(tokens, special=False)
        if reason == "stop":
            cuts = [text.index(stop) for stop in self.stop if stop in text]
            text = text[: min(cuts, default=len(text))]
        return text

    def encode(self, text: str) -> Ids:
        """The ids of a text, without special tokens around it."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int], *, special: bool) -> str:
        """The tokens as text, with or without the special ones."""
        text = self.tokenizer.decode(list(tokens), skip_special_tokens=not special)
        assert isinstance(text, str)
        return text


@dataclass
class Continuation:
    """A text under way or ended: its tokens, the one that ended it included, and what the model
    said at each, in nats. `finish` is None while it goes on; `sample` is None of the greedy text.

    What the model said of a drawn token is of its own distribution, at temperature 1.
    """

    sample: Sample | None = None
    tokens: list[int] = field(default_factory=list)
    logprob: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    margin: list[float] = field(default_factory=list)
    finish: FinishReason | None = None
    finite: bool = True

    def extend(self, said: Measures, endings: Endings) -> None:
        """Takes the argmax, or the token drawn, at each of the positions, until the text ends."""
        greedy = self.sample is None
        tokens = said.top if greedy else said.token
        logprob = said.top_logprob if greedy else said.logprob
        for place, token in enumerate(tokens):
            self.finite = bool(said.finite[place])
            if not self.finite:
                return
            self.tokens.append(int(token))
            self.logprob.append(float(logprob[place]))
            self.entropy.append(float(said.entropy[place]))
            self.margin.append(float(said.margin[place]))
            self.finish = endings.reason(self.tokens)
            if self.finish is not None:
                return

    @property
    def chance(self) -> float:
        """The number that draws a sample's next token; NaN for the greedy text."""
        return math.nan if self.sample is None else self.sample.chance(len(self.tokens))

    @property
    def ended(self) -> bool:
        """Whether no token follows."""
        return self.finish is not None or not self.finite
