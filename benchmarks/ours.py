"""Milepost's side: the engine as the worker uses it, without the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import rows
from benchmarks.sides import Machine, Request, Took, Work, peak_bytes
from evaluators import engine
from settings import EvaluationSettings
from store.records import Example, Prediction


class Wanted(NamedTuple):
    """How many rows of a kind, and how long their prompts are, in tokens."""

    number: int
    prompts: range = rows.PROMPTS


class Kinds(NamedTuple):
    """Rows with short answers, with long ones, and with choices."""

    short: list[Example]
    long: list[Example]
    choice: list[Example]


def settings_of(work: Work, machine: Machine) -> EvaluationSettings:
    """The defaults, but for the machine, what ends a text, and no text for rows with choices."""
    return EvaluationSettings(
        device=machine.device,
        dtype=machine.dtype,
        threads=machine.threads,
        max_new_tokens=work.max_new_tokens,
        stop=work.stop,
        generate_choices=False,
    )


def run(work: Work, machine: Machine) -> Took:
    """Loads the checkpoint and evaluates every row."""
    return series([work], machine)[0]


def series(works: Sequence[Work], machine: Machine) -> list[Took]:
    """Evaluates checkpoints one after the other in one process, as a worker does.

    Each finds the model of the one before standing, and its texts as drafts.
    """
    took: list[Took] = []
    standing: engine.Engine | None = None
    for work in works:
        drafts = {name: (text,) for name, text in took[-1].texts.items()} if took else {}
        began = time.perf_counter()
        standing = engine.load(work.model, settings_of(work, machine), standing=standing)
        loaded, processor = time.perf_counter(), time.process_time()
        plan = standing.plan(work.examples, drafts)
        outcomes = [one for batch in standing.run(plan, "benchmark") for one in batch]
        ended = time.perf_counter()
        took.append(
            _took(
                loaded - began,
                ended - loaded,
                time.process_time() - processor,
                [one.prediction for one in outcomes],
                {**plan.summary, **standing.tally},
            )
        )
    return took


def requests(work: Work, machine: Machine) -> list[Request]:
    """The rows as token ids, as the engine encodes them."""
    plan = engine.load(work.model, settings_of(work, machine)).plan(work.examples)
    if plan.unencodable:
        raise ValueError(f"a row cannot be encoded: {plan.unencodable[0].reason}")
    found = {
        row.example.example_id: Request(
            row.example.example_id, row.prompt, row.targets, row.answer, row.generates
        )
        for batch in plan.batches
        for row in batch
    }
    return [found[one.example_id] for one in work.examples]


def rows_of(folder: Path, short: Wanted, long: Wanted, choice: Wanted) -> Kinds:
    """Rows of each kind, their lengths counted by the tokenizer in a checkpoint's folder."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return Kinds(
        rows.short_rows(short.number, count, short.prompts),
        rows.long_rows(long.number, count, long.prompts),
        rows.choice_rows(choice.number, count, choice.prompts),
    )


def _took(
    load_seconds: float,
    seconds: float,
    processor_seconds: float,
    predictions: Sequence[Prediction],
    plan: dict[str, int],
) -> Took:
    failed = [one.error for one in predictions if one.error is not None]
    if failed:
        raise ValueError(f"{len(failed)} rows were not scored. The first one: {failed[0]}")
    return Took(
        load_seconds=load_seconds,
        seconds=seconds,
        processor_seconds=processor_seconds,
        peak_bytes=peak_bytes(),
        scores={one.example_id: _scores(one) for one in predictions},
        texts={
            one.example_id: one.generated_text
            for one in predictions
            if one.generated_text is not None
        },
        written_tokens=sum(one.generated_tokens or 0 for one in predictions),
        plan=plan,
    )


def _scores(prediction: Prediction) -> tuple[float, ...]:
    if prediction.choice_logprobs is not None:
        return prediction.choice_logprobs
    assert prediction.target_logprob is not None
    return (prediction.target_logprob,)
