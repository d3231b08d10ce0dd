"""Graded answers in columns, and `grade` without a row id."""

import sqlalchemy as sa
from alembic import op

from store.column_types import BLOB, INTEGER, REAL_NUMBER, TEXT
from store.dialects import last_user_message
from store.replaceable import create_view, drop_view

revision = "0014"
down_revision = "0013"

LABELS = ("difficulty", "skill", "grader", "error_class", "error")
ARRAYS = (
    "sample",
    "counts",
    "correct",
    "score",
    "confidence",
    "target_logprob",
    "target_tokens",
    "target_bytes",
    "target_top1",
)
# The views that read `grade`, and the revisions that made them.
READERS = {"predictions": "0003", "hard_examples": "0008", "corrections": "0009"}


def remake_grade(**options: bool) -> None:
    """The table is derived: what it held is derived again."""
    bind = op.get_bind()
    for view in READERS:
        drop_view(bind, view)
    op.drop_table("grade")
    op.create_table(
        "grade",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("suite_id", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("sample", INTEGER, nullable=False),
        sa.Column("grader", TEXT),
        sa.Column("correct", INTEGER),
        sa.Column("score", REAL_NUMBER),
        sa.Column("parsed", TEXT),
        sa.Column("expected", TEXT),
        sa.Column("error_class", TEXT),
        sa.Column("confidence", REAL_NUMBER),
        sa.PrimaryKeyConstraint("evaluation_id", "suite_id", "example_id", "sample"),
        sqlite_strict=True,
        **options,
    )
    prompt = last_user_message(bind.dialect.name, "example.messages")
    for view, number in READERS.items():
        made = op.get_context().script.get_revision(number).module
        create_view(bind, view, getattr(made, view.upper()).format(prompt=prompt))


def upgrade() -> None:
    remake_grade(sqlite_with_rowid=False)
    op.create_table(
        "answer_block",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("suite_id", TEXT, nullable=False),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("names", TEXT, nullable=False),
        sa.Column("example_ids", TEXT, nullable=False),
        *(sa.Column(name, BLOB, nullable=False) for name in (*LABELS, *ARRAYS)),
        sa.PrimaryKeyConstraint("evaluation_id", "suite_id"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("answer_block")
    remake_grade()
