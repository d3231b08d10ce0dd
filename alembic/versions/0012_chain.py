"""A digest chain over the log, positions without a gap, and finite numbers within JSON too."""

from alembic import op

from store.chain import seal
from store.replaceable import allow_insert, drop_guard, guard, refuse_insert
from store.schema import GENESIS

revision = "0012"
down_revision = "0011"

ROWS = ("example", "prediction", "token_trace")
NUMBERS = ("logprob_at_temperature", "choice_logprobs")

# AUTOINCREMENT remembers the highest position even when its event is gone: a log that lost its end
# takes no new event.
NOT_NEXT = (
    "NEW.position IS NOT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0) + 1"
)
NOT_NEWEST = "NEW.position IS NOT (SELECT max(position) FROM event)"


def not_finite(column: str) -> str:
    return (
        f"NEW.{column} IS NOT NULL AND (NOT json_valid(NEW.{column}) OR EXISTS ("
        f"SELECT 1 FROM json_each(NEW.{column}) "
        "WHERE type NOT IN ('integer', 'real') OR abs(value) > 1.7976931348623157e308))"
    )


def upgrade() -> None:
    bind = op.get_bind()
    guards = op.get_context().script.get_revision("0001").module.GUARDS
    for table in guards:
        drop_guard(bind, table)
    op.execute(
        f"ALTER TABLE event ADD COLUMN digest TEXT NOT NULL DEFAULT '{GENESIS}' "
        "CONSTRAINT ck_event_digest_is_sha256 CHECK (length(digest) = 64)"
    )
    seal(bind)
    refuse_insert(
        bind,
        "event",
        "gap",
        NOT_NEXT,
        "event takes the next position only. If this is the next one, the end of the log was "
        "taken away: run milepost db check.",
    )
    for table in ROWS:
        refuse_insert(
            bind,
            table,
            "stray",
            NOT_NEWEST,
            f"{table} takes rows of the newest event only: append them together with it.",
        )
    for column in NUMBERS:
        refuse_insert(
            bind,
            "prediction",
            column,
            not_finite(column),
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
    drop_guard(bind, "event")
    op.execute("ALTER TABLE event DROP COLUMN digest")
    guard(bind, "event", guards["event"])
