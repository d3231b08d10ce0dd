"""Skills: how well and how fast each skill is learned, whatever its difficulty.

What the curriculum measures of difficulties, of the `skill` that the rows of suites name.
"""

from __future__ import annotations

from settings import Settings
from views import curriculum, standing
from views.scope import SUBJECT
from views.view import Column, View

COLUMNS = (
    *SUBJECT,
    Column("skill", "Skill", "text", "The skill that the suite's rows name."),
    *standing.COLUMNS,
    Column("reason", "Reason", "text", "Why a number is missing, or what it leaves out."),
)


def view(settings: Settings) -> View:
    """The skills at every evaluated checkpoint."""
    return View(
        name="skills",
        title="Skills",
        question="Which skills are learned, and how fast?",
        sql_view="skills",
        columns=COLUMNS,
        order="run, step, checkpoint_id, skill",
        brief=(
            "run",
            "step",
            "skill",
            "n_graded",
            "loss",
            "accuracy",
            "progress",
            "trend",
            "trend_low",
            "trend_high",
            "reason",
        ),
        projections=curriculum.projections(settings),
    )
