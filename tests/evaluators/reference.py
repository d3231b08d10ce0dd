"""What a checkpoint says, worked out the plain way: one example, no padding, no cache, float64."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from store.records import Example, example_id_of

END = 3


@dataclass(frozen=True)
class Numbers:
    """Per token of a target: arrays in nats, ranks, and the argmax."""

    logprob: npt.NDArray[np.float64]
    entropy: npt.NDArray[np.float64]
    margin: npt.NDArray[np.float64]
    rank: npt.NDArray[np.int64]
    top: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]


class Reference:
    def __init__(self, path: Path) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self._said: dict[tuple[tuple[int, ...], int], list[int]] = {}
        self._numbers: dict[tuple[int, ...], Numbers] = {}

    def prompt_of(self, question: str) -> list[int]:
        """The ids of a chat of one question, written out by hand."""
        return self.ids(f"<s><|user|>{question}<|end|>\n<|assistant|>")

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def numbers(self, prompt: list[int], target: list[int]) -> Numbers:
        key = (len(prompt), *prompt, *target)
        if key not in self._numbers:
            self._numbers[key] = self._score(prompt, target)
        return self._numbers[key]

    def _score(self, prompt: list[int], target: list[int]) -> Numbers:
        with torch.no_grad():
            logits = self.model(torch.tensor([prompt + target])).logits[0].double().numpy()
        logits = logits[len(prompt) - 1 : -1]
        places = np.arange(len(target))
        ordered = np.sort(log_softmax(logits, axis=-1), axis=-1)
        return Numbers(
            logprob=log_softmax(logits, axis=-1)[places, target],
            entropy=entropy(softmax(logits, axis=-1), axis=-1),
            margin=ordered[:, -1] - ordered[:, -2],
            rank=(logits > logits[places, target][:, None]).sum(-1),
            top=logits.argmax(-1),
            logits=logits,
        )

    def generate(self, prompt: list[int], max_new_tokens: int) -> list[int]:
        """The tokens that `generate` adds to the prompt, greedily."""
        key = (tuple(prompt), max_new_tokens)
        if key not in self._said:
            self._said[key] = self._generate(prompt, max_new_tokens=max_new_tokens)
        return list(self._said[key])

    def generate_until(self, prompt: list[int], max_new_tokens: int, stop: str) -> list[int]:
        """The same with a stop string."""
        return self._generate(
            prompt, max_new_tokens=max_new_tokens, stop_strings=[stop], tokenizer=self.tokenizer
        )

    def _generate(self, prompt: list[int], **settings: Any) -> list[int]:
        output = self.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            **settings,
        )
        return list(output[0, len(prompt) :].tolist())

    def text(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def chat(question: str, answer: str) -> Example:
    messages = ({"role": "user", "content": question},)
    example_id = example_id_of("chat", messages, answer)
    return Example("suite", example_id, 1, "chat", messages, answer)


def choice(question: str, choices: tuple[str, ...], answer: str) -> Example:
    messages = ({"role": "user", "content": question},)
    example_id = example_id_of("choice", messages, answer, choices)
    return Example("suite", example_id, 1, "choice", messages, answer, choices)


def bare(text: str) -> Example:
    return Example("suite", example_id_of("text", (), text), 1, "text", (), text)
