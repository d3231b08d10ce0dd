"""Chat templates as well-known models have them, written anew from what they are known to do."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from errors import EvaluationFault
from evaluators.prompts import Encoded, Encoder, Limits
from evaluators.templates import ChatTemplate
from settings import Think
from store.records import Example
from tests.evaluators.checkpoints import make_tokenizer

BOS = "<s>"
MARKUP = [
    "<|im_start|>", "<|im_end|>", "<|start|>", "<|header|>", "<|eot|>", "<turn>", "</turn>",
    "</s>", "<think>", "</think>", "<User>", "<Assistant>",
]  # fmt: skip
ENDS = ["<|im_end|>", "<|eot|>", "</turn>", "</s>"]
OTHER_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ[]/:"

CHATML = """\
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

HEADER_ONLY_IN_TURNS = """\
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}"""

LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "<|start|>{{ m.role }}<|header|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|header|>\n\n{% endif %}"
)

GEMMA3 = (
    "{{ bos_token }}{% set told = '' %}{% set rest = messages %}"
    "{% if messages[0].role == 'system' %}"
    "{% set told = messages[0].content + '\n\n' %}{% set rest = messages[1:] %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ told if loop.first }}{{ m.content | trim }}</turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)

MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)

# Thinks of the last turn alone, and gives it an empty block where it has none.
QWEN3 = """\
{%- set last = namespace(query=0) -%}
{%- for m in messages if m.role == 'user' -%}
  {%- set last.query = messages.index(m) -%}
{%- endfor -%}
{%- for m in messages -%}
  {%- set thought, answer = '', m.content -%}
  {%- if m.role == 'assistant' and '</think>' in m.content -%}
    {%- set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\\n') -%}
    {%- set answer = m.content.split('</think>')[-1].lstrip('\\n') -%}
  {%- endif -%}
  {{- '<|im_start|>' + m.role + '\\n' -}}
  {%- if m.role == 'assistant' and loop.index0 > last.query and (loop.last or thought) -%}
    {{- '<think>\\n' + thought + '\\n</think>\\n\\n' + answer.lstrip('\\n') -}}
  {%- else -%}
    {{- answer -}}
  {%- endif -%}
  {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\\n' -}}
  GENERATION
{%- endif -%}
"""
HYBRID = QWEN3.replace(
    "GENERATION",
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}",
)
WITHOUT_SWITCH = QWEN3.replace("GENERATION", "")
ALWAYS_THINKS = QWEN3.replace("GENERATION", "{{- '<think>\\n' -}}")

# Takes think blocks out of every turn, and begins one in the generation prompt.
DEEPSEEK_R1 = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}"
    "{% elif m.role == 'user' %}<User>{{ m.content }}"
    "{% else %}<Assistant>{{ m.content.split('</think>')[-1] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<Assistant><think>\n{% endif %}"
)

# Says with a lone </think> that no thought comes.
DEEPSEEK_V3 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<User>{{ m.content }}"
    "{% else %}<Assistant></think>{{ m.content.split('</think>')[-1] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<Assistant></think>{% endif %}"
)


def tokenizer(template: str) -> PreTrainedTokenizerFast:
    """One token a character, and one for each piece of markup."""
    made = make_tokenizer(template=template, eos=False)
    made.add_tokens(list(OTHER_LETTERS))
    made.add_tokens(MARKUP, special_tokens=True)
    return made


def encode(
    template: str,
    turns: list[tuple[str, str]],
    *,
    think: Think = "keep",
    choices: tuple[str, ...] | None = None,
) -> Encoded:
    """The last of the turns is the target."""
    made = tokenizer(template)
    limits = Limits(context=None, vocabulary=len(made), max_prompt_tokens=999, max_new_tokens=8)
    ends = frozenset(made.get_vocab()[end] for end in ENDS)
    messages = tuple({"role": role, "content": content} for role, content in turns[:-1])
    kind: Any = "chat" if choices is None else "choice"
    example = Example("s", "e", 1, kind, messages, turns[-1][1], choices)
    return Encoder(made, ends, limits, think=think).encode(example)


