"""Hard examples: histories, what is hard in them, and the SQL view `hard_examples`."""

import sqlalchemy as sa
from alembic import op

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
    (
        SELECT json_extract(message.value, '$.content')
        FROM json_each(example.messages) AS message
        WHERE json_extract(message.value, '$.role') = 'user'
        ORDER BY message.key DESC
        LIMIT 1
    ) AS prompt,
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
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("example_id", sa.Text(), nullable=False),
        sa.Column("times_seen", sa.Integer(), nullable=False),
        sa.Column("times_right", sa.Integer(), nullable=False),
        sa.Column("flips", sa.Integer(), nullable=False),
        sa.Column("first_right_step", sa.Integer()),
        sa.Column("last_right_step", sa.Integer()),
        sa.Column("was_right", sa.Integer()),
        sa.PrimaryKeyConstraint("run", "example_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "example_history_evaluation",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "ordinal"),
        sqlite_strict=True,
    )
    op.create_table(
        "hard_example",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("suite_id", sa.Text()),
        sa.Column("example_id", sa.Text()),
        sa.Column("sample", sa.Integer()),
        sa.Column("role", sa.Text()),
        sa.Column("difficulty", sa.Text()),
        sa.Column("skill", sa.Text()),
        sa.Column("type", sa.Text()),
        sa.Column("correct", sa.Integer()),
        sa.Column("confidence", sa.REAL()),
        sa.Column("loss", sa.REAL()),
        sa.Column("error_class", sa.Text()),
        sa.Column("times_right", sa.Integer()),
        sa.Column("times_seen", sa.Integer()),
        sa.Column("first_right_step", sa.Integer()),
        sa.Column("last_right_step", sa.Integer()),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("run", "rank"),
        sqlite_strict=True,
    )
    create_view(op.get_bind(), "hard_examples", HARD_EXAMPLES)


def downgrade() -> None:
    drop_view(op.get_bind(), "hard_examples")
    op.drop_table("hard_example")
    op.drop_table("example_history_evaluation")
    op.drop_table("example_history")
