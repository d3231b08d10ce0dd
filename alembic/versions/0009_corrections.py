"""Corrections: error patterns, and the SQL view `corrections`."""

import sqlalchemy as sa
from alembic import op

from store.replaceable import create_view, drop_view

revision = "0009"
down_revision = "0008"

# A checkpoint that gave no patterns has a row without one, hence the left joins.
CORRECTIONS = """
SELECT
    checkpoint.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    pattern.rank,
    pattern.role,
    pattern.difficulty,
    pattern.skill,
    pattern.error_class,
    pattern.n,
    pattern.share,
    pattern.of_examples,
    pattern.example_id,
    (
        SELECT json_extract(message.value, '$.content')
        FROM json_each(example.messages) AS message
        WHERE json_extract(message.value, '$.role') = 'user'
        ORDER BY message.key DESC
        LIMIT 1
    ) AS prompt,
    example.target,
    coalesce(prediction.generated_text, grade.parsed) AS generated_text,
    pattern.reason
FROM error_pattern AS pattern
JOIN evaluation ON evaluation.evaluation_id = pattern.evaluation_id AND evaluation.current = 1
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
LEFT JOIN example
    ON example.suite_id = pattern.suite_id AND example.example_id = pattern.example_id
LEFT JOIN prediction
    ON prediction.evaluation_id = pattern.evaluation_id
    AND prediction.example_id = pattern.example_id
    AND prediction.sample = pattern.sample
LEFT JOIN grade
    ON grade.evaluation_id = pattern.evaluation_id
    AND grade.suite_id = pattern.suite_id
    AND grade.example_id = pattern.example_id
    AND grade.sample = pattern.sample
"""


def upgrade() -> None:
    op.create_table(
        "error_pattern",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text()),
        sa.Column("difficulty", sa.Text()),
        sa.Column("skill", sa.Text()),
        sa.Column("error_class", sa.Text()),
        sa.Column("n", sa.Integer()),
        sa.Column("share", sa.REAL()),
        sa.Column("of_examples", sa.Integer()),
        sa.Column("suite_id", sa.Text()),
        sa.Column("example_id", sa.Text()),
        sa.Column("sample", sa.Integer()),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("evaluation_id", "rank"),
        sqlite_strict=True,
    )
    create_view(op.get_bind(), "corrections", CORRECTIONS)


def downgrade() -> None:
    drop_view(op.get_bind(), "corrections")
    op.drop_table("error_pattern")
