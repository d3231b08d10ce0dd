"""Patterns mean what Python's `re` makes of them, and none takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import PatternFault
from views.graders.automaton import MAX_STATES
from views.graders.patterns import MAX_NESTING, compiled

ATOMS = (
    "a", "b", "A", "é", "1", "{", "}", "{}", "\n", r"\n", r"\.", r"\x61", r"\d", r"\W", r"\s", ".",
    "[ab]", "[^a]", "[]a]", r"[\]\d-]", "^", "$", r"\b", r"\A", r"\Z",
)  # fmt: skip
REPEATS = ("*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "*?", "+?", "??", "{1,2}?")
FLAGS = ("", "(?i)", "(?m)", "(?s)", "(?a)", "(?im)")


def patterns() -> st.SearchStrategy[str]:
    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("{}{}".format, inner, inner),
            st.builds("(?:{}|{})".format, inner, inner),
            st.builds("({}|)".format, inner),
            st.builds("(?:{}){}".format, inner, st.sampled_from(REPEATS)),
        )

    return st.recursive(st.sampled_from(ATOMS), larger, max_leaves=8)


@given(st.sampled_from(FLAGS), patterns(), st.lists(st.text("abA1é \n.{}", max_size=8), min_size=1))
def test_a_pattern_is_found_where_python_finds_it(
    flags: str, pattern: str, texts: list[str]
) -> None:
    automaton, oracle = compiled(flags + pattern), re.compile(flags + pattern)
    # Twice, since the second time all states are known.
    for text in texts + texts:
        assert automaton.matches_in(text) is (oracle.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"(?P<sign>-)?\d{2,3}$", "it is -120", True),
        (r"^(?:yes|no)\.?$", "yes.", True),
        (r"^(?:yes|no)\.?$", "yes, no", False),
        (r"a{2}", "aba", False),
        (r"\u20ac \d+", "€ 5", True),
        ("[[a]", "[", True),
        ("(?i)straße", "STRASSE", False),
    ],
)
def test_patterns_by_hand(pattern: str, text: str, found: bool) -> None:
    assert compiled(pattern).matches_in(text) is found


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^a*a*a*a*a*a*a*b$"])
def test_what_sends_backtracking_round_for_ever_is_read_once(pattern: str) -> None:
    # Backtracking takes more than 2^50 steps for each but the last, and 10^20 for that.
    started = time.process_time()
    assert not compiled(pattern).matches_in("a" * 2_000 + "c")
    assert time.process_time() - started < 10.0


def test_no_more_than_so_many_states_are_remembered() -> None:
    # The last 12 characters are a state each: 4,096 of them.
    automaton = compiled("a[ab]{11}c")
    texts = ["".join("ab"[place >> bit & 1] for bit in range(12)) for place in range(4_096)]
    assert not automaton.matches_in("".join(texts))
    assert len(automaton._states) <= MAX_STATES
    assert automaton.matches_in("".join(texts) + "abbbbbbbbbbbc")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "from 1 to 1000 characters"),
        ("a" * 1_001, "from 1 to 1000 characters"),
        ("(a", "missing ), unterminated subpattern at position 0"),
        ("*a", "nothing to repeat"),
        (r"(a)\1", r"this is not read: \1"),
        ("b(?=a)", "this is not read: (?=a)"),
        ("(?<!a)b", "this is not read: (?<!a)b"),
        ("a*+b", "this is not read: +b"),
        ("(?>a)b", "this is not read: (?>a)b"),
        ("a(?i:b)", "this is not read: (?i:b)"),
        ("(?x)a", "this is not read: (?x)a"),
        (r"a\B", r"this is not read: \B"),
        (r"\N{BULLET}", r"this is not read: \N{BULLET}"),
        ("a{2000}", "its repeats make it too large"),
        ("(?:(?:a{50}){50}){50}", "its repeats make it too large"),
        ("(" * 31 + "a" + ")" * 31, f"more than {MAX_NESTING} groups"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(pattern: str, reason: str) -> None:
    with pytest.raises(PatternFault, match=re.escape(reason)):
        compiled(pattern)


def test_repeating_nothing_takes_no_time() -> None:
    assert compiled("(?:(?:){1000000}){1000000}").matches_in("")
