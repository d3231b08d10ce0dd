"""From an example to token ids: what the model is given, and what it should say.

With a chat template, the prompt is the template's rendering with the generation prompt; the target
is what rendering the assistant's turn too adds, up to and with its end-of-turn token. Whitespace
that the template puts after that token belongs to no turn and is not scored. `templates` says what
becomes of templates that render the two differently.

Without one, the format is "plain": the messages' texts and the target as they are, one newline
between two of them where neither brings whitespace of its own, and then the EOS token.

With `think = "drop"`, think blocks are taken out of targets and earlier answers first. BOS comes
once, whoever writes it. A target whose first letters would fuse with the prompt's last ones into
other tokens is encoded by itself: a model that goes on from the prompt cannot say those others.

A bare text is scored as it is, without template and EOS: the BOS token is its prompt, or, if the
tokenizer adds none, its first token, which then is not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from transformers import PreTrainedTokenizerBase

from errors import EvaluationFault
from evaluators.templates import NOT_CONTINUED, ChatTemplate
from evaluators.thoughts import answer_of, turn_without_block
from settings import Think
from store.records import Example

PromptFormat: TypeAlias = Literal["chat-template", "plain"]
Ids: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """An example as token ids. `targets` are its choices, or the one target; `answer` is the index
    of the right one among them, `target_bytes` the length of its text in UTF-8. `generates` says
    whether greedy text is wanted.
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
        self,
        tokenizer: PreTrainedTokenizerBase,
        eos: frozenset[int],
        limits: Limits,
        *,
        think: Think = "keep",
        generate_choices: bool = True,
    ) -> None:
        self._tokenizer = tokenizer
        self._limits = limits
        self._drops = think == "drop"
        self._generate_choices = generate_choices
        self._template = ChatTemplate(tokenizer) if tokenizer.chat_template else None
        self._ends = eos | frozenset(tokenizer.all_special_ids)
        bos = tokenizer.bos_token_id
        adds_bos = bos is not None and self._ids("a", special=True)[:1] == (bos,)
        self._bos = bos
        self._added_bos: Ids = (bos,) if adds_bos else ()
        self.format: PromptFormat = "plain" if self._template is None else "chat-template"

    def encode(self, example: Example) -> Encoded:
        """The example's ids. Raises EvaluationFault with the reason if it cannot be scored."""
        if example.kind == "text":
            return self._encode_text(example)
        texts = (example.target,) if example.choices is None else example.choices
        answer = texts.index(example.target)
        messages: Sequence[dict[str, str]] = example.messages
        if self._drops:
            messages = [turn_without_block(one) for one in messages]
            texts = tuple(answer_of(one) for one in texts)
        if self._template is None:
            prompts, targets = self._plain(messages, texts)
            said = texts[answer]
        else:
            turns = self._template.turns(messages, texts)
            pairs = [self._divided(turn.prompt, turn.target, NOT_CONTINUED) for turn in turns]
            prompts = {prompt for prompt, _ in pairs}
            targets = tuple(self._turn(target) for _, target in pairs)
            said = turns[answer].said
        if len(prompts) > 1:
            raise EvaluationFault("some of its choices begin with whitespace and others do not")
        return self._fit(
            Encoded(
                example=example,
                prompt=prompts.pop(),
                prompt_truncated=False,
                targets=targets,
                answer=answer,
                target_bytes=len(said.encode()),
                generates=example.choices is None or self._generate_choices,
            )
        )

    def _encode_text(self, example: Example) -> Encoded:
        own = self._ids(example.target)
        ids = self._single_bos(self._added_bos + own)
        scored = example.target
        if len(ids) == len(own):  # the first token, be it BOS, is the text's own
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

    def _turn(self, ids: Ids) -> Ids:
        """A turn without the whitespace that the template puts after its end-of-turn token."""
        last = max((place for place, one in enumerate(ids) if one in self._ends), default=None)
        if last is not None and not self._decode(ids[last + 1 :]).strip():
            return ids[: last + 1]
        return ids

    def _plain(
        self, messages: Sequence[dict[str, str]], texts: Sequence[str]
    ) -> tuple[set[Ids], tuple[Ids, ...]]:
        """Prompts, which should be one, and targets in the plain format."""
        eos = self._tokenizer.eos_token_id
        prompts, targets = set[Ids](), []
        for text in texts:
            before = _joined([one["content"] for one in messages] + [text]).removesuffix(text)
            prompt, target = self._divided(
                before,
                text,
                "the target's tokens do not continue the prompt's: let the prompt end without "
                "whitespace, and the target begin with it",
                bos=self._added_bos,
            )
            prompts.add(prompt)
            targets.append(target + ((eos,) if target and eos is not None else ()))
        return prompts, tuple(targets)

    def _divided(self, before: str, text: str, fault: str, *, bos: Ids = ()) -> tuple[Ids, Ids]:
        """The ids of a prompt and of what continues it, which together are those of both texts.

        Where they are not, because the two fuse, `text` is encoded by itself; if that makes another
        text of it, EvaluationFault says `fault`.
        """
        prompt = self._single_bos(bos + self._ids(before))
        whole = self._single_bos(bos + self._ids(before + text))
        if whole[: len(prompt)] == prompt:
            return prompt, whole[len(prompt) :]
        target = self._ids(text)
        if self._decode(prompt + target) != self._decode(whole):
            raise EvaluationFault(fault)
        return prompt, target

    def _single_bos(self, ids: Ids) -> Ids:
        """The ids with one BOS where both a text and the tokenizer, say, wrote one."""
        while self._bos is not None and ids[:2] == (self._bos, self._bos):
            ids = ids[1:]
        return ids

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
