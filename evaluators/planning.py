"""The plan of a pass: which examples go through the model together.

Examples with the same prompt stand side by side, so that it is run once; batches hold examples of
like length, so that little of their cache stays empty. The plan depends on the examples alone, not
on their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from evaluators.prompts import Encoded, Ids
from store.records import Example

Batch: TypeAlias = tuple[Encoded, ...]


class Unencodable(NamedTuple):
    """An example that cannot be put to the model, and why."""

    example: Example
    reason: str


@dataclass(frozen=True)
class Plan:
    """Batches to run, and the examples that cannot be run. `cached` says in which way: with shared
    prompts, or one example at a time. `drafts` are texts that may well come, by
    example id.
    """

    batches: tuple[Batch, ...]
    unencodable: tuple[Unencodable, ...]
    cached: bool
    drafts: Mapping[str, tuple[Ids, ...]] = field(default_factory=dict)

    def then(self, other: Plan) -> Plan:
        """This plan, and after it the other one of the same engine."""
        return Plan(
            self.batches + other.batches,
            self.unencodable + other.unencodable,
            self.cached,
            {**self.drafts, **other.drafts},
        )

    @property
    def summary(self) -> dict[str, int]:
        """The plan in numbers, as the log keeps it."""
        rows = [row for batch in self.batches for row in batch]
        prompts = [prompt for batch in self.batches for prompt in {row.prompt for row in batch}]
        targets = [target for row in rows for target in row.targets]
        return {
            "batches": len(self.batches),
            "examples": len(rows),
            "unencodable": len(self.unencodable),
            "prompt_tokens": sum(len(row.prompt) for row in rows),
            "target_tokens": sum(map(len, targets)),
            "shared_prompts": len(rows) - len(prompts) if self.cached else 0,
            "truncated_prompts": sum(row.prompt_truncated for row in rows),
            "one_at_a_time": int(not self.cached),
        }


class _Shape(NamedTuple):
    """Size of a batch in rows and tokens: distinct prompts, and targets to score on them."""

    prompts: int = 0
    longest_prompt: int = 0
    targets: int = 0
    longest_target: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that its cache has room for: as many a row as the longest has."""
        return self.prompts * self.longest_prompt + self.targets * self.longest_target

    def with_row(self, row: Encoded, *, new_prompt: bool) -> _Shape:
        """The size with one more row."""
        return _Shape(
            prompts=self.prompts + new_prompt,
            longest_prompt=max(self.longest_prompt, len(row.prompt)),
            targets=self.targets + len(row.targets),
            longest_target=max(self.longest_target, *map(len, row.targets)),
        )


def pack(rows: Iterable[Encoded], batch_tokens: int) -> tuple[Batch, ...]:
    """Batches with room for at most `batch_tokens` tokens; an example longer than that is alone.

    The longest come first, so that what does not fit into memory shows at once.
    """
    batches: list[Batch] = []
    batch: list[Encoded] = []
    shape = _Shape()
    for row in sorted(rows, key=_order, reverse=True):
        new_prompt = not batch or batch[-1].prompt != row.prompt
        grown = shape.with_row(row, new_prompt=new_prompt)
        if batch and grown.tokens > batch_tokens:
            batches.append(tuple(batch))
            batch, grown = [], _Shape().with_row(row, new_prompt=True)
        batch.append(row)
        shape = grown
    if batch:
        batches.append(tuple(batch))
    return tuple(batches)


def _order(row: Encoded) -> tuple[int, Ids, int, str]:
    return len(row.prompt), row.prompt, max(map(len, row.targets)), row.example.example_id
