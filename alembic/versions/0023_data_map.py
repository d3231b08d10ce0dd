"""Skills and the data map beside the curriculum, which has its strategies and their uncertainty."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.dialects import last_user_message
from store.replaceable import create_view, drop_view

revision = "0023"
down_revision = "0022"

STANDING: tuple[tuple[str, Any], ...] = (
    ("n", INTEGER),
    ("n_graded", INTEGER),
    ("loss", REAL_NUMBER),
    ("accuracy", REAL_NUMBER),
    ("accuracy_low", REAL_NUMBER),
    ("accuracy_high", REAL_NUMBER),
    ("learnability", REAL_NUMBER),
    ("progress", REAL_NUMBER),
    ("trend", REAL_NUMBER),
    ("trend_low", REAL_NUMBER),
    ("trend_high", REAL_NUMBER),
    ("trend_checkpoints", INTEGER),
)
ADVICE: tuple[tuple[str, Any], ...] = (
    ("gain", REAL_NUMBER),
    ("recommended_share", INTEGER),
    ("share_low", INTEGER),
    ("share_high", INTEGER),
    ("strategy", TEXT),
    ("support", REAL_NUMBER),
    ("strategies", TEXT),
)
DERIVED_ANEW = ("difficulties", "groups", "curriculum", "history", "data_map", "hard_examples")

STOOD = """
SELECT
    stood.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    {columns}
FROM {table} AS stood
JOIN evaluation ON evaluation.evaluation_id = stood.evaluation_id
JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
"""

# Subqueries instead of joins: a count, or a row that an offset passes over, costs no look-up.
DATA_MAP = """
SELECT
    history.run,
    history.example_id,
    (SELECT suite.name FROM suite WHERE suite.suite_id = history.suite_id) AS suite,
    (SELECT suite.role FROM suite WHERE suite.suite_id = history.suite_id) AS role,
    coalesce(
        (
            SELECT example.difficulty
            FROM example
            WHERE example.suite_id = history.suite_id AND example.example_id = history.example_id
        ),
        (SELECT suite.difficulty FROM suite WHERE suite.suite_id = history.suite_id),
        'unspecified'
    ) AS difficulty,
    (
        SELECT example.skill
        FROM example
        WHERE example.suite_id = history.suite_id AND example.example_id = history.example_id
    ) AS skill,
    CASE
        WHEN history.spread IS NULL THEN NULL
        WHEN history.spread >= (SELECT ambiguous_spread FROM data_map_limit) THEN 'ambiguous'
        WHEN history.probability >= (SELECT easy_probability FROM data_map_limit)
            THEN 'easy-to-learn'
        ELSE 'hard-to-learn'
    END AS region,
    history.probability,
    history.spread,
    history.times_measured,
    history.times_right,
    history.times_seen,
    -- Flips to wrong and to right alternate: half of them, and one more if it began right.
    CASE
        WHEN history.times_seen = 0 THEN NULL
        WHEN history.flips / 2 * 2 = history.flips THEN history.flips / 2
        ELSE (history.flips + 1) / 2 - history.was_right
    END AS forgetting_events,
    CASE
        WHEN history.times_seen < 2 THEN NULL
        WHEN history.times_right = 0 THEN 1
        ELSE 0
    END AS never_learned,
    history.was_right,
    {texts}
