"""Corrections: error patterns, and the SQL view `corrections`."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.dialects import last_user_message
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
    {prompt} AS prompt,
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
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("rank", INTEGER, nullable=False),
        sa.Column("role", TEXT),
        sa.Column("difficulty", TEXT),
        sa.Column("skill", TEXT),
        sa.Column("error_class", TEXT),
        sa.Column("n", INTEGER),
        sa.Column("share", REAL_NUMBER),
        sa.Column("of_examples", INTEGER),
        sa.Column("suite_id", TEXT),
        sa.Column("example_id", TEXT),
        sa.Column("sample", INTEGER),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("evaluation_id", "rank"),
        sqlite_strict=True,
    )
    bind = op.get_bind()
    prompt = last_user_message(bind.dialect.name, "example.messages")
    create_view(bind, "corrections", CORRECTIONS.format(prompt=prompt))


def downgrade() -> None:
    drop_view(op.get_bind(), "corrections")
    op.drop_table("error_pattern")
