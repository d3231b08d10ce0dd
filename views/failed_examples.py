"""Failed examples: what the newest tested checkpoint of each run got wrong in its tests.

There is nothing to derive: it is one query on the grades, the tests and the log. `predictions` has
the same of every checkpoint.
"""

from __future__ import annotations

from settings import Settings
from views import test_results
from views.scope import EASY_FIRST, SUBJECT
from views.view import Column, View

COLUMNS = (
    *SUBJECT,
    Column("suite", "Suite", "text", "The validation suite, which has a threshold."),
    Column("difficulty", "Difficulty", "text", "The example's own, or else the suite's."),
    Column("example_id", "Example", "id", "Digest of what the model sees and should say."),
    Column("sample", "Sample", "count", "0, or which of several answers to one example."),
    Column("line", "Line", "count", "Where the example stands in the suite's file."),
    Column("prompt", "Prompt", "text", "The last thing that the user says."),
    Column("target", "Target", "text", "What it should say."),
    Column("generated_text", "Answer", "text", "What it wrote."),
    Column("grader", "Grader", "text", "What judged the answer, with its version."),
    Column("parsed", "Parsed", "text", "The answer that the grader found in the text."),
    Column("expected", "Expected", "text", "The answer that the grader looked for."),
    Column("score", "Score", "share", "The credit that the grader gives; NULL if it gave none."),
    Column("error_class", "Mistake", "text", "What kind of mistake it is."),
    Column("error", "Error", "text", "Why nothing was measured, for one that is not scored."),
)


def view(settings: Settings) -> View:
    """The examples on which a test's newest result rests, but for the right ones."""
    return View(
        name="failed-examples",
        title="Failed examples",
        question="Which examples did the newest checkpoint get wrong in its tests?",
        sql_view="failed_examples",
        columns=COLUMNS,
        order=f"run, step, checkpoint_id, suite, {EASY_FIRST}, line, sample",
        brief=(
            "run",
            "step",
            "suite",
            "difficulty",
            "line",
            "prompt",
            "target",
            "generated_text",
            "error_class",
            "error",
        ),
        projections=test_results.view(settings).projections,
    )
