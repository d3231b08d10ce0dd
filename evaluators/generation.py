"""Greedy text: the target's tokens as far as the model says them itself, then token by token.

Greedy decoding is the argmax of the model's own logits, with ties going to the lower token id.
Settings of the checkpoint that would bend them, such as a repetition penalty, are not applied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedTokenizerBase

from evaluators.caches import take_columns, take_rows
from evaluators.decoder import Decoder, Step
from evaluators.measures import Measures, measure_states
from evaluators.prompts import Ids
from evaluators.scoring import Block, columns_of
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
    """A greedy text under way or ended: its tokens, the one that ended it included, and what the
    model said at each, in nats. `finish` is None while it goes on.
    """

    tokens: list[int] = field(default_factory=list)
    logprob: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    margin: list[float] = field(default_factory=list)
    finish: FinishReason | None = None
    finite: bool = True

    def extend(self, said: Measures, endings: Endings) -> None:
        """Takes the argmax at each of the positions, until the text ends."""
        for place, token in enumerate(said.top):
            self.finite = bool(said.finite[place])
            if not self.finite:
                return
            self.tokens.append(int(token))
            self.logprob.append(float(said.top_logprob[place]))
            self.entropy.append(float(said.entropy[place]))
            self.margin.append(float(said.margin[place]))
            self.finish = endings.reason(self.tokens)
            if self.finish is not None:
                return

    @property
    def ended(self) -> bool:
        """Whether no token follows."""
        return self.finish is not None or not self.finite


def generate(
    decoder: Decoder, block: Block, wanted: Collection[int], endings: Endings
) -> dict[Ids, Continuation]:
    """The greedy text of each prompt of the examples `wanted` (their places in the batch).

    Of the targets on one prompt, the one that agrees longest with the model is the draft. Prompts
    of which no target is finite are left out.
    """
    drafts: dict[Ids, int] = {}
    for number, one in enumerate(block.scored):
        if one.row in wanted and one.finite:
            best = drafts.setdefault(one.prompt, number)
            if one.agreed > block.scored[best].agreed:
                drafts[one.prompt] = number
    texts: dict[Ids, Continuation] = {}
    for prompt, number in drafts.items():
        texts[prompt] = Continuation()
        draft = block.scored[number]
        # One more than agreed: at the first disagreement, the argmax is the greedy token.
        texts[prompt].extend(draft.measures[: draft.agreed + 1], endings)
    unended = [prompt for prompt, text in texts.items() if not text.ended]
    if unended:
        rows = [drafts[prompt] for prompt in unended]
        _decode(decoder, block, rows, [texts[prompt] for prompt in unended], endings)
    return texts


def _decode(
    decoder: Decoder,
    block: Block,
    rows: Sequence[int],
    texts: list[Continuation],
    endings: Endings,
) -> None:
    """Extends `texts` to their ends. Their caches are the block's `rows`, cut to what agreed."""
    device = decoder.device
    drafts = [block.scored[row] for row in rows]
    lengths = torch.tensor([[len(one.prompt)] for one in drafts], device=device)
    kept = torch.tensor([[one.agreed] for one in drafts], device=device)
    columns, mask = columns_of(lengths, kept, block.width)
    cache = take_columns(take_rows(block.cache, torch.tensor(rows, device=device)), columns)
    positions = lengths + kept
    while texts:
        newest = torch.tensor([[text.tokens[-1]] for text in texts], device=device)
        mask = torch.cat([mask, mask.new_ones(len(texts), 1)], dim=-1)
        states = decoder.states(Step(newest, positions, mask), cache)
        said = measure_states(decoder.logits, states[:, -1], None, (), decoder.vocabulary)
        for place, text in enumerate(texts):
            text.extend(said[place : place + 1], endings)
        positions = positions + 1
        going = [place for place, text in enumerate(texts) if not text.ended]
        if going and len(going) < len(texts):
            chosen = torch.tensor(going, device=device)
            cache, mask, positions = take_rows(cache, chosen), mask[chosen], positions[chosen]
        texts = [texts[place] for place in going]
