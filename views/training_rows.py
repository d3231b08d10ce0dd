"""What a checkpoint's answers to the mining pool become as data to train on: pure functions.

Not every one does: an example that measures must not be trained on, nor one that is nearly the
same. The first reason that fits says why one is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from views.near_duplicates import Index, shingles, without_template

# Its targets are patterns that answers are held against; nobody should answer with one.
PATTERN_GRADER = "regex"

VALIDATES = "it is in a validation suite"
NEARLY_VALIDATES = "nearly the same as a validation example"
EXPORTED = "exported before"
NEARLY_EXPORTED = "nearly the same as one exported before"
TWICE = "nearly the same as another one in this file"
PATTERN = "its target is a pattern, no answer"


class Turn(NamedTuple):
    """What was said, and by whom: user, system or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Question:
    """What an example asks; `choices` are its options, if it has any."""

    example_id: str
    turns: tuple[Turn, ...]
    choices: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """What the user says; every turn with its role where there is more than that."""
        if [turn.role for turn in self.turns] == ["user"]:
            return self.turns[0].content
        return "\n\n".join(f"{turn.role}: {turn.content}" for turn in self.turns)

    @property
    def compared(self) -> str:
        """The text by which two examples are the same or nearly so."""
        return "\n".join((self.prompt, *self.choices))


@dataclass(frozen=True)
class Answered:
    """A question, what a checkpoint said, and what it should have said.

    `type` is that of a hard example, None for a correction; `confidence` is None where it was not
    measured.
    """

    question: Question
    target: str
    answer: str
    suite: str
    grader: str
    difficulty: str | None
    skill: str | None
    error_class: str | None
    confidence: float | None
    type: str | None

    @property
    def example_id(self) -> str:
        """Its example's id."""
        return self.question.example_id


class LeftOut(NamedTuple):
    """An example that is not exported; `like` is one that it is nearly, `jaccard` how nearly."""

    example_id: str
    reason: str
    like: str | None = None
    jaccard: float | None = None


class Sifted(NamedTuple):
    """What is exported, and what is not, each in the order given."""

    kept: list[Answered]
    left_out: list[LeftOut]

    @property
    def reasons(self) -> dict[str, int]:
        """How many are left out, by reason."""
        return dict(sorted(Counter(one.reason for one in self.left_out).items()))


def sift(
    answers: Sequence[Answered],
    validation: Sequence[Question],
    before: Sequence[Question],
    threshold: float,
    *,
    once: bool,
) -> Sifted:
    """The answers that can be trained on, those of each example once.

    `before` was exported already; with `once`, one that is nearly another in the file goes too.
    Two are nearly the same from a Jaccard index of `threshold` on.
    """
    questions = [one.question for one in answers]
    texts = [one.compared for one in (*validation, *before, *questions)]
    sets = without_template([shingles(text) for text in texts])
    measuring, exported, here = (Index(sets, threshold) for _ in range(3))
    first, second = len(validation), len(validation) + len(before)
    for place in range(first):
        measuring.add(place, sets[place])
    for place in range(first, second):
        exported.add(place, sets[place])
    ids = [one.example_id for one in (*validation, *before, *questions)]
    validating, known = set(ids[:first]), set(ids[first:second])
    kept: list[Answered] = []
    left_out: list[LeftOut] = []
    for place, answer in enumerate(answers, start=second):
        reason = _known(answer, validating, known)
        if reason is not None:
            left_out.append(LeftOut(answer.example_id, reason))
            continue
        for index, why in (
            (measuring, NEARLY_VALIDATES),
            (exported, NEARLY_EXPORTED),
            (here, TWICE),
        ):
            like = index.nearest(sets[place])
            if like is not None:
                other = ids[like.place]
                left_out.append(LeftOut(answer.example_id, why, other, like.jaccard))
                break
        else:
            kept.append(answer)
            if once:
                here.add(place, sets[place])
    return Sifted(kept, left_out)


def _known(answer: Answered, validating: Collection[str], known: Collection[str]) -> str | None:
    if answer.example_id in validating:
        return VALIDATES
    if answer.example_id in known:
        return EXPORTED
    return PATTERN if answer.grader.partition("@")[0] == PATTERN_GRADER else None


def hard_example(one: Answered, step: int, evaluated_at: str) -> dict[str, Any]:
    """A line of hard-examples: `text` is the prompt, a line break and the expected answer."""
    return {
        "text": f"{one.question.prompt}\n{one.target}",
        "prompt": one.question.prompt,
        "prediction": one.answer,
        "expected": one.target,
        "confidence": one.confidence,
        "type": one.type,
        "checkpoint_step": step,
        "timestamp": evaluated_at,
        "example_id": one.example_id,
    }


def correction(one: Answered, step: int, generated_at: str) -> dict[str, Any]:
    """A line of corrections: `source` is the suite, `error_type` the grader's class of mistake."""
    return {
        "input": one.question.prompt,
        "output": one.target,
        "metadata": {
            "source": one.suite,
            "error_type": one.error_class,
            "original_wrong_answer": one.answer,
            "correct_answer": one.target,
            "checkpoint_step": step,
            "generated_at": generated_at,
        },
    }