def ids(*pieces: str) -> tuple[int, ...]:
    """Each piece is one token of markup, or text of one token a character."""
    vocabulary = tokenizer("").get_vocab()
    tokens = [[piece] if piece in (BOS, *MARKUP) else list(piece) for piece in pieces]
    return tuple(vocabulary[token] for part in tokens for token in part)


ASK = [("user", "hi"), ("assistant", "yo")]
THOUGHT = "<think>\nhm\n</think>\n\nyo"
PONDER = [("user", "hi"), ("assistant", THOUGHT)]
LONG = [
    ("system", "be"),
    ("user", "a"),
    ("assistant", "<think>\nold\n</think>\n\nb"),
    ("user", "c"),
    ("assistant", "d"),
]


def test_chatml_ends_a_turn_before_its_newline() -> None:
    encoded = encode(CHATML, [("system", "be"), *ASK])
    expected = ids("<|im_start|>", "system\nbe", "<|im_end|>", "\n")
    expected += ids("<|im_start|>", "user\nhi", "<|im_end|>", "\n", "<|im_start|>", "assistant\n")
    assert encoded.prompt == expected
    assert encoded.targets == (ids("yo", "<|im_end|>"),)


@pytest.mark.parametrize("answer", ["a", "assistant", "<|im_end|>"])
def test_a_header_that_only_turns_have_belongs_to_the_prompt(answer: str) -> None:
    encoded = encode(HEADER_ONLY_IN_TURNS, [("user", "hi"), ("assistant", answer)])
    assert encoded.prompt == encode(CHATML, ASK).prompt
    assert encoded.targets == encode(CHATML, [("user", "hi"), ("assistant", answer)]).targets
    assert encoded.target_bytes == len(answer)


def test_a_space_before_the_answer_goes_with_the_answer() -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    encoded = encode(template, ASK)
    assert encoded.prompt == ids("user: hi\nassistant:")
    assert encoded.targets == (ids(" yo\n"),)
    assert encoded.target_bytes == 2


def test_llama_3_has_one_bos_and_trims_the_answer() -> None:
    encoded = encode(LLAMA3, [("user", " hi "), ("assistant", " yo\n")])
    expected = ids(BOS, "<|start|>", "user", "<|header|>", "\n\nhi", "<|eot|>")
    assert encoded.prompt == expected + ids("<|start|>", "assistant", "<|header|>", "\n\n")
    assert encoded.targets == (ids("yo", "<|eot|>"),)
    assert encoded.target_bytes == 2


def test_gemma_3_folds_the_system_turn_into_the_users() -> None:
    encoded = encode(GEMMA3, [("system", "be"), *ASK])
    expected = ids(BOS, "<turn>", "user\nbe\n\nhi", "</turn>", "\n", "<turn>", "model\n")
    assert encoded.prompt == expected
    assert encoded.targets == (ids("yo", "</turn>"),)
    with pytest.raises(EvaluationFault, match="the chat template refuses it: roles must alternate"):
        encode(GEMMA3, [("user", "a"), *ASK])


def test_mistral_has_no_generation_prompt_and_refuses_system_turns() -> None:
    encoded = encode(MISTRAL, [("user", "a"), ("assistant", "b"), *ASK])
    assert encoded.prompt == ids(BOS, "[INST] a [/INST] b", "</s>", "[INST] hi [/INST]")
    assert encoded.targets == (ids(" yo", "</s>"),)
    with pytest.raises(EvaluationFault, match="refuses it: roles must alternate user/assistant"):
        encode(MISTRAL, [("system", "be"), *ASK])


