"""The other side: lm-evaluation-harness with its Hugging Face backend, fed the same token ids.

Its scoring is `_loglikelihood_tokens`, which its `loglikelihood` calls once it has encoded a
request, and its texts come from `generate_until`. Only the encoding of prompts is replaced, by a
look-up.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from benchmarks.sides import Machine, Request, Took, Work, peak_bytes

BATCH_SIZES = (1, 4, 8, 16, 32, 64)
TRIED_TOKENS = 24  # written for each row while a batch size is tried
TRIED_ROWS = 12


class Sizes(NamedTuple):
    """How many rows go at once in scoring and in writing."""

    scoring: int
    writing: int


class Exact(HFLM):  # type: ignore[misc]
    """HFLM which takes a prompt's ids from `prompts`, by its text, instead of encoding it."""

    prompts: dict[str, list[int]]

    def tok_encode(self, string: str, *_: Any, **__: Any) -> list[int]:
        """The ids of a prompt."""
        return self.prompts[string]

    def tok_batch_encode(
        self, strings: Sequence[str], *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask of prompts, padded on the left, as HFLM pads them."""
        rows = [self.prompts[one] for one in strings]
        longest = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        ids = [[pad] * (longest - len(row)) + row for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids), torch.tensor(mask)


@dataclass(frozen=True)
class Peer:
    """A loaded model."""

    model: Exact

    def scores(self, requests: Sequence[Request], size: int) -> dict[str, tuple[float, ...]]:
        """The sum of log-probabilities of every target, in nats."""
        self.model.batch_size_per_gpu = size
        asked = [(one, target) for one in requests for target in one.targets]
        given = [
            ((f"{number}", ""), list(one.prompt), list(target))
            for number, (one, target) in enumerate(asked)
        ]
        found: dict[str, tuple[float, ...]] = {}
        with torch.inference_mode():
            answers = self.model._loglikelihood_tokens(given, disable_tqdm=True)
        for (one, _), (logprob, _) in zip(asked, answers, strict=True):
            found[one.example_id] = (*found.get(one.example_id, ()), logprob)
        return found

    def texts(self, requests: Sequence[Request], size: int, work: Work) -> dict[str, str]:
        """The greedy text of every row that wants one."""
        self.model.batch_size_per_gpu = size
        asked = [one for one in requests if one.generates]
        names = {one.example_id: self.model.tokenizer.decode(one.prompt) for one in asked}
        self.model.prompts = {names[one.example_id]: list(one.prompt) for one in asked}
        instances = [
            Instance(
                "generate_until",
                {},
                (
                    names[one.example_id],
                    {
                        "until": list(work.stop),
                        "max_gen_toks": work.max_new_tokens,
                        "do_sample": False,
                    },
                ),
                number,
            )
            for number, one in enumerate(asked)
        ]
        texts = self.model.generate_until(instances, disable_tqdm=True)
        return {one.example_id: text for one, text in zip(asked, texts, strict=True)}


def load(work: Work, machine: Machine, softmax: str | None = None) -> Peer:
    """Loads the checkpoint as `lm_eval --model hf` does.

    `softmax` is lm-eval's `softmax_dtype`; None leaves it at the dtype of the logits.
    """
    logging.disable(logging.WARNING)
    torch.set_num_threads(machine.threads)
    return Peer(
        Exact(
            str(work.model),
            device=machine.device,
            dtype=machine.dtype,
            softmax_dtype=softmax,
            batch_size=1,
        )
    )


def run(
    work: Work,
    machine: Machine,
    requests: Sequence[Request],
    sizes: Sizes,
    softmax: str | None = None,
) -> tuple[Took, Took]:
    """What scores alone took, and what scores and texts took, in one load."""
    began = time.perf_counter()
    peer = load(work, machine, softmax)
    load_seconds = time.perf_counter() - began
    began, processor = time.perf_counter(), time.process_time()

    def took(texts: dict[str, str]) -> Took:
        seconds = time.perf_counter() - began
        spent = time.process_time() - processor
        return Took(load_seconds, seconds, spent, peak_bytes(), scores, texts)

    scores = peer.scores(requests, sizes.scoring)
    alone = took({})
    return alone, took(peer.texts(requests, sizes.writing, work))


def best_sizes(
    work: Work, machine: Machine, requests: Sequence[Request], limit_bytes: int
) -> Sizes:
    """The batch sizes with the highest rate, on some of the rows, within a limit of memory.

    The rows tried hold the longest ones, which come first and decide how much memory is needed.
    """
    peer = load(work, machine)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, resource.RLIM_INFINITY))
    short = Work(work.model, work.examples, min(TRIED_TOKENS, work.max_new_tokens), work.stop)
    scoring = _best(lambda rows, size: peer.scores(rows, size), requests)
    writing = _best(lambda rows, size: peer.texts(rows, size, short), requests)
    return Sizes(scoring, writing)


def _best(attempt: Any, requests: Sequence[Request]) -> int:
    rates = dict(_rates(attempt, requests))
    return max(rates, key=lambda size: rates[size])


def _rates(attempt: Any, requests: Sequence[Request]) -> Iterator[tuple[int, float]]:
    """Rows a second at each batch size that fits, until it has become clearly slower."""
    best = 0.0
    for size in BATCH_SIZES:
        rows = some(requests, max(size, TRIED_ROWS))
        began = time.perf_counter()
        try:
            attempt(rows, size)
        except (RuntimeError, MemoryError):  # torch's allocator says RuntimeError
            return
        rate = len(rows) / (time.perf_counter() - began)
        yield size, rate
        if rate < 0.8 * best or size >= len(requests):
            return
        best = max(best, rate)


def some(requests: Sequence[Request], number: int) -> list[Request]:
    """Up to `number` requests, evenly spaced by length, the longest among them."""
    ordered = sorted(requests, key=lambda one: -len(one.prompt) - max(map(len, one.targets)))
    if number >= len(ordered):
        return ordered
    return [ordered[place * len(ordered) // number] for place in range(number)]
