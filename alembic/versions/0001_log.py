"""The log: events and the rows that belong to them, append-only; heartbeats; projections."""

import sqlalchemy as sa
from alembic import op

from store.replaceable import drop_guard, guard

revision = "0001"
down_revision = None

GUARDS = {
    "event": [("position",), ("event_id",), ("stream", "version")],
    "example": [("suite_id", "example_id")],
    "prediction": [("evaluation_id", "example_id", "sample")],
    "token_trace": [("evaluation_id", "example_id", "sample", "kind")],
}

GENERATED = [
    "generated_text",
    "finish_reason",
    "generated_tokens",
    "generated_logprob",
    "generated_min_logprob",
    "generated_entropy",
]
TARGET = [
    "target_tokens",
    "target_bytes",
    "target_logprob",
    "target_min_logprob",
    "target_entropy",
    "target_margin",
    "target_rank",
    "target_top1",
]
REALS = [
    "generated_logprob",
    "generated_min_logprob",
    "generated_entropy",
    "target_logprob",
    "target_min_logprob",
    "target_entropy",
    "target_margin",
    "target_rank",
]
MEASURED = [
    *GENERATED,
    *TARGET,
    "target_first_miss",
    "logprob_at_temperature",
    "prompt_tokens",
    "prompt_truncated",
    "choice_logprobs",
]


def all_or_none(columns: list[str]) -> str:
    nulls = " + ".join(f"({column} IS NULL)" for column in columns)
    return f"({nulls}) IN (0, {len(columns)})"


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text(), nullable=False, unique=True),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.UniqueConstraint("stream", "version"),
        sa.CheckConstraint("version >= 1", name="version_from_1"),
        sa.CheckConstraint("json_valid(payload)", name="payload_is_json"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_event_type_position"), "event", ["type", "position"])
    op.create_table(
        "example",
        sa.Column("suite_id", sa.Text(), nullable=False),
        sa.Column("example_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), sa.ForeignKey("event.position"), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("choices", sa.Text()),
        sa.Column("difficulty", sa.Text()),
        sa.Column("skill", sa.Text()),
        sa.Column("metadata", sa.Text()),
        sa.PrimaryKeyConstraint("suite_id", "example_id"),
        sa.CheckConstraint("kind IN ('chat', 'completion', 'choice', 'text')", name="kind"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_example_example_id"), "example", ["example_id"])
    op.create_table(
        "prediction",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("example_id", sa.Text(), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), sa.ForeignKey("event.position"), nullable=False),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("prompt_truncated", sa.Integer()),
        sa.Column("generated_text", sa.Text()),
        sa.Column("finish_reason", sa.Text()),
        sa.Column("generated_tokens", sa.Integer()),
        sa.Column("generated_logprob", sa.REAL()),
        sa.Column("generated_min_logprob", sa.REAL()),
        sa.Column("generated_entropy", sa.REAL()),
        sa.Column("target_tokens", sa.Integer()),
        sa.Column("target_bytes", sa.Integer()),
        sa.Column("target_logprob", sa.REAL()),
        sa.Column("target_min_logprob", sa.REAL()),
        sa.Column("target_entropy", sa.REAL()),
        sa.Column("target_margin", sa.REAL()),
        sa.Column("target_rank", sa.REAL()),
        sa.Column("target_top1", sa.Integer()),
        sa.Column("target_first_miss", sa.Integer()),
        sa.Column("logprob_at_temperature", sa.Text()),
        sa.Column("choice_logprobs", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("evaluation_id", "example_id", "sample"),
        sa.CheckConstraint(
            "(error IS NULL) = (target_logprob IS NOT NULL OR generated_text IS NOT NULL "
            "OR choice_logprobs IS NOT NULL)",
            name="error_or_measured",
        ),
        sa.CheckConstraint(
            "error IS NULL OR (" + " AND ".join(f"{one} IS NULL" for one in MEASURED) + ")",
            name="error_excludes_measured",
        ),
        sa.CheckConstraint(all_or_none(GENERATED), name="generated_whole"),
        sa.CheckConstraint(all_or_none(TARGET), name="target_whole"),
        sa.CheckConstraint(
            " AND ".join(f"abs(coalesce({one}, 0.0)) <= 1.7976931348623157e308" for one in REALS),
            name="finite",
        ),
        sa.CheckConstraint("finish_reason IN ('eos', 'stop', 'length')", name="finish_reason"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "token_trace",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("example_id", sa.Text(), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), sa.ForeignKey("event.position"), nullable=False),
        sa.Column("pieces", sa.Text(), nullable=False),
        sa.Column("logprob", sa.LargeBinary(), nullable=False),
        sa.Column("entropy", sa.LargeBinary(), nullable=False),
        sa.Column("margin", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "example_id", "sample", "kind"),
        sa.CheckConstraint("kind IN ('target', 'generated')", name="kind"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    for table, keys in GUARDS.items():
        guard(op.get_bind(), table, keys)
    op.create_table(
        "heartbeat",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("doing", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("process", "host", "pid"),
        sqlite_strict=True,
    )
    op.create_table(
        "projection",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("projection")
    op.drop_table("heartbeat")
    for table in reversed(GUARDS):
        drop_guard(op.get_bind(), table)
        op.drop_table(table)
