"""Which examples share a batch, and what the plan says about it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from evaluators.planning import Plan, Unencodable, pack
from evaluators.prompts import Encoded
from tests.evaluators.reference import bare


def row(name: str, prompt: int, *targets: int, first: int = 0) -> Encoded:
    """An example of so many tokens; prompts of one length and `first` token are the same."""
    return Encoded(
        example=bare(name),
        prompt=(first,) + (1,) * (prompt - 1),
        prompt_truncated=False,
        targets=tuple((2,) * target for target in targets),
        answer=0,
        target_bytes=sum(targets),
        generates=True,
    )


def names(batches: tuple[tuple[Encoded, ...], ...]) -> list[list[str]]:
    return [sorted(one.example.target for one in batch) for batch in batches]


def test_batches_are_filled_with_the_longest_first() -> None:
    rows = [row("a", 2, 1, first=1), row("b", 8, 2), row("c", 9, 1), row("d", 3, 1)]
    # c and b: 2 x 9 prompt tokens and 2 x 2 target tokens are 22; with d it would be 33.
    assert names(pack(rows, 22)) == [["b", "c"], ["a", "d"]]
    assert names(pack(rows, 21)) == [["c"], ["b", "d"], ["a"]]


def test_an_example_longer_than_the_budget_is_alone() -> None:
    assert names(pack([row("a", 50, 5), row("b", 2, 1), row("c", 2, 1)], 10)) == [["a"], ["b", "c"]]


def test_examples_with_one_prompt_stand_together_and_it_counts_once() -> None:
    rows = [row(name, 10, 1, first=first) for name, first in zip("abcdef", [1, 2] * 3, strict=True)]
    assert names(pack(rows, 13)) == [["b", "d", "f"], ["a", "c", "e"]]


def test_every_choice_counts() -> None:
    rows = [row("a", 10, 2, 2, 2, first=1), row("b", 10, 2, 2, 2, first=2)]
    assert names(pack(rows, 32)) == [["a", "b"]]
    assert names(pack(rows, 31)) == [["b"], ["a"]]


def test_the_summary_counts_what_the_model_will_see() -> None:
    rows = [row("a", 4, 1), row("b", 4, 2), row("c", 2, 1, 3)]
    plan = Plan((tuple(rows),), (Unencodable(bare("d"), "why"),), cached=True)
    assert plan.summary == {
        "batches": 1,
        "examples": 3,
        "unencodable": 1,
        "prompt_tokens": 10,
        "target_tokens": 7,
        "shared_prompts": 1,
        "truncated_prompts": 0,
        "one_at_a_time": 0,
    }


def test_one_at_a_time_nothing_is_shared() -> None:
    rows = (row("a", 4, 1), row("b", 4, 2))
    summary = Plan((rows,), (), cached=False).summary
    assert summary["shared_prompts"] == 0
    assert summary["one_at_a_time"] == 1


def test_an_empty_plan_has_no_batches() -> None:
    assert pack([], 10) == ()
    assert Plan((), (), cached=True).summary["batches"] == 0


@given(
    lengths=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 9), st.integers(0, 2))),
    budget=st.integers(1, 100),
    seed=st.integers(0, 9),
)
def test_a_plan_holds_every_example_once_within_its_budget_whatever_their_order(
    lengths: list[tuple[int, int, int]], budget: int, seed: int
) -> None:
    rows = [row(str(n), p, t, first=f) for n, (p, t, f) in enumerate(lengths)]
    batches = pack(rows, budget)
    assert sorted(one.example.target for batch in batches for one in batch) == sorted(
        one.example.target for one in rows
    )
    for batch in batches:
        prompts = {one.prompt for one in batch}
        tokens = len(prompts) * max(map(len, prompts))
        tokens += len(batch) * max(len(one.targets[0]) for one in batch)
        assert tokens <= budget or len(batch) == 1
    random.Random(seed).shuffle(rows)
    assert pack(rows, budget) == batches
