"""Hard examples: histories, what is hard in them, and the SQL view `hard_examples`."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.dialects import last_user_message
from store.replaceable import create_view, drop_view

revision = "0008"
down_revision = "0007"

# A checkpoint that gave no examples has a row without one, hence the left joins.
HARD_EXAMPLES = """
SELECT
    hard.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    hard.rank,
    hard.example_id,
    suite.name AS suite,
    hard.role,
    hard.difficulty,
    hard.skill,
    hard.type,
    {prompt} AS prompt,
    example.target,
    coalesce(prediction.generated_text, grade.parsed) AS generated_text,
    hard.correct,
    hard.confidence,
    hard.loss,
    hard.error_class,
    hard.times_right,
    hard.times_seen,
    hard.first_right_step,
    hard.last_right_step,
    hard.reason
FROM hard_example AS hard
JOIN evaluation ON evaluation.evaluation_id = hard.evaluation_id
JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
LEFT JOIN suite ON suite.suite_id = hard.suite_id
LEFT JOIN example
    ON example.suite_id = hard.suite_id AND example.example_id = hard.example_id
LEFT JOIN prediction
    ON prediction.evaluation_id = hard.evaluation_id
    AND prediction.example_id = hard.example_id
    AND prediction.sample = hard.sample
LEFT JOIN grade
    ON grade.evaluation_id = hard.evaluation_id
    AND grade.suite_id = hard.suite_id
    AND grade.example_id = hard.example_id
    AND grade.sample = hard.sample
"""


def upgrade() -> None:
    op.create_table(
        "example_history",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("times_seen", INTEGER, nullable=False),
        sa.Column("times_right", INTEGER, nullable=False),
        sa.Column("flips", INTEGER, nullable=False),
        sa.Column("first_right_step", INTEGER),
        sa.Column("last_right_step", INTEGER),
        sa.Column("was_right", INTEGER),
        sa.PrimaryKeyConstraint("run", "example_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "example_history_evaluation",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("ordinal", INTEGER, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run", "ordinal"),
        sqlite_strict=True,
    )
    op.create_table(
        "hard_example",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("rank", INTEGER, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("suite_id", TEXT),
        sa.Column("example_id", TEXT),
        sa.Column("sample", INTEGER),
        sa.Column("role", TEXT),
        sa.Column("difficulty", TEXT),
        sa.Column("skill", TEXT),
        sa.Column("type", TEXT),
        sa.Column("correct", INTEGER),
        sa.Column("confidence", REAL_NUMBER),
        sa.Column("loss", REAL_NUMBER),
        sa.Column("error_class", TEXT),
        sa.Column("times_right", INTEGER),
        sa.Column("times_seen", INTEGER),
        sa.Column("first_right_step", INTEGER),
        sa.Column("last_right_step", INTEGER),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("run", "rank"),
        sqlite_strict=True,
    )
    bind = op.get_bind()
    prompt = last_user_message(bind.dialect.name, "example.messages")
    create_view(bind, "hard_examples", HARD_EXAMPLES.format(prompt=prompt))


def downgrade() -> None:
    drop_view(op.get_bind(), "hard_examples")
    op.drop_table("hard_example")
    op.drop_table("example_history_evaluation")
    op.drop_table("example_history")
