"""Where suites, checkpoints and evaluations stand, and the SQL views of the latter two."""

import sqlalchemy as sa
from alembic import op

from store.replaceable import create_view, drop_view

revision = "0002"
down_revision = "0001"

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
    evaluation.peak_bytes
FROM checkpoint
LEFT JOIN evaluation
    ON evaluation.checkpoint_id = checkpoint.checkpoint_id AND evaluation.current = 1
UNION ALL
SELECT
    NULL, run, step, path, NULL, rejected_at, 'rejected', reason,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM rejected_folder
"""

EVALUATIONS = """
SELECT
    evaluation.evaluation_id,
    checkpoint.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    evaluation.status,
    evaluation.current,
    evaluation.attempt,
    evaluation.examples,
    evaluation.scored,
    evaluation.failed,
    evaluation.started_at,
    evaluation.finished_at,
    evaluation.seconds,
    evaluation.load_seconds,
    evaluation.prompt_tokens,
    evaluation.target_tokens,
    evaluation.generated_tokens,
    evaluation.peak_bytes,
    evaluation.device_peak_bytes,
    evaluation.device,
    evaluation.dtype,
    evaluation.host,
    evaluation.pid,
    evaluation.evaluator_version,
    evaluation.prompt_format,
    evaluation.error,
    evaluation.message,
    evaluation.retriable
FROM evaluation
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
"""


def upgrade() -> None:
    op.create_table(
        "suite",
        sa.Column("suite_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.Text()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("grader", sa.Text(), nullable=False),
        sa.Column("rows_read", sa.Integer(), nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("suite_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "checkpoint",
        sa.Column("checkpoint_id", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.Text(), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("epoch", sa.REAL()),
        sa.Column("train_loss", sa.REAL()),
        sa.Column("learning_rate", sa.REAL()),
        sa.Column("arrived_at", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.Text()),
        sa.Column("removed_reason", sa.Text()),
        sa.PrimaryKeyConstraint("checkpoint_id"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_checkpoint_run_step"), "checkpoint", ["run", "step"])
    op.create_table(
        "rejected_folder",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rejected_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_strict=True,
    )
    op.create_table(
        "evaluation",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("current", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("examples", sa.Integer()),
        sa.Column("scored", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text()),
        sa.Column("seconds", sa.REAL()),
        sa.Column("load_seconds", sa.REAL()),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("target_tokens", sa.Integer()),
        sa.Column("generated_tokens", sa.Integer()),
        sa.Column("peak_bytes", sa.Integer()),
        sa.Column("device_peak_bytes", sa.Integer()),
        sa.Column("device", sa.Text()),
        sa.Column("dtype", sa.Text()),
        sa.Column("host", sa.Text()),
        sa.Column("pid", sa.Integer()),
        sa.Column("evaluator_version", sa.Text()),
        sa.Column("prompt_format", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("retriable", sa.Integer()),
        sa.PrimaryKeyConstraint("evaluation_id"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_evaluation_checkpoint_id"), "evaluation", ["checkpoint_id"])
    op.create_table(
        "evaluation_suite",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("suite_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "suite_id"),
        sqlite_strict=True,
    )
    create_view(op.get_bind(), "checkpoints", CHECKPOINTS)
    create_view(op.get_bind(), "evaluations", EVALUATIONS)


def downgrade() -> None:
    drop_view(op.get_bind(), "evaluations")
    drop_view(op.get_bind(), "checkpoints")
    for table in ("evaluation_suite", "evaluation", "rejected_folder", "checkpoint", "suite"):
        op.drop_table(table)
