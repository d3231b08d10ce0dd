"""Flips: which answers changed sides between a checkpoint and what it is compared with.

A query over grades and no table of its own: the pairs are those of the regression view, and a
checkpoint's flips are found by the keys of its grades.
"""

from __future__ import annotations

from settings import Settings
from views import regression
from views.scope import EASY_FIRST, SUBJECT
from views.view import Column, View

TO_WRONG, TO_RIGHT = "to wrong", "to right"

COLUMNS = (
    *SUBJECT,
    Column(
        "against", "Against", "text", "previous: the checkpoint before it. pinned: the baseline."
    ),
    Column("baseline_step", "Compared with step", "step", "The step that it is held against."),
    Column("suite", "Suite", "text", "The validation suite's name in milepost.toml."),
    Column("difficulty", "Difficulty", "text", "The example's own, or else the suite's."),
    Column("flip", "Flip", "text", "to wrong: right before and wrong now. to right: the reverse."),
    Column("example_id", "Example", "id", "Digest of what the model sees and what it should say."),
    Column("sample", "Sample", "count", "0, or which of several answers to one example."),
    Column("prompt", "Prompt", "text", "The last thing that the user says."),
    Column("target", "Target", "text", "The answer that it should give."),
    Column("answer_before", "Answer before", "text", "What the one compared with wrote or chose."),
    Column("answer", "Answer", "text", "What it writes or chooses now."),
)


def view(settings: Settings) -> View:
    """The flips of every comparison, those to wrong first."""
    return View(
        name="flips",
        title="Flips",
        question="Which answers turned wrong or right since the checkpoint compared with?",
        sql_view="flips",
        columns=COLUMNS,
        order=(
            f"run, step, checkpoint_id, against DESC, flip DESC, suite, {EASY_FIRST}, example_id, "
            "sample"
        ),
        brief=(
            "run",
            "step",
            "baseline_step",
            "suite",
            "flip",
            "prompt",
            "target",
            "answer_before",
            "answer",
        ),
        projections=regression.view(settings).projections,
    )
