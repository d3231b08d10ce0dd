from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from data.lessons import lessons
from data.puzzles import Puzzle, suites
from data.tokenizer import CHARACTERS, make_tokenizer

TOKENIZER: Any = make_tokenizer()
PUZZLES = [puzzle for _, puzzles in suites() for puzzle in puzzles] + lessons(1, 20, 32)


def ids(puzzle: Puzzle) -> tuple[list[int], list[int]]:
    """The tokens of the prompt, ready for an answer, and those of the whole conversation."""
    prompt = TOKENIZER.apply_chat_template(
        puzzle.messages[:1], add_generation_prompt=True, return_dict=False
    )
    return prompt, TOKENIZER.apply_chat_template(puzzle.messages, return_dict=False)


@given(st.text(alphabet=CHARACTERS))
def test_printable_text_comes_back_as_it_was(text: str) -> None:
    encoded = TOKENIZER(text)["input_ids"]
    assert len(encoded) == len(text)
    assert TOKENIZER.decode(encoded) == text


def test_every_puzzle_comes_back_as_it_was() -> None:
    for puzzle in PUZZLES:
        for text in (puzzle.prompt, puzzle.answer):
            encoded = TOKENIZER(text)["input_ids"]
            assert TOKENIZER.unk_token_id not in encoded
            assert TOKENIZER.decode(encoded) == text


def test_a_character_that_it_does_not_know_is_marked_unknown() -> None:
    assert TOKENIZER("aéb")["input_ids"][1] == TOKENIZER.unk_token_id


def test_the_template_marks_turns() -> None:
    messages = [{"role": "user", "content": "copy ab"}, {"role": "assistant", "content": "ab"}]
    text = TOKENIZER.apply_chat_template(messages, tokenize=False)
    assert text == "<|user|>copy ab<|end|><|assistant|>ab<|end|>"


def test_a_prompt_is_the_beginning_of_the_conversation_and_the_rest_is_the_answer() -> None:
    for puzzle in PUZZLES:
        prompt, whole = ids(puzzle)
        assert whole[: len(prompt)] == prompt
        assert whole[-1] == TOKENIZER.eos_token_id
        assert TOKENIZER.decode(whole[len(prompt) : -1]) == puzzle.answer


def test_every_puzzle_fits_into_the_model() -> None:
    assert max(len(ids(puzzle)[1]) for puzzle in PUZZLES) <= TOKENIZER.model_max_length


@pytest.fixture
def reloaded(tmp_path: Path) -> Any:
    TOKENIZER.save_pretrained(tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path)


def test_a_saved_tokenizer_is_the_same_when_loaded(reloaded: Any) -> None:
    assert reloaded.get_vocab() == TOKENIZER.get_vocab()
    assert reloaded.chat_template == TOKENIZER.chat_template
    assert reloaded.eos_token == "<|end|>"
    puzzle = PUZZLES[0]
    assert reloaded.apply_chat_template(puzzle.messages, return_dict=False) == ids(puzzle)[1]
