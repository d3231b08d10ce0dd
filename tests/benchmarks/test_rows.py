"""The rows of the engine's benchmark: of the wanted lengths, the same each time, and real."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.rows import (
    Piece,
    choice_rows,
    documents,
    long_rows,
    scored_alone,
    short_rows,
    split,
    spread,
    until,
)


def words(text: str) -> int:
    """A tokenizer of which each word is a token."""
    return len(text.split())


def test_a_text_split_into_pieces_is_the_text_again() -> None:
    pieces = split("Read a file.\n\n  Then close  it.\n", words)
    assert [piece.text for piece in pieces[:4]] == ["Read", " a", " file.", "\n\n  Then"]
    assert "".join(piece.text for piece in pieces) == "Read a file.\n\n  Then close  it."


def test_pieces_are_taken_up_to_a_number_of_tokens_and_never_none() -> None:
    pieces = [Piece("a", 3), Piece("b", 2), Piece("c", 4)]
    assert list(until(pieces, 5)) == pieces[:2]
    assert list(until(pieces, 8)) == pieces[:2]
    assert list(until(pieces, 9)) == pieces
    assert list(until(pieces, 1)) == pieces[:1]


def test_lengths_are_spread_evenly_over_the_range() -> None:
    lengths = spread(12, range(50, 601))
    assert sorted(lengths) == list(range(50, 601, 50))
    assert lengths != sorted(lengths)


def test_short_rows_have_prompts_and_answers_of_the_wanted_lengths() -> None:
    rows = short_rows(12, words)
    prompts = [words(row.messages[0]["content"]) for row in rows]
    assert all(25 <= length <= 600 for length in prompts)
    assert max(prompts) > 550
    assert all(1 <= words(row.target) <= 4 for row in rows)
    assert all(row.messages[0]["content"].endswith("A:") for row in rows[1::2])


def test_a_long_row_goes_on_in_the_text_where_its_prompt_ends() -> None:
    rows = long_rows(6, words)
    assert [words(row.messages[0]["content"]) for row in rows] == spread(6, range(50, 601))
    assert sorted(words(row.target) for row in rows) == [50, 100, 150, 199, 249, 299]
    for row in rows:
        whole = row.messages[0]["content"] + row.target
        assert any(whole in document for document in documents())


def test_no_text_is_in_two_rows() -> None:
    prompts = sorted(row.messages[0]["content"] for row in long_rows(12, words))
    assert all(not later.startswith(earlier) for earlier, later in pairwise(prompts))


def test_a_choice_row_has_four_ways_to_go_on_with_the_right_one_in_turn() -> None:
    rows = choice_rows(8, words)
    assert all(row.choices is not None and len(set(row.choices)) == 4 for row in rows)
    assert [row.choices and row.choices.index(row.target) for row in rows] == [0, 1, 2, 3] * 2


def test_rows_are_the_same_each_time() -> None:
    first, second = (short_rows(8, words) for _ in range(2))
    assert [row.example_id for row in first] == [row.example_id for row in second]
    assert len({row.example_id for row in first}) == 8


def test_a_row_scored_alone_keeps_prompt_and_target_and_wants_no_text() -> None:
    rows = short_rows(2, words)
    alone = scored_alone(rows)
    assert [(one.messages, one.target) for one in alone] == [
        (row.messages, row.target) for row in rows
    ]
    assert [(one.kind, one.choices) for one in alone] == [("choice", (row.target,)) for row in rows]
