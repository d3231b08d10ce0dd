"""Effects: what was exported to train on, and the SQL views `exports` and `effects`."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, JSON, REAL_NUMBER, TEXT
from store.replaceable import create_view, drop_view

revision = "0025"
down_revision = "0024"

EXPORTS = """
SELECT
    run,
    checkpoint_id,
    step,
    kind,
    file,
    digest,
    n,
    filter,
    left_out,
    exported_at
FROM exported_file
"""

EFFECTS = """
SELECT
    effect.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    effect.exported_step,
    effect.measured,
    effect.n_exported,
    effect.solved_exported,
    effect.n_other,
    effect.solved_other,
    effect.difference,
    effect.difference_low,
    effect.difference_high,
    effect.p,
    effect.verdict,
    effect.reason
FROM effect
JOIN evaluation ON evaluation.evaluation_id = effect.evaluation_id AND evaluation.current = 1
JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
"""


def upgrade() -> None:
    op.create_table(
        "exported_file",
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("file", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("filter", JSON, nullable=False),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("left_out", JSON, nullable=False),
        sa.Column("exported_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "exported_example",
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "example_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "effect",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("exported_evaluation_id", TEXT, nullable=False),
        sa.Column("measured", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("exported_step", INTEGER, nullable=False),
        sa.Column("n_exported", INTEGER, nullable=False),
        sa.Column("solved_exported", INTEGER, nullable=False),
        sa.Column("n_other", INTEGER, nullable=False),
        sa.Column("solved_other", INTEGER, nullable=False),
        sa.Column("difference", REAL_NUMBER),
        sa.Column("difference_low", REAL_NUMBER),
        sa.Column("difference_high", REAL_NUMBER),
        sa.Column("p", REAL_NUMBER),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("evaluation_id", "exported_evaluation_id", "measured"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_effect_run"), "effect", ["run"])
    bind = op.get_bind()
    create_view(bind, "exports", EXPORTS)
    create_view(bind, "effects", EFFECTS)


def downgrade() -> None:
    for name in ("effects", "exports"):
        drop_view(op.get_bind(), name)
    for name in ("effect", "exported_example", "exported_file"):
        op.drop_table(name)