QWEN_ASKED = ids("<|im_start|>", "user\nhi", "<|im_end|>", "\n", "<|im_start|>", "assistant\n")
EMPTY_BLOCK = ids("<think>", "\n\n", "</think>", "\n\n")
QWEN_THOUGHT = ids("<think>", "\nhm\n", "</think>", "\n\nyo", "<|im_end|>")


@pytest.mark.parametrize("template", [HYBRID, WITHOUT_SWITCH, ALWAYS_THINKS])
@pytest.mark.parametrize("think", ["keep", "drop"])
def test_qwen_3s_empty_think_block_belongs_to_the_prompt(template: str, think: Think) -> None:
    encoded = encode(template, ASK, think=think)
    assert encoded.prompt == QWEN_ASKED + EMPTY_BLOCK
    assert encoded.targets == (ids("yo", "<|im_end|>"),)
    assert encoded.target_bytes == 2


@pytest.mark.parametrize("template", [HYBRID, WITHOUT_SWITCH])
def test_qwen_3_keeps_a_think_block_in_the_target(template: str) -> None:
    encoded = encode(template, PONDER)
    assert encoded.prompt == QWEN_ASKED
    assert encoded.targets == (QWEN_THOUGHT,)
    assert encoded.target_bytes == len(THOUGHT)


def test_a_think_block_that_the_generation_prompt_begins_goes_on_in_the_target() -> None:
    encoded = encode(ALWAYS_THINKS, PONDER)
    assert encoded.prompt == QWEN_ASKED + ids("<think>", "\n")
    assert encoded.targets == (ids("hm\n", "</think>", "\n\nyo", "<|im_end|>"),)
    assert encoded.target_bytes == len("hm\n</think>\n\nyo")


@pytest.mark.parametrize("template", [HYBRID, WITHOUT_SWITCH, ALWAYS_THINKS])
def test_qwen_3_with_its_think_block_dropped_is_like_a_row_without_one(template: str) -> None:
    assert encode(template, PONDER, think="drop").targets == encode(template, ASK).targets
    assert encode(template, PONDER, think="drop").prompt == encode(template, ASK).prompt


def test_qwen_3_leaves_out_the_thoughts_of_earlier_turns() -> None:
    expected = ids("<|im_start|>", "system\nbe", "<|im_end|>", "\n")
    expected += ids("<|im_start|>", "user\na", "<|im_end|>", "\n")
    expected += ids("<|im_start|>", "assistant\nb", "<|im_end|>", "\n")
    expected += ids("<|im_start|>", "user\nc", "<|im_end|>", "\n", "<|im_start|>", "assistant\n")
    assert encode(HYBRID, LONG).prompt == expected + EMPTY_BLOCK
    assert encode(HYBRID, LONG, think="drop").prompt == expected + EMPTY_BLOCK


def test_earlier_thoughts_are_dropped_where_the_template_would_keep_them() -> None:
    turns = [*PONDER, *ASK]
    kept, dropped = encode(CHATML, turns), encode(CHATML, turns, think="drop")
    before = ids("<|im_start|>", "user\nhi", "<|im_end|>", "\n", "<|im_start|>", "assistant\n")
    thought = ids("<think>", "\nhm\n", "</think>", "\n\n")
    rest = ids("yo", "<|im_end|>", "\n", "<|im_start|>", "user\nhi", "<|im_end|>", "\n")
    rest += ids("<|im_start|>", "assistant\n")
    assert kept.prompt == before + thought + rest
    assert dropped.prompt == before + rest


def test_what_a_user_says_of_thinking_is_not_touched() -> None:
    encoded = encode(CHATML, [("user", THOUGHT), ("assistant", "yo")], think="drop")
    assert encoded.prompt[2:-13] == ids("ser\n", "<think>", "\nhm\n", "</think>", "\n\nyo")


R1_ASKED = ids(BOS, "<User>", "hi", "<Assistant>")


