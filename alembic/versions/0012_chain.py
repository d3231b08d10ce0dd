"""A digest chain over the log, positions without a gap, and finite numbers within JSON too."""

from alembic import op

from store.chain import seal
from store.column_types import TEXT
from store.dialects import differs, holds_other_than_numbers, last_position_given
from store.replaceable import (
    allow_insert,
    drop_guard,
    forget_end,
    guard,
    refuse_insert,
    remember_end,
)
from store.schema import GENESIS

revision = "0012"
down_revision = "0011"

ROWS = ("example", "prediction", "token_trace")
NUMBERS = ("logprob_at_temperature", "choice_logprobs")


def upgrade() -> None:
    bind = op.get_bind()
    dialect = bind.dialect.name
    guards = op.get_context().script.get_revision("0001").module.GUARDS
    for table in guards:
        drop_guard(bind, table)
    op.execute(
        f"ALTER TABLE event ADD COLUMN digest {TEXT.compile(bind.dialect)} "
        f"NOT NULL DEFAULT '{GENESIS}' "
        "CONSTRAINT ck_event_digest_is_sha256 CHECK (length(digest) = 64)"
    )
    seal(bind)
    remember_end(bind)
    # A log that lost its end takes no new event.
    refuse_insert(
        bind,
        "event",
        "gap",
        differs(dialect, "NEW.position", f"{last_position_given(dialect)} + 1"),
        "event takes the next position only. If this is the next one, the end of the log was "
        "taken away: run milepost db check.",
    )
    for table in ROWS:
        refuse_insert(
            bind,
            table,
            "stray",
            differs(dialect, "NEW.position", "(SELECT max(position) FROM event)"),
            f"{table} takes rows of the newest event only: append them together with it.",
        )
    for column in NUMBERS:
        refuse_insert(
            bind,
            "prediction",
            column,
            holds_other_than_numbers(dialect, f"NEW.{column}"),
            f"{column} must be JSON that holds finite numbers and nothing else.",
        )
    # Last, because SQLite fires the newest trigger first, and theirs is the word that matters.
    for table, keys in guards.items():
        guard(bind, table, keys)


def downgrade() -> None:
    bind = op.get_bind()
    guards = op.get_context().script.get_revision("0001").module.GUARDS
    for column in NUMBERS:
        allow_insert(bind, "prediction", column)
    for table in ROWS:
        allow_insert(bind, table, "stray")
    allow_insert(bind, "event", "gap")
    forget_end(bind)
    drop_guard(bind, "event")
    op.execute("ALTER TABLE event DROP COLUMN digest")
    guard(bind, "event", guards["event"])
