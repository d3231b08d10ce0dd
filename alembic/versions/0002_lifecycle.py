"""Where suites, checkpoints and evaluations stand, and the SQL views of the latter two."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
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
        sa.Column("suite_id", TEXT, nullable=False),
        sa.Column("revision", INTEGER, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("difficulty", TEXT),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("grader", TEXT, nullable=False),
        sa.Column("rows_read", INTEGER, nullable=False),
        sa.Column("examples", INTEGER, nullable=False),
        sa.Column("duplicates", INTEGER, nullable=False),
        sa.Column("refused", TEXT, nullable=False),
        sa.Column("registered_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("suite_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "checkpoint",
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("bytes", INTEGER, nullable=False),
        sa.Column("dtype", TEXT, nullable=False),
        sa.Column("architecture", TEXT, nullable=False),
        sa.Column("parameters", INTEGER, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("epoch", REAL_NUMBER),
        sa.Column("train_loss", REAL_NUMBER),
        sa.Column("learning_rate", REAL_NUMBER),
        sa.Column("arrived_at", TEXT, nullable=False),
        sa.Column("removed_at", TEXT),
        sa.Column("removed_reason", TEXT),
        sa.PrimaryKeyConstraint("checkpoint_id"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_checkpoint_run_step"), "checkpoint", ["run", "step"])
    op.create_table(
        "rejected_folder",
        sa.Column("path", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("step", INTEGER),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("rejected_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_strict=True,
    )
    op.create_table(
        "evaluation",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("current", INTEGER, nullable=False),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("examples", INTEGER),
        sa.Column("scored", INTEGER, nullable=False),
        sa.Column("failed", INTEGER, nullable=False),
        sa.Column("started_at", TEXT, nullable=False),
        sa.Column("finished_at", TEXT),
        sa.Column("seconds", REAL_NUMBER),
        sa.Column("load_seconds", REAL_NUMBER),
        sa.Column("prompt_tokens", INTEGER),
        sa.Column("target_tokens", INTEGER),
        sa.Column("generated_tokens", INTEGER),
        sa.Column("peak_bytes", INTEGER),
        sa.Column("device_peak_bytes", INTEGER),
        sa.Column("device", TEXT),
        sa.Column("dtype", TEXT),
        sa.Column("host", TEXT),
        sa.Column("pid", INTEGER),
        sa.Column("evaluator_version", TEXT),
        sa.Column("prompt_format", TEXT),
        sa.Column("error", TEXT),
        sa.Column("message", TEXT),
        sa.Column("retriable", INTEGER),
        sa.PrimaryKeyConstraint("evaluation_id"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_evaluation_checkpoint_id"), "evaluation", ["checkpoint_id"])
    op.create_table(
        "evaluation_suite",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("suite_id", TEXT, nullable=False),
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