FROM (
    SELECT
        example_history.*,
        0 AS sample,
        (
            SELECT newest.evaluation_id
            FROM example_history_evaluation AS newest
            WHERE newest.run = example_history.run
            ORDER BY newest.ordinal DESC
            LIMIT 1
        ) AS evaluation_id
    FROM example_history
) AS history
"""


def standing_columns() -> list[sa.Column[Any]]:
    """The columns that difficulties and skills share."""
    return [sa.Column(name, kind, nullable=not name.startswith("n")) for name, kind in STANDING]


def upgrade() -> None:
    """Makes derived tables anew: what they held is derived again."""
    bind = op.get_bind()
    drop_view(bind, "curriculum")
    for table in ("curriculum_advice", "difficulty_tally", "example_history"):
        op.drop_table(table)
    op.create_table(
        "group_tally",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("n_graded", INTEGER, nullable=False),
        sa.Column("loss", REAL_NUMBER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("accuracy_low", REAL_NUMBER),
        sa.Column("accuracy_high", REAL_NUMBER),
        sa.Column("suites", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("evaluation_id", "kind", "name"),
        sqlite_strict=True,
    )
    op.create_table(
        "curriculum_advice",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        *standing_columns(),
        *(sa.Column(name, kind) for name, kind in ADVICE),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "difficulty"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_curriculum_advice_run"), "curriculum_advice", ["run"])
    op.create_table(
        "skill_standing",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("skill", TEXT, nullable=False),
        *standing_columns(),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("evaluation_id", "skill"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_skill_standing_run"), "skill_standing", ["run"])
    op.create_table(
        "example_history",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("times_seen", INTEGER, nullable=False),
        sa.Column("times_right", INTEGER, nullable=False),
        sa.Column("flips", INTEGER, nullable=False),
        sa.Column("first_right_step", INTEGER),
        sa.Column("last_right_step", INTEGER),
        sa.Column("was_right", INTEGER),
        sa.Column("suite_id", TEXT, nullable=False),
        sa.Column("times_measured", INTEGER, nullable=False),
        sa.Column("probability", REAL_NUMBER),
        sa.Column("deviations", REAL_NUMBER, nullable=False),
        sa.Column("spread", REAL_NUMBER),
        sa.PrimaryKeyConstraint("run", "example_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "data_map_limit",
        sa.Column("ambiguous_spread", REAL_NUMBER, nullable=False),
        sa.Column("easy_probability", REAL_NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("ambiguous_spread", "easy_probability"),
        sqlite_strict=True,
    )
    op.execute("DELETE FROM example_history_evaluation")
    _forget_derived()
    standing = [name for name, _ in STANDING]
    _create_stood("curriculum", "curriculum_advice", ["difficulty", *standing, *dict(ADVICE)])
    _create_stood("skills", "skill_standing", ["skill", *standing])
    texts = _made_by("0020").TEXTS.format(
        row="history", message=last_user_message(bind.dialect.name, "example.messages")
    )
    create_view(bind, "data_map", DATA_MAP.format(texts=texts))


def downgrade() -> None:
    bind = op.get_bind()
    for view in ("data_map", "skills", "curriculum"):
        drop_view(bind, view)
    for table in (
        "data_map_limit",
        "example_history",
        "skill_standing",
        "curriculum_advice",
        "group_tally",
    ):
        op.drop_table(table)
    _made_by("0007").upgrade()
    op.create_table(
        "example_history",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("times_seen", INTEGER, nullable=False),
        sa.Column("times_right", INTEGER, nullable=False),
        sa.Column("flips", INTEGER, nullable=False),
        sa.Column("first_right_step", INTEGER),
        sa.Column("last_right_step", INTEGER),
        sa.Column("was_right", INTEGER),
        sa.PrimaryKeyConstraint("run", "example_id"),
        sqlite_strict=True,
    )
    op.execute("DELETE FROM example_history_evaluation")
    _forget_derived()


def _create_stood(view: str, table: str, names: list[str]) -> None:
    columns = ",\n    ".join(f"stood.{name}" for name in [*names, "reason"])
    create_view(op.get_bind(), view, STOOD.format(columns=columns, table=table))


def _forget_derived() -> None:
    names = ", ".join(f"'{name}'" for name in DERIVED_ANEW)
    op.execute(f"DELETE FROM projection WHERE name IN ({names})")


def _made_by(number: str) -> Any:
    """An earlier migration."""
    script = op.get_context().script
    assert script is not None
    return script.get_revision(number).module
