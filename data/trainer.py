"""The demo's training run: a small Llama learns the puzzles from nothing, with the real Trainer.

    python -m data.trainer --out FOLDER [--seed 1] [--steps 900]

FOLDER receives checkpoint-N folders as transformers.Trainer saves them. One of them, two thirds
through, is damaged by a learning-rate spike that the run takes on purpose; the training recovers.
On one CPU thread the run takes about a minute and a half; a seed gives the same run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import (
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from data.lessons import lessons
from data.model import make_model
from data.puzzles import Puzzle
from data.schedule import Schedule
from data.tokenizer import make_tokenizer
from errors import MilepostError, UsageError

STEPS = 900
SAVES = 10
DAMAGED_SHARE = 0.7
SPIKE_STEPS = 4
SPIKE_FACTOR = 3.5
BATCH = 48
LEARNING_RATE = 2.5e-3
IGNORED = -100

Report = Callable[[str], None]


class Collator:
    """Makes tensors of shape (puzzles, tokens), padded at the right; only answers have labels."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer

    def __call__(self, puzzles: Sequence[Puzzle]) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask` and `labels`; the end of an answer's turn is part of it."""
        encoded: Any = self.tokenizer.apply_chat_template(
            [puzzle.messages for puzzle in puzzles],
            return_dict=True,
            return_assistant_tokens_mask=True,
            padding=True,
            return_tensors="pt",
        )
        answered = encoded.pop("assistant_masks").bool()
        labels = encoded["input_ids"].masked_fill(~answered, IGNORED)
        return {**encoded, "labels": labels}


class ScheduledTrainer(Trainer):
    """A Trainer whose learning rate follows a Schedule."""

    def __init__(self, *, schedule: Schedule, **options: Any) -> None:
        self.schedule = schedule
        super().__init__(**options)

    def create_scheduler(
        self,
        num_training_steps: int,  # noqa: ARG002 - the schedule knows
        optimizer: torch.optim.Optimizer | None = None,
    ) -> LRScheduler:
        """The scheduler that the Trainer steps and saves."""
        chosen = optimizer or self.optimizer
        assert chosen is not None  # the Trainer makes it first
        self.lr_scheduler = LambdaLR(chosen, self.schedule.factor)
        return self.lr_scheduler


class Lines(TrainerCallback):
    """Reports one line at each save."""

    def __init__(self, schedule: Schedule, report: Report) -> None:
        self.schedule = schedule
        self.report = report

    def on_save(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the signature is the Trainer's
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Says the step, the newest logged loss, and whether the spike came just before."""
        loss = state.log_history[-1]["loss"]
        spiked = state.global_step == self.schedule.spike_end
        self.report(
            f"step {state.global_step} of {state.max_steps}  training loss {loss:.3f}  "
            f"checkpoint-{state.global_step} saved"
            + (", right after a learning-rate spike taken on purpose" if spiked else "")
        )


def train(
    out: Path,
    *,
    seed: int = 1,
    steps: int = STEPS,
    saves: int = SAVES,
    batch: int = BATCH,
    report: Report = print,
) -> None:
    """Trains for `steps` optimizer steps of `batch` puzzles; saves `saves` checkpoints into `out`.

    The checkpoint that is damaged stands at DAMAGED_SHARE of the way. `report` gets one line a
    save. Raises UsageError when `saves` does not divide `steps` or `out` holds checkpoints already.
    """
    if steps < saves or steps % saves:
        raise UsageError(f"{steps} steps cannot hold {saves} evenly spaced saves")
    if any(out.glob("checkpoint-*")):
        raise UsageError(f"{out} holds checkpoints already: name another folder")
    every = steps // saves
    schedule = Schedule(steps, every * round(DAMAGED_SHARE * saves), SPIKE_STEPS, SPIKE_FACTOR)
    torch.set_num_threads(1)
    # It would draw one for each file of each checkpoint.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    set_seed(seed)
    tokenizer = make_tokenizer()
    trainer = ScheduledTrainer(
        schedule=schedule,
        model=make_model(tokenizer),
        args=_arguments(out, seed=seed, steps=steps, every=every, batch=batch),
        train_dataset=lessons(seed, steps, batch),
        data_collator=Collator(tokenizer),
        processing_class=tokenizer,
        callbacks=[Lines(schedule, report)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def _arguments(out: Path, *, seed: int, steps: int, every: int, batch: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(out),
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=batch,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        learning_rate=LEARNING_RATE,
        adam_beta2=0.98,  # forgets the spike's gradients within some fifty steps
        weight_decay=0.01,
        save_strategy="steps",
        save_steps=every,
        logging_steps=max(1, every // 10),
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the training that the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m data.trainer", description="Trains the demo's model on one CPU thread."
    )
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"a multiple of {SAVES}")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the other core is the evaluator's
    try:
        train(chosen.out, seed=chosen.seed, steps=chosen.steps, report=partial(print, flush=True))
    except MilepostError as error:
        print(f"data.trainer: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
