"""Each example counts once over all suites, and a choice is what a choice row answers."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER
from store.dialects import last_user_message
from store.replaceable import create_view

revision = "0020"
down_revision = "0019"

COLUMNS: dict[str, Any] = {
    "n_truncated": INTEGER,
    "n_elsewhere": INTEGER,
    "once_n": INTEGER,
    "once_n_graded": INTEGER,
    "once_loss": REAL_NUMBER,
    "once_accuracy": REAL_NUMBER,
}

# The choice where choices were weighed; else what was written; else whatever was graded.
TEXTS = """(
        SELECT {message}
        FROM example
        WHERE example.suite_id = {row}.suite_id AND example.example_id = {row}.example_id
    ) AS prompt,
    (
        SELECT example.target
        FROM example
        WHERE example.suite_id = {row}.suite_id AND example.example_id = {row}.example_id
    ) AS target,
    coalesce(
        (
            SELECT grade.parsed
            FROM grade
            JOIN prediction
                ON prediction.evaluation_id = grade.evaluation_id
                AND prediction.example_id = grade.example_id
                AND prediction.sample = grade.sample
            WHERE grade.evaluation_id = {row}.evaluation_id
                AND grade.suite_id = {row}.suite_id
                AND grade.example_id = {row}.example_id
                AND grade.sample = {row}.sample
                AND prediction.choice_logprobs IS NOT NULL
        ),
        (
            SELECT prediction.generated_text
            FROM prediction
            WHERE prediction.evaluation_id = {row}.evaluation_id
                AND prediction.example_id = {row}.example_id
                AND prediction.sample = {row}.sample
        )
    ) AS generated_text"""

BESIDE = {"result.n_graded": "result.n_truncated"}
VIEWS = (("hard_examples", "hard"), ("corrections", "pattern"))


def upgrade() -> None:
    for name, type_ in COLUMNS.items():
        op.add_column("result", sa.Column(name, type_))
    _create_views(TEXTS, BESIDE)


def downgrade() -> None:
    _create_views(_made_by("0015").TEXTS, {})
    for name in reversed(list(COLUMNS)):
        op.drop_column("result", name)


def _create_views(texts: str, beside: dict[str, str]) -> None:
    """The views as earlier migrations made them, but for `texts` and the columns in `beside`."""
    bind, tiers = op.get_bind(), _made_by("0019")
    message = last_user_message(bind.dialect.name, "example.messages")
    for name, row in VIEWS:
        select = getattr(_made_by("0015"), name.upper())
        create_view(bind, name, select.format(texts=texts.format(row=row, message=message)))
    results = tiers.RESULTS.format(words=tiers.words("evaluation"))
    for column, more in beside.items():
        results = results.replace(f"    {column},\n", f"    {column},\n    {more},\n")
    create_view(bind, "results", results)


def _made_by(number: str) -> Any:
    """An earlier migration."""
    script = op.get_context().script
    assert script is not None
    return script.get_revision(number).module
