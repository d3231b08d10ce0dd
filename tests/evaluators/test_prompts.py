"""What the model is given and what it should say, as token ids worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from errors import EvaluationFault
from evaluators.prompts import Encoded, Encoder, Limits
from settings import Think
from store.records import Example
from tests.evaluators.checkpoints import LETTERS, SPECIAL, make_tokenizer
from tests.evaluators.reference import END, bare, chat, choice

VOCABULARY = len(SPECIAL) + len(LETTERS)
BOS, USER, ASSISTANT, NEWLINE = 1, 5, 6, 7 + LETTERS.index("\n")


def ids(text: str) -> tuple[int, ...]:
    return tuple(len(SPECIAL) + LETTERS.index(letter) for letter in text)


def encoder(
    tokenizer: PreTrainedTokenizerFast | None = None,
    *,
    think: Think = "keep",
    generate_choices: bool = True,
    **limits: Any,
) -> Encoder:
    room: dict[str, Any] = {
        "context": None,
        "vocabulary": VOCABULARY,
        "max_prompt_tokens": 4096,
        "max_new_tokens": 8,
    }
    return Encoder(
        tokenizer or make_tokenizer(),
        frozenset({END}),
        Limits(**{**room, **limits}),
        think=think,
        generate_choices=generate_choices,
    )


def refusal(encoder: Encoder, example: Example) -> str:
    with pytest.raises(EvaluationFault) as fault:
        encoder.encode(example)
    return str(fault.value)


def completion(prompt: str, target: str) -> Example:
    return Example("s", "e", 1, "completion", ({"role": "user", "content": prompt},), target)


def test_a_chat_is_the_template_with_one_bos_and_the_target_ends_with_its_turn() -> None:
    encoded = encoder().encode(chat("hi", "yo"))
    assert encoder().format == "chat-template"
    assert encoded.prompt == (BOS, USER, *ids("hi"), END, NEWLINE, ASSISTANT)
    assert encoded.targets == ((*ids("yo"), END),)
    assert (encoded.target_bytes, encoded.prompt_truncated, encoded.generates) == (2, False, True)


def test_a_choice_row_writes_no_text_where_that_is_switched_off() -> None:
    row = choice("hi", ("no", "yes"), "yes")
    assert not encoder(generate_choices=False).encode(row).generates
    assert encoder(generate_choices=False).encode(chat("hi", "yo")).generates


def test_a_system_turn_and_earlier_answers_are_part_of_the_prompt() -> None:
    turns = [("system", "be"), ("user", "a"), ("assistant", "b"), ("user", "c")]
    messages = tuple({"role": role, "content": content} for role, content in turns)
    encoded = encoder().encode(Example("s", "e", 1, "chat", messages, "d"))
    numbers = {"system": 4, "user": USER, "assistant": ASSISTANT}
    expected = [BOS]
    for role, content in turns:
        expected += [numbers[role], *ids(content), END, NEWLINE]
    assert encoded.prompt == (*expected, ASSISTANT)


def test_a_turn_that_ends_without_a_special_token_is_scored_to_its_last_newline() -> None:
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    encoded = encoder(make_tokenizer(template=template)).encode(chat("hi", "yo"))
    assert encoded.prompt == ids("hi\n")
    assert encoded.targets == (ids("yo\n"),)


def test_a_template_that_rewrites_the_prompt_is_refused_by_name() -> None:
    template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    reason = refusal(encoder(make_tokenizer(template=template)), chat("hi", "yo"))
    assert "the chat template does not continue the prompt" in reason


def test_a_template_that_raises_gives_its_own_words() -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    reason = refusal(encoder(make_tokenizer(template=template)), chat("hi", "yo"))
    assert reason == "the chat template refuses it: roles must alternate"


def test_the_bytes_of_a_target_are_those_of_its_text_in_utf8() -> None:
    assert encoder().encode(chat("hi", "café")).target_bytes == 5


def test_every_choice_is_a_target_and_the_right_one_is_known() -> None:
    encoded = encoder().encode(choice("hi", ("no", "yes", "hm"), "yes"))
    assert encoded.targets == tuple((*ids(one), END) for one in ("no", "yes", "hm"))
    assert (encoded.answer, encoded.target_bytes, encoded.generates) == (1, 3, True)


@pytest.mark.parametrize(
    ("prompt", "target", "given", "said"),
    [
        ("2+2?", "4", "2+2?\n", "4"),
        ("2+2=", " 4", "2+2=", " 4"),
        ("2+2= ", "4", "2+2= ", "4"),
    ],
)
def test_the_plain_format_puts_a_newline_where_there_is_no_whitespace(
    prompt: str, target: str, given: str, said: str
) -> None:
    plain = encoder(make_tokenizer(template=None))
    encoded = plain.encode(completion(prompt, target))
    assert plain.format == "plain"
    assert encoded.prompt == (BOS, *ids(given))
    assert encoded.targets == ((*ids(said), END),)


def test_the_plain_format_joins_the_turns_of_a_chat() -> None:
    messages = ({"role": "system", "content": "be"}, {"role": "user", "content": "hi\n"})
    example = Example("s", "e", 1, "chat", messages, "yo")
    encoded = encoder(make_tokenizer(template=None, bos=False)).encode(example)
    assert encoded.prompt == ids("be\nhi\n")


def pairs_tokenizer() -> PreTrainedTokenizerFast:
    """Letters, and the pair " b" as one token, as byte pair encodings have it."""
    vocabulary = {token: number for number, token in enumerate(["<unk>", "a", " ", "b", " b"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(" ", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("never", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]


def words_tokenizer() -> PreTrainedTokenizerFast:
    """Puts a space before every text, as SentencePiece does."""
    vocabulary = {token: number for number, token in enumerate(["<unk>", "▁", "▁a", "▁b"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]


def test_a_target_that_would_fuse_with_the_prompt_is_encoded_by_itself() -> None:
    plain = encoder(pairs_tokenizer())
    assert plain.encode(completion("a", " b")).targets == ((4,),)
    fused = plain.encode(completion("a ", "b"))
    assert (fused.prompt, fused.targets) == ((1, 2), ((3,),))


def test_a_target_that_would_get_a_space_of_its_own_is_refused() -> None:
    plain = encoder(words_tokenizer())
    assert plain.encode(completion("a", " b")).targets == ((3,),)
    assert "let the prompt end without whitespace" in refusal(plain, completion("a ", "b"))


def test_the_prompt_of_a_bare_text_is_bos() -> None:
    encoded = encoder().encode(bare("éa"))
    assert (encoded.prompt, encoded.targets) == ((BOS,), (ids("éa"),))
    assert (encoded.target_bytes, encoded.generates) == (3, False)


def test_without_bos_the_prompt_of_a_bare_text_is_its_first_token() -> None:
    encoded = encoder(make_tokenizer(bos=False)).encode(bare("éab"))
    assert (encoded.prompt, encoded.targets) == (ids("é"), (ids("ab"),))
    assert encoded.target_bytes == 2


def test_a_bare_text_of_one_token_has_nothing_to_score_without_bos() -> None:
    assert encoder().encode(bare("a")).targets == (ids("a"),)
    assert "single token" in refusal(encoder(make_tokenizer(bos=False)), bare("a"))


def cut(encoded: Encoded) -> tuple[tuple[int, ...], bool]:
    return encoded.prompt, encoded.prompt_truncated


def test_a_long_prompt_is_cut_from_the_left_and_keeps_its_bos() -> None:
    example = chat("abcdef", "yo")
    whole = (BOS, USER, *ids("abcdef"), END, NEWLINE, ASSISTANT)
    assert cut(encoder(max_prompt_tokens=11).encode(example)) == (whole, False)
    assert cut(encoder(max_prompt_tokens=6).encode(example)) == ((BOS, *whole[-5:]), True)
    assert cut(encoder(max_prompt_tokens=1).encode(example)) == ((ASSISTANT,), True)


def test_a_prompt_without_bos_is_cut_to_its_end() -> None:
    plain = encoder(make_tokenizer(template=None, bos=False), max_prompt_tokens=3)
    assert cut(plain.encode(completion("abcdef", " yo"))) == (ids("def"), True)


def test_the_context_leaves_room_for_the_target_or_the_text_whichever_is_longer() -> None:
    example, long = chat("abcdef", "yo"), chat("abcdef", "yo yo yo yo")
    assert len(encoder(context=16, max_new_tokens=8).encode(example).prompt) == 8
    assert len(encoder(context=16, max_new_tokens=8).encode(long).prompt) == 4
    assert len(encoder(context=19, max_new_tokens=8).encode(example).prompt) == 11
    row = choice("abcdef", ("yo", "no"), "yo")
    assert len(encoder(context=16).encode(row).prompt) == 8
    assert len(encoder(generate_choices=False, context=16).encode(row).prompt) == 11


def test_a_target_is_never_cut() -> None:
    assert len(encoder(context=4, max_new_tokens=1).encode(chat("a", "yo")).targets[0]) == 3
    reason = refusal(encoder(context=3, max_new_tokens=1), chat("a", "yo"))
    assert reason == "its target of 3 tokens does not fit into the model's context of 3"


def test_max_new_tokens_that_fill_the_context_are_named() -> None:
    reason = refusal(encoder(context=8, max_new_tokens=8), chat("a", "yo"))
    assert "max_new_tokens = 8 leaves no room" in reason


def test_a_token_that_the_model_does_not_know_is_an_error_not_a_crash() -> None:
    reason = refusal(encoder(vocabulary=ASSISTANT), chat("a", "yo"))
    assert "the model knows only 6" in reason


def test_a_prompt_or_target_without_tokens_is_named() -> None:
    silent = "{% for m in messages if m.role == 'assistant' %}{{ m.content }}{% endfor %}"
    assert "no token of its prompt" in refusal(
        encoder(make_tokenizer(template=silent)), chat("hi", "yo")
    )
    deaf = "{{ messages[0].content }}"
    assert "leaves out the answer" in refusal(
        encoder(make_tokenizer(template=deaf)), chat("hi", "yo")
    )


@pytest.mark.parametrize("template", [None, "{% for m in messages %}{{ m.content }}{% endfor %}"])
def test_bos_comes_once_also_where_the_text_brings_it(template: str | None) -> None:
    tokenizer = make_tokenizer(template=template)
    encoded = encoder(tokenizer).encode(completion("<s>hi ", "yo"))
    assert encoded.prompt == (BOS, *ids("hi "))
    doubled = encoder(tokenizer).encode(completion("<s><s>hi ", "yo"))
    assert doubled.prompt == (BOS, *ids("hi "))


def test_the_bos_of_a_bare_text_is_its_prompt_and_not_scored() -> None:
    encoded = encoder().encode(bare("<s>éa"))
    assert (encoded.prompt, encoded.targets) == ((BOS,), (ids("éa"),))
    assert encoded.target_bytes == 3


def test_a_target_that_would_fuse_with_the_template_is_encoded_by_itself() -> None:
    tokenizer = pairs_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    fused = encoder(tokenizer).encode(completion("a ", "b"))
    assert (fused.prompt, fused.targets) == ((1, 2), ((3,),))
