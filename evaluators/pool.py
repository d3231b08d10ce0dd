"""The pool of texts under way: rows of one cache that grow token by token, all in one step.

A row that ends makes room for another at once, so the steps stay large until few texts are left.
Where a step has room, drafts are verified in it: of a draft, the tokens that the model itself
chooses are taken, so the text is the greedy one whatever was offered.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from evaluators.caches import Slots
from evaluators.decoder import Decoder, step_of
from evaluators.drafts import Acceptance, Draft, Drafter
from evaluators.generation import Continuation, Endings
from evaluators.measures import Measures, measure_states
from evaluators.prompts import Ids
from evaluators.sampling import Draws

# New tokens of a step that cost next to nothing beside reading the weights, by kind of device.
FREE_TOKENS = {"cpu": 20, "cuda": 128}

# New tokens of a step at most: what they need must be far below what scoring a batch does.
MOST_TOKENS = 512

# A draft that is right at least as often is offered also where it costs as much as it may save.
SURE = 0.85

# The tokens of a first draft and of the longest one.
FIRST_DRAFT, LONGEST_DRAFT = 8, 64


@dataclass(eq=False)
class Writing:
    """A text under way. Its prompt and all of its tokens but the newest stand in a cache; of one
    that has none yet, the newest is the prompt's. Without a drafter no drafts are offered.
    """

    prompt: Ids
    text: Continuation
    drafter: Drafter | None = None
    length: int = FIRST_DRAFT

    @property
    def newest(self) -> int:
        """The token that is fed next."""
        return self.text.tokens[-1] if self.text.tokens else self.prompt[-1]

    @property
    def cached(self) -> int:
        """Its tokens in the cache, and so the position of the newest."""
        return len(self.prompt) + len(self.text.tokens) - 1


@dataclass
class _Waiting:
    writing: Writing
    cache: Slots
    row: int


@dataclass
class Pool:
    """Texts under way in the rows of a cache; what has no room yet waits.

    There are at most `most` rows, of at most `room` tokens together; but one row there always is.
    They are as long as the longest text in them may become, so that short prompts, which come last,
    have more of them. `temperature` is that of samples.
    """

    decoder: Decoder
    endings: Endings
    most: int
    room: int
    temperature: float = 1.0
    acceptance: Acceptance = field(default_factory=Acceptance)
    steps: int = 0
    _writings: list[Writing] = field(default_factory=list)
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _cache: Slots | None = None

    @property
    def unended(self) -> list[Writing]:
        """Every text that was added and has not ended."""
        return [*self._writings, *(one.writing for one in self._waiting)]

    @property
    def rows(self) -> int:
        """The rows that there are now."""
        return self.most if self._cache is None else self._cache.rows

    @property
    def busy(self) -> int:
        """How many texts are in the rows."""
        return len(self._writings)

    @property
    def full(self) -> bool:
        """Whether there is no room for a text more."""
        return bool(self._waiting) or len(self._writings) >= self.rows

    def add(self, writing: Writing, cache: Slots, row: int) -> None:
        """Takes a text whose tokens stand in the row `row` of `cache`."""
        self._waiting.append(_Waiting(writing, cache, row))
        self._admit()

    def step(self) -> list[Writing]:
        """Carries every text in the rows on by a token or more. Returns those that ended."""
        drafts = self._drafts()
        tokens = [
            (one.newest, *(() if draft is None else draft.tokens))
            for one, draft in zip(self._writings, drafts, strict=True)
        ]
        assert self._cache is not None
        starts = [one.cached for one in self._writings]
        states = self.decoder.states(step_of(starts, tokens, self.decoder.device), self._cache)
        draws = self._draws(tokens)
        said = measure_states(self.decoder.logits, states, draws, (), self.decoder.vocabulary)
        self.steps += 1
        place = 0
        for row, (one, draft, fed) in enumerate(zip(self._writings, drafts, tokens, strict=True)):
            part = said[place : place + len(fed)]
            place += len(fed)
            self._extend(row, one, draft, part)
        return self._take_ended()

    def _draws(self, tokens: Sequence[Ids]) -> Draws | None:
        """What draws the samples' tokens; the greedy texts take the argmax. None if all do."""
        if all(one.text.sample is None for one in self._writings):
            return None
        chances = [
            chance
            for one, fed in zip(self._writings, tokens, strict=True)
            for chance in [one.text.chance] * len(fed)
        ]
        return Draws(
            torch.tensor(chances, dtype=torch.float64, device=self.decoder.device),
            self.temperature,
        )

    def _extend(self, row: int, one: Writing, draft: Draft | None, said: Measures) -> None:
        """Takes from a step what follows, as far as the draft was right."""
        right = 0
        if draft is not None:
            pairs = zip(draft.tokens, said.top, strict=False)
            right = next(
                (place for place, (token, top) in enumerate(pairs) if token != top),
                len(draft.tokens),
            )
            self.acceptance.count(draft.source, len(draft.tokens), right)
            whole = right == len(draft.tokens)
            one.length = min(2 * one.length, LONGEST_DRAFT) if whole else max(2, one.length // 2)
        start = one.cached
        one.text.extend(said[: right + 1], self.endings)
        if not said.finite.all():
            # What is masked out must be finite: 0 times NaN is NaN.
            assert self._cache is not None
            self._cache.clear(row, start + right + 1, start + len(said.finite))

    def _drafts(self) -> list[Draft | None]:
        """What is offered to each text: what costs nothing, and what is nearly sure."""
        free = FREE_TOKENS.get(self.decoder.device.type, 0) - len(self._writings)
        most = MOST_TOKENS - len(self._writings)
        drafts: list[Draft | None] = []
        for number, one in enumerate(self._writings):
            left = min(self.endings.max_new_tokens - len(one.text.tokens) - 1, one.length, most)
            draft = None
            if one.drafter is not None and left > 0:
                draft = one.drafter.propose(one.text.tokens, left)
            if draft is not None and self.acceptance.share(draft.source) < SURE:
                share = math.ceil(max(0, free) / (len(self._writings) - number))
                draft = draft._replace(tokens=draft.tokens[:share]) if share else None
            if draft is not None:
                free, most = free - len(draft.tokens), most - len(draft.tokens)
            drafts.append(draft)
        return drafts

    def _take_ended(self) -> list[Writing]:
        """Takes out what has ended; the last row moves into a gap, and what waits comes in."""
        assert self._cache is not None
        ended = []
        for row in reversed(range(len(self._writings))):
            if not (one := self._writings[row]).text.ended:
                continue
            ended.append(one)
            if not one.text.finite:
                self._cache.clear(row, 0, self._cache.columns)
            last = self._writings.pop()
            if last is not one:
                self._cache.copy_row(row, self._cache, len(self._writings), 0, last.cached)
                self._writings[row] = last
        self._admit()
        return ended

    def _admit(self) -> None:
        """Takes in what there is room for; what needs longer rows waits until they can be had."""
        if not self._waiting or not self._fit():
            return
        assert self._cache is not None
        while self._waiting and len(self._writings) < self.rows:
            one = self._waiting.popleft()
            row = len(self._writings)
            self._cache.copy_row(row, one.cache, one.row, 0, one.writing.cached)
            self._writings.append(one.writing)

    def _fit(self) -> bool:
        """Makes the rows as long as is needed now. Returns whether they are long enough."""
        longest = max(len(one.prompt) for one in self.unended) + self.endings.max_new_tokens
        rows = max(1, min(self.most, self.room // longest))
        if self._cache is None:
            self._cache = Slots(rows, longest)
        if self._cache.columns < longest or self._cache.columns >= 2 * longest:
            if len(self._writings) >= rows:
                return self._cache.columns >= longest
            self._cache.resize(rows, longest, [one.cached for one in self._writings])
        return True
