"""Evidence beside each verdict, the pinned baseline beside the checkpoint before, and the flips."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.dialects import last_user_message
from store.replaceable import create_view, drop_view

revision = "0017"
down_revision = "0016"

MEASURED = tuple(
    f"{measure}{suffix}"
    for measure in ("loss", "accuracy")
    for suffix in ("", "_before", "_change", "_low", "_high", "_p", "_p_holm", "_detectable")
)
REGRESSIONS = """
SELECT
    run,
    checkpoint_id,
    step,
    against,
    baseline_checkpoint_id,
    baseline_step,
    suite,
    difficulty,
    n,
    clusters,
    {measured},
    to_wrong,
    to_right,
    verdict,
    reason
FROM regression
"""

# The row of all examples says which two evaluations were compared. A suite whose content changed is
# another suite of the same name. Subqueries instead of joins for texts: a count costs no look-up.
FLIPS = """
SELECT
    compared.run,
    compared.checkpoint_id,
    compared.step,
    compared.against,
    compared.baseline_step,
    suite.name AS suite,
    coalesce(
        (
            SELECT example.difficulty
            FROM example
            WHERE example.suite_id = newer.suite_id AND example.example_id = newer.example_id
        ),
        suite.difficulty,
        'unspecified'
    ) AS difficulty,
    newer.example_id,
    newer.sample,
    CASE WHEN newer.correct = 1 THEN 'to right' ELSE 'to wrong' END AS flip,
    {prompt} AS prompt,
    (
        SELECT example.target
        FROM example
        WHERE example.suite_id = newer.suite_id AND example.example_id = newer.example_id
    ) AS target,
    {older} AS answer_before,
    {newer} AS answer
FROM regression AS compared
JOIN grade AS newer ON newer.evaluation_id = compared.evaluation_id
JOIN suite ON suite.suite_id = newer.suite_id AND suite.role = 'validation'
JOIN evaluation_suite AS asked ON asked.evaluation_id = compared.baseline_evaluation_id
JOIN suite AS suite_before
    ON suite_before.suite_id = asked.suite_id
    AND suite_before.name = suite.name
    AND suite_before.role = 'validation'
JOIN grade AS older
    ON older.evaluation_id = compared.baseline_evaluation_id
    AND older.suite_id = suite_before.suite_id
    AND older.example_id = newer.example_id
    AND older.sample = newer.sample
    AND older.correct <> newer.correct
    AND older.grader = newer.grader
WHERE compared.suite = 'all' AND compared.difficulty = 'all'
"""

ANSWER = """(
        SELECT coalesce(prediction.generated_text, {grade}.parsed)
        FROM prediction
        WHERE prediction.evaluation_id = {grade}.evaluation_id
            AND prediction.example_id = {grade}.example_id
            AND prediction.sample = {grade}.sample
    )"""
PROMPT = """(
        SELECT {message}
        FROM example
        WHERE example.suite_id = newer.suite_id AND example.example_id = newer.example_id
    )"""


def make_table(columns: tuple[sa.Column[Any], ...], key: tuple[str, ...]) -> None:
    """Makes the table `regression` anew. It is derived: what it held is derived again."""
    op.drop_table("regression")
    op.create_table("regression", *columns, sa.PrimaryKeyConstraint(*key), sqlite_strict=True)
    op.create_index(op.f("ix_regression_run_step"), "regression", ["run", "step"])
    op.execute("DELETE FROM projection WHERE name IN ('regression', 'alerts')")


def upgrade() -> None:
    bind = op.get_bind()
    drop_view(bind, "regressions")
    make_table(
        (
            sa.Column("run", TEXT, nullable=False),
            sa.Column("checkpoint_id", TEXT, nullable=False),
            sa.Column("step", INTEGER, nullable=False),
            sa.Column("evaluation_id", TEXT, nullable=False),
            sa.Column("against", TEXT, nullable=False),
            sa.Column("baseline_checkpoint_id", TEXT),
            sa.Column("baseline_step", INTEGER),
            sa.Column("baseline_evaluation_id", TEXT),
            sa.Column("suite", TEXT, nullable=False),
            sa.Column("difficulty", TEXT, nullable=False),
            sa.Column("n", INTEGER, nullable=False),
            sa.Column("clusters", INTEGER),
            *(sa.Column(name, REAL_NUMBER) for name in MEASURED),
            sa.Column("to_wrong", INTEGER),
            sa.Column("to_right", INTEGER),
            sa.Column("verdict", TEXT, nullable=False),
            sa.Column("reason", TEXT, nullable=False),
        ),
        ("evaluation_id", "against", "suite", "difficulty"),
    )
    create_view(bind, "regressions", REGRESSIONS.format(measured=",\n    ".join(MEASURED)))
    message = last_user_message(bind.dialect.name, "example.messages")
    create_view(
        bind,
        "flips",
        FLIPS.format(
            prompt=PROMPT.format(message=message),
            older=ANSWER.format(grade="older"),
            newer=ANSWER.format(grade="newer"),
        ),
    )


def downgrade() -> None:
    bind = op.get_bind()
    drop_view(bind, "flips")
    drop_view(bind, "regressions")
    script = op.get_context().script
    assert script is not None
    before = script.get_revision("0004").module
    op.drop_table("regression")
    op.execute("DELETE FROM projection WHERE name IN ('regression', 'alerts')")
    before.upgrade()