def test_deepseek_r1_says_an_answer_without_a_thought_right_after_its_header() -> None:
    encoded = encode(DEEPSEEK_R1, ASK)
    assert (encoded.prompt, encoded.targets) == (R1_ASKED, (ids("yo", "</s>"),))
    dropped = encode(DEEPSEEK_R1, PONDER, think="drop")
    assert (dropped.prompt, dropped.targets) == (R1_ASKED, (ids("yo", "</s>"),))


@pytest.mark.parametrize("target", [THOUGHT, "hm\n</think>\n\nyo"])
def test_deepseek_r1_gets_the_thought_back_that_its_template_takes_out(target: str) -> None:
    encoded = encode(DEEPSEEK_R1, [("user", "hi"), ("assistant", target)])
    assert encoded.prompt == R1_ASKED + ids("<think>", "\n")
    assert encoded.targets == (ids("hm\n", "</think>", "\n\nyo", "</s>"),)
    assert encoded.target_bytes == len("hm\n</think>\n\nyo")


def test_deepseek_v3_with_and_without_a_thought() -> None:
    plain, thought = encode(DEEPSEEK_V3, ASK), encode(DEEPSEEK_V3, PONDER)
    assert plain.prompt == R1_ASKED + ids("</think>")
    assert plain.targets == (ids("yo", "</s>"),)
    assert thought.prompt == R1_ASKED
    assert thought.targets == (ids("<think>", "\nhm\n", "</think>", "\n\nyo", "</s>"),)


def test_the_choices_of_a_model_that_thinks_stand_on_one_prompt() -> None:
    turns = [("user", "hi"), ("assistant", "yo")]
    encoded = encode(HYBRID, turns, choices=("no", "yo"))
    assert encoded.prompt == QWEN_ASKED + EMPTY_BLOCK
    assert encoded.targets == (ids("no", "<|im_end|>"), ids("yo", "<|im_end|>"))
    with pytest.raises(EvaluationFault, match="some of its choices hold a think block"):
        encode(HYBRID, PONDER, choices=("no", THOUGHT))
    dropped = encode(HYBRID, PONDER, choices=("no", THOUGHT), think="drop")
    assert dropped.targets == encoded.targets


def test_a_template_that_changes_the_answer_is_refused_by_name() -> None:
    shouts = CHATML.replace("m.content", "m.content | upper")
    with pytest.raises(EvaluationFault, match="changes the answer beyond the whitespace"):
        encode(shouts, ASK)
    quotes = "Say <think> and then </think> to me"
    with pytest.raises(EvaluationFault, match="changes the answer beyond the whitespace"):
        encode(DEEPSEEK_R1, [("user", "hi"), ("assistant", quotes)])


def test_a_template_may_raise_whatever_it_likes() -> None:
    for fault in ("1 / 0", "messages.nothing.more", "range(10 ** 9) | list", "'a'.join(3)"):
        with pytest.raises(EvaluationFault, match="the chat template refuses it"):
            encode("{{ " + fault + " }}", ASK)


def test_a_template_that_writes_the_date_writes_the_same_one_every_day() -> None:
    dated = "{{ strftime_now('%d %b %Y') }}: " + CHATML
    assert encode(dated, ASK).prompt == ids("26 Jul 2024: ") + QWEN_ASKED


ENDLESS = (
    "{% if messages[0].content == 'loop' %}{% for a in range(99999) %}{% for b in range(99999) %}"
    "{% endfor %}{% endfor %}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}"
)


def test_a_template_that_does_not_end_is_stopped_and_not_run_again() -> None:
    template = ChatTemplate(tokenizer(ENDLESS), seconds=0.2)
    assert template.turns([{"role": "user", "content": "hi"}], ["yo"])[0].target == "yo"
    reasons = []
    for said in ("loop", "hi"):
        with pytest.raises(EvaluationFault) as fault:
            template.turns([{"role": "user", "content": said}], ["yo"])
        reasons.append(str(fault.value))
    assert set(reasons) == {
        "the chat template does not come to an end: it runs for more than 0.2 seconds"
    }
