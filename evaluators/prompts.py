"""From an example to token ids: what the model is given, and what it should say.

With a chat template, the prompt is the template's rendering with the generation prompt; the target
is what rendering the assistant's turn too adds, up to and with its end-of-turn token. Whitespace
that the template puts after that token belongs to no turn and is not scored.

Without one, the format is "plain": the messages' texts and the target as they are, one newline
between two of them where neither brings whitespace of its own, and then the EOS token.

A bare text is scored as it is, without template and EOS: the BOS token is its prompt, or, if the
tokenizer adds none, its first token, which then is not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from errors import EvaluationFault
from store.records import Example

PromptFormat: TypeAlias = Literal["chat-template", "plain"]
Ids: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """An example as token ids. `targets` are its choices, or the one target; `answer` is the index
    of the right one among them. `generates` says whether greedy text is wanted.
    """

    example: Example
    prompt: Ids
    prompt_truncated: bool
    targets: tuple[Ids, ...]
    answer: int
    target_bytes: int
    generates: bool


@dataclass(frozen=True)
class Limits:
    """How many tokens there is room for; `context` is None for a model without a limit."""

    context: int | None
    vocabulary: int
    max_prompt_tokens: int
    max_new_tokens: int


class Encoder:
    """Encodes examples for one tokenizer. `eos` are the ids that end a generated text."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, eos: frozenset[int], limits: Limits
    ) -> None:
        self._tokenizer = tokenizer
        self._limits = limits
        self._ends = eos | frozenset(tokenizer.all_special_ids)
        bos = tokenizer.bos_token_id
        adds_bos = bos is not None and self._ids("a", special=True)[:1] == (bos,)
        self._bos = bos
        self._added_bos: Ids = (bos,) if adds_bos else ()
        self.format: PromptFormat = "chat-template" if tokenizer.chat_template else "plain"

    def encode(self, example: Example) -> Encoded:
        """The example's ids. Raises EvaluationFault with the reason if it cannot be scored."""
        if example.kind == "text":
            return self._encode_text(example)
        texts = (example.target,) if example.choices is None else example.choices
        render = self._chat if self.format == "chat-template" else self._plain
        prompt, targets = render(example.messages, texts)
        return self._fit(
            Encoded(
                example=example,
                prompt=prompt,
                prompt_truncated=False,
                targets=targets,
                answer=texts.index(example.target),
                target_bytes=len(example.target.encode()),
                generates=example.choices is None,
            )
        )

    def _encode_text(self, example: Example) -> Encoded:
        ids = self._added_bos + self._ids(example.target)
        scored = example.target
        if not self._added_bos:
            scored = scored.removeprefix(self._decode(ids[:1]))
        if len(ids) < 2:
            raise EvaluationFault("the text is a single token, and there is nothing before it")
        return self._fit(
            Encoded(
                example=example,
                prompt=ids[:1],
                prompt_truncated=False,
                targets=(ids[1:],),
                answer=0,
                target_bytes=len(scored.encode()),
                generates=False,
            )
        )

    def _chat(
        self, messages: Sequence[dict[str, str]], texts: Sequence[str]
    ) -> tuple[Ids, tuple[Ids, ...]]:
        """Prompt and targets, by the chat template. The template writes BOS itself, if any."""
        prompt = self._ids(self._render(messages, ask=True))
        targets = []
        for text in texts:
            turn = {"role": "assistant", "content": text}
            whole = self._ids(self._render([*messages, turn], ask=False))
            if whole[: len(prompt)] != prompt:
                raise EvaluationFault(
                    "the chat template does not continue the prompt when it renders the answer: "
                    "the prompt's tokens are not the first ones of the whole conversation"
                )
            targets.append(self._turn(whole[len(prompt) :]))
        return prompt, tuple(targets)

    def _render(self, messages: Sequence[dict[str, str]], *, ask: bool) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=ask
            )
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise EvaluationFault(f"the chat template refuses it: {error}") from error
        assert isinstance(text, str)
        return text

    def _turn(self, ids: Ids) -> Ids:
        """A turn without the whitespace that the template puts after its end-of-turn token."""
        last = max((place for place, one in enumerate(ids) if one in self._ends), default=None)
        if last is not None and not self._decode(ids[last + 1 :]).strip():
            return ids[: last + 1]
        return ids

    def _plain(
        self, messages: Sequence[dict[str, str]], texts: Sequence[str]
    ) -> tuple[Ids, tuple[Ids, ...]]:
        """Prompt and targets in the plain format.

        A target whose first letters would fuse with the prompt's last ones into other tokens is
        encoded by itself: a model that goes on from the prompt cannot say those other tokens.
        """
        eos = self._tokenizer.eos_token_id
        targets, prompts = [], set[Ids]()
        for text in texts:
            before = _joined([one["content"] for one in messages] + [text]).removesuffix(text)
            prompt = self._added_bos + self._ids(before)
            whole = self._added_bos + self._ids(before + text)
            fuses = whole[: len(prompt)] != prompt
            target = self._ids(text) if fuses else whole[len(prompt) :]
            if fuses and self._decode(prompt + target) != self._decode(whole):
                raise EvaluationFault(
                    "the target's tokens do not continue the prompt's: let the prompt end without "
                    "whitespace, and the target begin with it"
                )
            prompts.add(prompt)
            targets.append(target + ((eos,) if target and eos is not None else ()))
        if len(prompts) > 1:
            raise EvaluationFault("some of its choices begin with whitespace and others do not")
        return prompts.pop(), tuple(targets)

    def _fit(self, encoded: Encoded) -> Encoded:
        """Cuts the prompt from the left, but for BOS; the target is never cut."""
        limits, prompt = self._limits, encoded.prompt
        longest = max(map(len, encoded.targets))
        if not prompt or not all(encoded.targets):
            missing = "target" if prompt else "prompt"
            raise EvaluationFault(f"the tokenizer makes no token of its {missing}")
        if (highest := max(max(prompt), *map(max, encoded.targets))) >= limits.vocabulary:
            raise EvaluationFault(
                f"the tokenizer gives token {highest}, but the model knows only "
                f"{limits.vocabulary}: the two do not belong together"
            )
        room = limits.max_prompt_tokens
        if limits.context is not None:
            if longest >= limits.context:
                raise EvaluationFault(
                    f"its target of {longest} tokens does not fit into the model's context of "
                    f"{limits.context}"
                )
            answer = max(longest, limits.max_new_tokens) if encoded.generates else longest
            room = min(room, limits.context - answer)
            if room < 1:
                raise EvaluationFault(
                    f"max_new_tokens = {limits.max_new_tokens} leaves no room for a prompt in the "
                    f"model's context of {limits.context}: lower it under [evaluation]"
                )
        if len(prompt) <= room:
            return encoded
        head = prompt[:1] if prompt[0] == self._bos and room > 1 else ()
        cut = head + prompt[len(prompt) - room + len(head) :]
        return Encoded(**{**vars(encoded), "prompt": cut, "prompt_truncated": True})

    def _ids(self, text: str, *, special: bool = False) -> Ids:
        ids = self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        assert isinstance(ids, list)
        return tuple(ids)

    def _decode(self, ids: Ids) -> str:
        text = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        assert isinstance(text, str)
        return text


def _joined(texts: Sequence[str]) -> str:
    """The texts one after the other, a newline between two where neither has whitespace."""
    joined = texts[0]
    for before, after in pairwise(texts):
        apart = before[-1:].isspace() or after[:1].isspace()
        joined += after if apart else "\n" + after
    return joined
