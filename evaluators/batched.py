"""The fast way through a model: batches are scored, and their texts go on together in one pool.

Out of memory, the budget is halved and what was under way begins anew, with what it had written as
its draft; nothing that was given is lost or given twice.
"""

from __future__ import annotations

import gc
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from evaluators.budget import GIB, Budget
from evaluators.decoder import Decoder
from evaluators.drafts import Drafter
from evaluators.generation import Continuation, Endings
from evaluators.measures import Measures
from evaluators.memory import is_out_of_memory
from evaluators.passes import Done, Drafts, Seen, Tally, Unmeasured
from evaluators.planning import Batch, pack
from evaluators.pool import Pool, Writing
from evaluators.prompts import Encoded, Ids
from evaluators.sampling import NO_SAMPLES, Sample, Sampling
from evaluators.scoring import Block, score

LOG = logging.getLogger(__name__)

NO_ROOM = (
    "there is not enough memory for this example, even alone: free some, or lower max_new_tokens "
    "or max_prompt_tokens under [evaluation]"
)


BUDGET = Budget(GIB, batch_tokens=4096, pool_rows=48)


@dataclass(frozen=True)
class Batched:
    """Scores batches one after another, and carries on what they begin to write in a pool."""

    decoder: Decoder
    endings: Endings
    temperatures: tuple[float, ...]
    budget: Budget = BUDGET
    sampling: Sampling = NO_SAMPLES
    tally: Tally = field(default_factory=Tally)

    def run(self, batches: Sequence[Batch], drafts: Drafts) -> Iterator[list[Done]]:
        """What the model made of each example, as soon as it is known; nothing at most steps."""
        work = _Work(self, self.budget, deque(batches), dict(drafts))
        while work.left:
            yield work.advance()

    def pack(self, rows: Sequence[Encoded]) -> tuple[Batch, ...]:
        """Batches of a size that the budget allows."""
        return _packed(rows, self.decoder, self.budget)

    def let_go(self) -> None:
        """Lets go of the weights. Nothing can be run after that."""
        self.decoder.let_go()


@dataclass
class _Open:
    """An example that waits for `left` of its texts."""

    row: Encoded
    seen: Seen
    left: int = 0


@dataclass
class _Work:
    """A run under way. What is in none of `batches` and `_open` has been given."""

    way: Batched
    budget: Budget
    batches: deque[Batch]
    drafts: dict[str, tuple[Ids, ...]]
    _pool: Pool | None = None
    _open: dict[Writing, list[_Open]] = field(default_factory=dict)

    @property
    def left(self) -> bool:
        """Whether any example is not done with."""
        return bool(self.batches or self._open)

    def advance(self) -> list[Done]:
        """Scores a batch, or takes a step; gives what that finished. Never runs out of memory."""
        scores = bool(self.batches) and (self._pool is None or not self._pool.full)
        try:
            with torch.inference_mode():
                return self._score() if scores else self._step()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            LOG.warning("out of memory: %s", error)
        return self._retreat(scores)

    def _score(self) -> list[Done]:
        way, batch = self.way, self.batches[0]
        block = score(way.decoder, batch, way.endings.eos, way.temperatures)
        texts, writings = self._begin(block, batch)
        measures: list[list[Measures]] = [[] for _ in batch]
        for one in block.scored:
            measures[one.row].append(one.measures[: len(one.target)])
        done = []
        begun = list(writings.values())
        for row, found in zip(batch, measures, strict=True):
            text = texts.get(row.prompt) if row.generates else None
            samples = [] if text is None else self._samples(row)
            seen = Seen(tuple(found), text, tuple(one.text for one in samples))
            greedy = [writings[row.prompt]] if text is not None and not text.ended else []
            if not (waited := [*greedy, *samples]):
                done.append(Done(row, seen))
            example = _Open(row, seen, len(waited))
            for writing in waited:
                self._open.setdefault(writing, []).append(example)
            begun += samples
        for writing in begun:
            self._room().add(writing, block.cache, block.rows[writing.prompt])
        self.batches.popleft()
        return done

    def _samples(self, row: Encoded) -> list[Writing]:
        """The samples of an example, of which no token is drawn yet."""
        numbers = range(1, self.way.sampling.samples + 1)
        samples = [Sample(row.example.example_id, number) for number in numbers]
        return [Writing(row.prompt, Continuation(one)) for one in samples]

    def _begin(
        self, block: Block, batch: Batch
    ) -> tuple[dict[Ids, Continuation], dict[Ids, Writing]]:
        """The greedy texts by prompt, and those of them that go on after their drafts."""
        texts: dict[Ids, Continuation] = {}
        writings: dict[Ids, Writing] = {}
        for prompt, draft in block.drafts.items():
            text = Continuation()
            # One more than agreed: at the first disagreement, the argmax is the greedy token.
            text.extend(draft.measures[: draft.agreed + 1], self.way.endings)
            texts[prompt] = text
            if not text.ended:
                earlier = self.drafts.get(batch[draft.row].example.example_id, ())
                writings[prompt] = Writing(prompt, text, Drafter(prompt, draft.target, earlier))
        return texts, writings

    def _room(self) -> Pool:
        """The pool, made when the first text needs it."""
        if self._pool is None:
            decoder, endings = self.way.decoder, self.way.endings
            rows = [row for batch in self.batches for row in batch if row.generates]
            texts = len(rows) * (1 + self.way.sampling.samples)
            self._pool = Pool(
                decoder,
                endings,
                min(texts, self.budget.pool_rows),
                self.budget.room(decoder.token_bytes, decoder.head_bytes),
                self.way.sampling.temperature,
                self.way.tally.acceptance,
            )
        return self._pool

    def _step(self) -> list[Done]:
        assert self._pool is not None
        ended = self._pool.step()
        self.way.tally.steps += 1
        done = []
        for writing in ended:
            for one in self._open.pop(writing):
                one.left -= 1
                if not one.left:
                    done.append(Done(one.row, one.seen))
        return done

    def _retreat(self, scoring: bool) -> list[Done]:
        """Begins what was under way anew in half the memory; gives up what was under way alone."""
        self.way.tally.out_of_memory += 1
        under_way = {id(one.row): one.row for all_ in self._open.values() for one in all_}
        if scoring:
            under_way.update((id(row), row) for row in self.batches[0])
        alone = (
            len({row.prompt for row in under_way.values()}) == 1
            and (not scoring or len(under_way) == 1)
            and (self._pool is None or self._pool.busy <= 1)
        )
        rows = dict(under_way)
        rows.update((id(row), row) for batch in self.batches for row in batch)
        for writing, waiting in self._open.items():
            # A sample's text is drawn again, the same.
            for one in waiting if writing.text.sample is None else ():
                example_id = one.row.example.example_id
                earlier = self.drafts.get(example_id, ())
                self.drafts[example_id] = (tuple(writing.text.tokens), *earlier)
        self._open.clear()
        self._pool = None
        _release(self.way.decoder.device)
        if not alone:
            self.budget = self.budget.halved
            under_way = {}
        left = [row for number, row in rows.items() if number not in under_way]
        self.batches = deque(_packed(left, self.way.decoder, self.budget))
        return [Done(row, Unmeasured(NO_ROOM)) for row in under_way.values()]


def _packed(rows: Sequence[Encoded], decoder: Decoder, budget: Budget) -> tuple[Batch, ...]:
    longest = max((len(row.prompt) + max(map(len, row.targets)) for row in rows), default=1)
    return pack(rows, budget.tokens(decoder.scoring_bytes(longest), decoder.head_bytes))


def _release(device: torch.device) -> None:
    """Hands back what the failed attempt held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
