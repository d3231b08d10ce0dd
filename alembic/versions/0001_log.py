"""The log: events and the rows that belong to them, append-only; heartbeats; projections."""

import sqlalchemy as sa
from alembic import op

from store.column_types import BLOB, INTEGER, REAL_NUMBER, TEXT
from store.dialects import LARGEST_REAL, all_or_none, is_json
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


def upgrade() -> None:
    bind = op.get_bind()
    dialect = bind.dialect.name
    op.create_table(
        "event",
        sa.Column("position", INTEGER, primary_key=True, autoincrement=dialect == "sqlite"),
        sa.Column("event_id", TEXT, nullable=False, unique=True),
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("schema_version", INTEGER, nullable=False),
        sa.Column("recorded_at", TEXT, nullable=False),
        sa.Column("payload", TEXT, nullable=False),
        sa.UniqueConstraint("stream", "version"),
        sa.CheckConstraint("version >= 1", name="version_from_1"),
        sa.CheckConstraint(is_json(dialect, "payload"), name="payload_is_json"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_event_type_position"), "event", ["type", "position"])
    op.create_table(
        "example",
        sa.Column("suite_id", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("position", INTEGER, sa.ForeignKey("event.position"), nullable=False),
        sa.Column("line", INTEGER, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("messages", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("choices", TEXT),
        sa.Column("difficulty", TEXT),
        sa.Column("skill", TEXT),
        sa.Column("metadata", TEXT),
        sa.PrimaryKeyConstraint("suite_id", "example_id"),
        sa.CheckConstraint("kind IN ('chat', 'completion', 'choice', 'text')", name="kind"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_example_example_id"), "example", ["example_id"])
    op.create_table(
        "prediction",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("sample", INTEGER, nullable=False),
        sa.Column("position", INTEGER, sa.ForeignKey("event.position"), nullable=False),
        sa.Column("prompt_tokens", INTEGER),
        sa.Column("prompt_truncated", INTEGER),
        sa.Column("generated_text", TEXT),
        sa.Column("finish_reason", TEXT),
        sa.Column("generated_tokens", INTEGER),
        sa.Column("generated_logprob", REAL_NUMBER),
        sa.Column("generated_min_logprob", REAL_NUMBER),
        sa.Column("generated_entropy", REAL_NUMBER),
        sa.Column("target_tokens", INTEGER),
        sa.Column("target_bytes", INTEGER),
        sa.Column("target_logprob", REAL_NUMBER),
        sa.Column("target_min_logprob", REAL_NUMBER),
        sa.Column("target_entropy", REAL_NUMBER),
        sa.Column("target_margin", REAL_NUMBER),
        sa.Column("target_rank", REAL_NUMBER),
        sa.Column("target_top1", INTEGER),
        sa.Column("target_first_miss", INTEGER),
        sa.Column("logprob_at_temperature", TEXT),
        sa.Column("choice_logprobs", TEXT),
        sa.Column("error", TEXT),
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
        sa.CheckConstraint(all_or_none(dialect, GENERATED), name="generated_whole"),
        sa.CheckConstraint(all_or_none(dialect, TARGET), name="target_whole"),
        sa.CheckConstraint(
            " AND ".join(f"abs(coalesce({one}, 0.0)) <= {LARGEST_REAL}" for one in REALS),
            name="finite",
        ),
        sa.CheckConstraint("finish_reason IN ('eos', 'stop', 'length')", name="finish_reason"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "token_trace",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("sample", INTEGER, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("position", INTEGER, sa.ForeignKey("event.position"), nullable=False),
        sa.Column("pieces", TEXT, nullable=False),
        sa.Column("logprob", BLOB, nullable=False),
        sa.Column("entropy", BLOB, nullable=False),
        sa.Column("margin", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "example_id", "sample", "kind"),
        sa.CheckConstraint("kind IN ('target', 'generated')", name="kind"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    for table, keys in GUARDS.items():
        guard(bind, table, keys)
    op.create_table(
        "heartbeat",
        sa.Column("process", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("pid", INTEGER, nullable=False),
        sa.Column("doing", TEXT, nullable=False),
        sa.Column("seen_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("process", "host", "pid"),
        sqlite_strict=True,
    )
    op.create_table(
        "projection",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("stamp", TEXT, nullable=False),
        sa.Column("position", INTEGER, nullable=False),
        sa.Column("error", TEXT),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("projection")
    op.drop_table("heartbeat")
    for table in reversed(GUARDS):
        drop_guard(op.get_bind(), table)
        op.drop_table(table)
