"""The quick tier is stratified, nested, and the same whatever stands around it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from evaluators.quick import FEW, quick_tier
from evaluators.suites import Suite
from settings import Role
from tests import logs


def suite(name: str, sizes: dict[str | None, int], role: Role = "validation") -> Suite:
    """A suite with so many examples of each difficulty."""
    examples = [
        replace(one, difficulty=difficulty)
        for difficulty, n in sizes.items()
        for one in logs.questions(f"{name} {difficulty}", n)
    ]
    return Suite(
        suite_id=name,
        name=name,
        path=Path(f"{name}.jsonl"),
        difficulty="easy",
        role=role,
        grader="exact",
        examples=tuple(examples),
        refused=(),
        rows_read=len(examples),
        duplicates=0,
    )


def shares(chosen: frozenset[str], *suites: Suite) -> Counter[tuple[str, str | None]]:
    return Counter(
        (one.name, example.difficulty)
        for one in suites
        for example in one.examples
        if example.example_id in chosen
    )


MIXED = suite("mixed", {"easy": 600, "hard": 100})
SMALL = suite("small", {"medium": 3})
LARGE = suite("large", {None: 300})
POOL = suite("pool", {None: 500}, role="mining")
ALL = (MIXED, SMALL, LARGE, POOL)


def test_every_suite_and_difficulty_gives_a_few_and_then_its_share() -> None:
    found = shares(quick_tier(ALL, 100), *ALL)
    # The small one is whole. 97 seats for 600, 100 and 300 are 58.2, 9.7 and 29.1.
    assert found == {
        ("small", "medium"): 3,
        ("mixed", "easy"): 58,
        ("mixed", "hard"): 10,
        ("large", None): 29,
    }


def test_a_tier_too_small_for_shares_gives_each_the_same() -> None:
    assert set(shares(quick_tier(ALL, 4 * FEW - 1), *ALL).values()) == {FEW, 3}
    assert set(shares(quick_tier(ALL, 4), *ALL).values()) == {1}


def test_a_smaller_tier_is_part_of_a_larger_one() -> None:
    tiers = [quick_tier(ALL, size) for size in range(0, 200, 3)]
    assert [len(one) for one in tiers] == list(range(0, 200, 3))
    assert all(small <= large for small, large in pairwise(tiers))


def test_the_order_of_suites_and_rows_does_not_matter() -> None:
    turned = [replace(one, examples=one.examples[::-1]) for one in reversed(ALL)]
    assert quick_tier(turned, 100) == quick_tier(ALL, 100)


def test_an_example_in_two_suites_is_drawn_once() -> None:
    copy = replace(LARGE, name="copy", suite_id="copy")
    chosen = quick_tier([LARGE, copy, POOL], 60)
    assert len(chosen) == 60
    assert chosen == quick_tier([copy, LARGE, POOL], 60)


def test_mining_suites_wait() -> None:
    assert shares(quick_tier([LARGE, POOL], 64), POOL).total() == 0
    assert quick_tier([POOL], 64) == frozenset()


@pytest.mark.parametrize(("size", "drawn"), [(0, 0), (149, 149), (150, 0), (500, 0)])
def test_there_is_none_where_it_would_be_half_of_all(size: int, drawn: int) -> None:
    assert len(quick_tier([LARGE], size)) == drawn
