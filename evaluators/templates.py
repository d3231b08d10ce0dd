"""Chat templates: a conversation as text, divided into the prompt and the assistant's turn.

What a template writes around an answer is found by rendering a mark in its place. Of the whole
conversation, the prompt is what the generation prompt says too. Templates differ from that in a
few known ways:

- What the template writes before the answer and the generation prompt leaves out, such as Qwen3's
  empty think block or the header of a turn, belongs to the prompt. A space alone goes with the
  answer, as tokenizers have it.
- Think tags that the generation prompt writes and the conversation leaves out, as DeepSeek-R1's
  does, are no part of the prompt of an answer without a think block.
- A think block that the template takes out of the answer, as DeepSeek-R1's does too, is put back
  as the row has it: after the generation prompt, that is what the model would have to say.
- Whitespace that the template trims off the answer is not scored.
- The day, which Llama 3's may write, is always the same.

Anything else that differs is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from errors import EvaluationFault
from evaluators.deadline import deadline
from evaluators.thoughts import CLOSE, OPEN, TAGS_AT_END, Said, divide

# A private character: no template trims it or looks for it.
MARK = "\ue000"

# Llama 3's own default. A template that wrote today's date would measure something else every day.
DAY = {"%d": "26", "%m": "07", "%b": "Jul", "%B": "July", "%y": "24", "%Y": "2024", "%A": "Friday"}

FAULTS = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)

NOT_CONTINUED = (
    "the chat template does not continue the prompt when it renders the answer: the prompt's "
    "tokens are not the first ones of the whole conversation"
)

Turns = Sequence[Mapping[str, str]]


class Turn(NamedTuple):
    """A prompt, and the turn that continues it up to the template's last character; `said` is the
    part of it that is the row's own text.
    """

    prompt: str
    target: str
    said: str


class ChatTemplate:
    """A tokenizer's chat template. One that once ran for longer than `seconds` is not run again."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, seconds: float = 10.0) -> None:
        self._tokenizer = tokenizer
        self._seconds = seconds
        self._endless: str | None = None

    def turns(self, messages: Turns, texts: Sequence[str]) -> list[Turn]:
        """The turn of each text, all after the same messages.

        `enable_thinking`, which Qwen3's template takes, is whether the texts hold think blocks.
        Raises EvaluationFault with what the template does that cannot be scored.
        """
        said = [divide(text) for text in texts]
        thinks = bool(said[0].block)
        if any(bool(one.block) != thinks for one in said):
            raise EvaluationFault("some of its choices hold a think block and others do not")
        asked = self._render(messages, ask=True, thinks=thinks)
        frames = {block: self._frame(messages, block) for block in {one.block for one in said}}
        return [self._turn(messages, asked, frames[one.block], one) for one in said]

    @cached_property
    def _source(self) -> str:
        """The template, with its clock stopped at DAY."""
        source = self._tokenizer.get_chat_template()
        if "strftime_now" not in source:
            return source
        steps = "".join(f".replace('{code}', '{words}')" for code, words in DAY.items())
        return (
            f"{{% macro strftime_now(f) %}}{{{{ f{steps} }}}}{{% endmacro %}}{{{{ '' }}}}{source}"
        )

    def _turn(self, messages: Turns, asked: str, frame: tuple[str, str], said: Said) -> Turn:
        head, tail = frame
        whole = self._answered(messages, said)
        answer = whole[len(head) : len(whole) - len(tail)]
        if head + answer + tail != whole or answer.strip() != said.answer.strip():
            raise EvaluationFault(
                "the chat template changes the answer beyond the whitespace around it"
            )
        if said.block:
            prompt, rest = _with_block(asked, head, answer, said)
            return Turn(prompt, rest + tail, rest.strip())
        prompt = _without_block(asked, head)
        return Turn(prompt, whole[len(prompt) :], answer)

    def _frame(self, messages: Turns, block: str) -> tuple[str, str]:
        """What the template writes before an answer, the think block included, and after it."""
        head, mark, tail = self._answered(messages, Said(block, MARK)).rpartition(MARK)
        if not mark:
            raise EvaluationFault("the chat template leaves out the answer")
        return head, tail

    def _answered(self, messages: Turns, said: Said) -> str:
        turn = {"role": "assistant", "content": said.text}
        return self._render([*messages, turn], ask=False, thinks=bool(said.block))

    def _render(self, messages: Turns, *, ask: bool, thinks: bool) -> str:
        if self._endless is not None:
            raise EvaluationFault(self._endless)
        try:
            with deadline(self._seconds):
                text = self._tokenizer.apply_chat_template(
                    [dict(one) for one in messages],
                    chat_template=self._source,
                    tokenize=False,
                    add_generation_prompt=ask,
                    enable_thinking=thinks,
                )
        except TimeoutError as error:
            self._endless = f"the chat template does not come to an end: {error}"
            raise EvaluationFault(self._endless) from error
        except FAULTS as error:
            raise EvaluationFault(f"the chat template refuses it: {error}") from error
        assert isinstance(text, str)
        return text


def _without_block(asked: str, head: str) -> str:
    """The prompt of an answer without a think block, given the generation prompt and all that the
    conversation has before the answer.
    """
    if head.startswith(asked) and not head[len(asked) :].strip():
        return asked
    if not head.startswith(TAGS_AT_END.sub("", asked)):
        raise EvaluationFault(NOT_CONTINUED)
    return head.rstrip(" ")


def _with_block(asked: str, head: str, answer: str, said: Said) -> tuple[str, str]:
    """The prompt, and what the model should say after it: the think block and the answer."""
    if head.startswith(asked) and said.thought in head[len(asked) :]:
        return asked, head[len(asked) :] + answer
    bare = TAGS_AT_END.sub("", asked)
    if TAGS_AT_END.sub("", head).rstrip() != bare.rstrip():
        raise EvaluationFault(NOT_CONTINUED)
    tags, text = asked[len(bare) :], said.text.lstrip()
    if CLOSE in tags:
        return bare, text
    if tags:
        text = text.removeprefix(OPEN).removeprefix(tags.removeprefix(OPEN))
    return asked, text
