"""The tables, as SQLAlchemy Core sees them. The migrations under alembic/ create them.

Facts (`event`, `example`, `prediction`, `token_trace`) are append-only and guarded by triggers.
`heartbeat` is the one mutable table. `projection` says how far each derived view has come; the
derived tables themselves stand in the module of their view, made by `derived`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

# Named here once more: whoever declares a table finds all that it takes in one place.
from store.column_types import BLOB as BLOB
from store.column_types import INTEGER as INTEGER
from store.column_types import JSON as JSON
from store.column_types import REAL_NUMBER as REAL_NUMBER
from store.column_types import TEXT as TEXT
from store.column_types import Json as Json
from store.column_types import dumps as dumps
from store.dialects import LARGEST_REAL, all_or_none, is_json

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


def derived(name: str, *parts: Any, **options: Any) -> Table:
    """A table that `replay` may empty and fill again."""
    return Table(name, METADATA, *parts, sqlite_strict=True, **options)


# The digest before the first event's.
GENESIS = "0" * 64

EVENT = Table(
    "event",
    METADATA,
    Column("position", INTEGER, primary_key=True, autoincrement=True),
    Column("event_id", TEXT, nullable=False, unique=True),
    Column("stream", TEXT, nullable=False),
    Column("version", INTEGER, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("schema_version", INTEGER, nullable=False),
    Column("recorded_at", TEXT, nullable=False),
    Column("payload", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False, server_default=GENESIS),
    UniqueConstraint("stream", "version"),
    Index(None, "type", "position"),
    CheckConstraint("version >= 1", name="version_from_1"),
    CheckConstraint("length(digest) = 64", name="digest_is_sha256"),
    CheckConstraint(is_json("sqlite", "payload"), name="payload_is_json"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

EXAMPLE = Table(
    "example",
    METADATA,
    Column("suite_id", TEXT, nullable=False),
    Column("example_id", TEXT, nullable=False),
    Column("position", INTEGER, ForeignKey("event.position"), nullable=False),
    Column("line", INTEGER, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("target", TEXT, nullable=False),
    Column("choices", JSON),
    Column("difficulty", TEXT),
    Column("skill", TEXT),
    Column("metadata", JSON),
    PrimaryKeyConstraint("suite_id", "example_id"),
    Index(None, "example_id"),
    CheckConstraint("kind IN ('chat', 'completion', 'choice', 'text')", name="kind"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

_GENERATED = (
    "generated_text",
    "finish_reason",
    "generated_tokens",
    "generated_logprob",
    "generated_min_logprob",
    "generated_entropy",
)
_TARGET = (
    "target_tokens",
    "target_bytes",
    "target_logprob",
    "target_min_logprob",
    "target_entropy",
    "target_margin",
    "target_rank",
    "target_top1",
)
# Measured, but None where there is nothing to say: no first miss, one token and so no minimum …
_OPTIONAL = ("target_first_miss", "logprob_at_temperature", "prompt_tokens", "prompt_truncated")
_REALS = (
    "generated_logprob",
    "generated_min_logprob",
    "generated_entropy",
    "target_logprob",
    "target_min_logprob",
    "target_entropy",
    "target_margin",
    "target_rank",
)


def _all_null(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"{column} IS NULL" for column in columns)


# As SQLite words them; the migrations word them for PostgreSQL too.
PREDICTION_CHECKS = {
    "error_or_measured": (
        "(error IS NULL) = "
        "(target_logprob IS NOT NULL OR generated_text IS NOT NULL OR choice_logprobs IS NOT NULL)"
    ),
    "error_excludes_measured": (
        f"error IS NULL OR ({_all_null((*_GENERATED, *_TARGET, *_OPTIONAL, 'choice_logprobs'))})"
    ),
    "generated_whole": all_or_none("sqlite", _GENERATED),
    "target_whole": all_or_none("sqlite", _TARGET),
    "finite": " AND ".join(f"abs(coalesce({column}, 0.0)) <= {LARGEST_REAL}" for column in _REALS),
    "finish_reason": "finish_reason IN ('eos', 'stop', 'length')",
}

PREDICTION = Table(
    "prediction",
    METADATA,
    Column("evaluation_id", TEXT, nullable=False),
    Column("example_id", TEXT, nullable=False),
    Column("sample", INTEGER, nullable=False),
    Column("position", INTEGER, ForeignKey("event.position"), nullable=False),
    Column("prompt_tokens", INTEGER),
    Column("prompt_truncated", INTEGER),
    Column("generated_text", TEXT),
    Column("finish_reason", TEXT),
    Column("generated_tokens", INTEGER),
    Column("generated_logprob", REAL_NUMBER),
    Column("generated_min_logprob", REAL_NUMBER),
    Column("generated_entropy", REAL_NUMBER),
    Column("target_tokens", INTEGER),
    Column("target_bytes", INTEGER),
    Column("target_logprob", REAL_NUMBER),
    Column("target_min_logprob", REAL_NUMBER),
    Column("target_entropy", REAL_NUMBER),
    Column("target_margin", REAL_NUMBER),
    Column("target_rank", REAL_NUMBER),
    Column("target_top1", INTEGER),
    Column("target_first_miss", INTEGER),
    Column("logprob_at_temperature", JSON),
    Column("choice_logprobs", JSON),
    Column("error", TEXT),
    PrimaryKeyConstraint("evaluation_id", "example_id", "sample"),
    *(CheckConstraint(text, name=name) for name, text in PREDICTION_CHECKS.items()),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

TOKEN_TRACE = Table(
    "token_trace",
    METADATA,
    Column("evaluation_id", TEXT, nullable=False),
    Column("example_id", TEXT, nullable=False),
    Column("sample", INTEGER, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("position", INTEGER, ForeignKey("event.position"), nullable=False),
    Column("pieces", JSON, nullable=False),
    Column("logprob", BLOB, nullable=False),
    Column("entropy", BLOB, nullable=False),
    Column("margin", BLOB, nullable=False),
    PrimaryKeyConstraint("evaluation_id", "example_id", "sample", "kind"),
    CheckConstraint("kind IN ('target', 'generated')", name="kind"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

FACTS = (EVENT, EXAMPLE, PREDICTION, TOKEN_TRACE)

HEARTBEAT = Table(
    "heartbeat",
    METADATA,
    Column("process", TEXT, nullable=False),
    Column("host", TEXT, nullable=False),
    Column("pid", INTEGER, nullable=False),
    Column("doing", TEXT, nullable=False),
    Column("seen_at", TEXT, nullable=False),
    PrimaryKeyConstraint("process", "host", "pid"),
    sqlite_strict=True,
)

PROJECTION = derived(
    "projection",
    Column("name", TEXT, primary_key=True),
    Column("version", INTEGER, nullable=False),
    Column("stamp", TEXT, nullable=False),
    Column("position", INTEGER, nullable=False),
    Column("error", TEXT),
)
