"""All folders that hold a checkpoint, and the one that a person pinned as its run's baseline."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, JSON, TEXT
from store.replaceable import create_view

revision = "0016"
down_revision = "0015"

# A folder that is gone is "removed" whatever was evaluated; evaluated_at says whether it was.
CHECKPOINTS = """
SELECT
    checkpoint.checkpoint_id,
    checkpoint.run,
    checkpoint.step,
    checkpoint.path,
    checkpoint.bytes,
    checkpoint.arrived_at,
    CASE
        WHEN checkpoint.removed_at IS NOT NULL THEN 'removed'
        WHEN evaluation.status = 'completed' THEN 'evaluated'
        WHEN evaluation.status = 'started' THEN 'evaluating'
        WHEN evaluation.status IN ('failed', 'abandoned') THEN 'failed'
        ELSE 'arrived'
    END AS status,
    CASE
        WHEN checkpoint.removed_at IS NOT NULL THEN checkpoint.removed_reason
        WHEN evaluation.status IN ('failed', 'abandoned')
            THEN evaluation.error || ': ' || evaluation.message
    END AS reason,
    checkpoint.kind,
    checkpoint.architecture,
    checkpoint.parameters,
    checkpoint.dtype,
    checkpoint.epoch,
    checkpoint.train_loss,
    checkpoint.learning_rate,
    evaluation.evaluation_id,
    evaluation.examples,
    evaluation.scored,
    evaluation.failed,
    CASE WHEN evaluation.status = 'completed' THEN evaluation.finished_at END AS evaluated_at,
    evaluation.seconds,
    evaluation.peak_bytes,
    (
        SELECT count(*) FROM evaluation AS one
        WHERE one.checkpoint_id = checkpoint.checkpoint_id AND one.status = 'completed'
    ) AS evaluations,
    checkpoint.paths,
    CASE WHEN baseline.checkpoint_id IS NULL THEN 0 ELSE 1 END AS pinned
FROM checkpoint
LEFT JOIN evaluation
    ON evaluation.checkpoint_id = checkpoint.checkpoint_id AND evaluation.current = 1
LEFT JOIN baseline
    ON baseline.checkpoint_id = checkpoint.checkpoint_id AND baseline.run = checkpoint.run
UNION ALL
SELECT
    NULL, run, step, path, NULL, rejected_at, 'rejected', reason,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL
FROM rejected_folder
"""


def upgrade() -> None:
    op.add_column("checkpoint", sa.Column("paths", JSON, nullable=False, server_default="[]"))
    op.add_column("checkpoint", sa.Column("found_at", TEXT, nullable=False, server_default=""))
    op.create_table(
        "baseline",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        sa.Column("note", TEXT),
        sa.Column("pinned_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run"),
        sqlite_strict=True,
    )
    create_view(op.get_bind(), "checkpoints", CHECKPOINTS)


def downgrade() -> None:
    before = op.get_context().script.get_revision("0013").module
    create_view(op.get_bind(), "checkpoints", before.CHECKPOINTS)
    op.drop_table("baseline")
    op.drop_column("checkpoint", "found_at")
    op.drop_column("checkpoint", "paths")
