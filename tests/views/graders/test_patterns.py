"""Patterns are found where they stand, and none takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import PatternFault
from views.graders.patterns import compiled, regex

ATOMS = ("a", "b", "A", "1", r"\n", r"\.", r"\x61", r"\d", r"\W", r"\s", ".", "[ab]", "[^a]", "^")
REPEATS = ("*", "+", "?", "{2}", "{1,2}", "{2,}", "*?", "+?", "??")
FLAGS = ("", "(?i)", "(?s)")


def patterns() -> st.SearchStrategy[str]:
    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("{}{}".format, inner, inner),
            st.builds("(?:{}|{})".format, inner, inner),
            st.builds("(?:{}){}".format, inner, st.sampled_from(REPEATS)),
        )

    return st.recursive(st.sampled_from(ATOMS), larger, max_leaves=8)


@given(st.sampled_from(FLAGS), patterns(), st.lists(st.text("abA1 \n.", max_size=8), min_size=1))
def test_a_pattern_is_found_where_python_finds_it(
    flags: str, pattern: str, texts: list[str]
) -> None:
    oracle = re.compile(flags + pattern)
    for text in texts:
        found = compiled(flags + pattern).search(text) is not None
        assert found is (oracle.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"(?P<sign>-)?\d{2,3}$", "it is -120", True),
        (r"^(?:yes|no)\.?$", " yes.\n", True),
        (r"^(?:yes|no)\.?$", "yes, no", False),
        (r"a{2}", "aba", False),
        ("(?i)größe", "GRÖSSE: 5; Größe: 6", True),
        (r"\bno\b", "nothing", False),
    ],
)
def test_patterns_by_hand(pattern: str, text: str, found: bool) -> None:
    judge = regex(pattern)
    assert judge is not None
    verdict = judge(text)
    assert verdict is not None
    assert (verdict.score, verdict.parsed) == (float(found), text.strip())


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^a*a*a*a*a*a*a*b$"])
def test_what_sends_backtracking_round_for_ever_is_read_once(pattern: str) -> None:
    # Backtracking takes more than 2^50 steps for each but the last, and 10^20 for that.
    started = time.process_time()
    assert compiled(pattern).search("a" * 2_000 + "c") is None
    assert time.process_time() - started < 10.0


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "from 1 to 1000 characters"),
        ("a" * 1_001, "from 1 to 1000 characters"),
        ("(a", "missing ): (a"),
        ("*a", "no argument for repetition operator: *"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("b(?=a)", "invalid perl operator: (?="),
        ("(?:(?:a{50}){50}){50}", "invalid repetition size: {50}"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(pattern: str, reason: str) -> None:
    with pytest.raises(PatternFault, match=re.escape(reason)):
        compiled(pattern)
    assert regex(pattern) is None
