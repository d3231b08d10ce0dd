"""The evidence of a ranking: between which places a rank lies, and what may be the best."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.replaceable import create_view

revision = "0021"
down_revision = "0020"

COLUMNS: dict[str, Any] = {
    "ece": REAL_NUMBER,
    "rank_low": INTEGER,
    "rank_high": INTEGER,
    "p_best": REAL_NUMBER,
    "tie": INTEGER,
    "pareto": INTEGER,
    "examples": INTEGER,
    "evidence": TEXT,
}

RANKINGS = """
SELECT
    run,
    checkpoint_id,
    step,
    rank,
    score,
    loss,
    accuracy,
    balance,
    consistency,
    ece,
    rank_low,
    rank_high,
    p_best,
    tie,
    pareto,
    examples,
    evidence,
    tier,
    reason
FROM ranking
"""


def upgrade() -> None:
    for name, type_ in COLUMNS.items():
        op.add_column("ranking", sa.Column(name, type_))
    create_view(op.get_bind(), "rankings", RANKINGS)


def downgrade() -> None:
    script = op.get_context().script
    assert script is not None
    create_view(op.get_bind(), "rankings", script.get_revision("0019").module.RANKINGS)
    for name in reversed(list(COLUMNS)):
        op.drop_column("ranking", name)
