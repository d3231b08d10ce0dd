"""Grades and results, and the SQL views `predictions` and `results`."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.dialects import last_user_message
from store.replaceable import create_view, drop_view

revision = "0003"
down_revision = "0002"

# Inner joins, so that a filter on evaluation, checkpoint or run leads the query: a prediction is
# never without its evaluation, its suite and its example.
PREDICTIONS = """
SELECT
    checkpoint.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    evaluation.evaluation_id,
    suite.name AS suite,
    coalesce(example.difficulty, suite.difficulty, 'unspecified') AS difficulty,
    example.skill,
    prediction.example_id,
    prediction.sample,
    example.line,
    example.kind,
    {prompt} AS prompt,
    example.target,
    example.choices,
    prediction.generated_text,
    grade.grader,
    grade.correct,
    grade.score,
    grade.parsed,
    grade.expected,
    grade.error_class,
    grade.confidence,
    -prediction.target_logprob / nullif(prediction.target_tokens, 0) AS loss,
    prediction.finish_reason,
    prediction.error,
    prediction.prompt_tokens,
    prediction.prompt_truncated,
    prediction.generated_tokens,
    prediction.generated_logprob,
    prediction.generated_min_logprob,
    prediction.generated_entropy,
    prediction.target_tokens,
    prediction.target_bytes,
    prediction.target_logprob,
    prediction.target_min_logprob,
    prediction.target_entropy,
    prediction.target_margin,
    prediction.target_rank,
    prediction.target_top1,
    prediction.target_first_miss,
    prediction.logprob_at_temperature,
    prediction.choice_logprobs
FROM evaluation
JOIN evaluation_suite ON evaluation_suite.evaluation_id = evaluation.evaluation_id
JOIN suite ON suite.suite_id = evaluation_suite.suite_id
JOIN example ON example.suite_id = evaluation_suite.suite_id
JOIN prediction
    ON prediction.evaluation_id = evaluation.evaluation_id
    AND prediction.example_id = example.example_id
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
LEFT JOIN grade
    ON grade.evaluation_id = prediction.evaluation_id
    AND grade.suite_id = evaluation_suite.suite_id
    AND grade.example_id = prediction.example_id
    AND grade.sample = prediction.sample
WHERE evaluation.current = 1
"""

RESULTS = """
SELECT
    checkpoint.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    result.evaluation_id,
    coalesce(suite.name, result.suite_id) AS suite,
    suite.role,
    result.difficulty,
    result.grader,
    result.n,
    result.n_failed,
    result.n_graded,
    result.loss,
    result.perplexity,
    result.bits_per_byte,
    result.token_accuracy,
    result.accuracy,
    result.accuracy_low,
    result.accuracy_high,
    result.score,
    result.loss_se,
    result.accuracy_se,
    CASE WHEN evaluation.status = 'completed' THEN 'evaluated' ELSE 'failed' END AS status,
    result.reason
FROM result
JOIN evaluation ON evaluation.evaluation_id = result.evaluation_id AND evaluation.current = 1
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
LEFT JOIN suite ON suite.suite_id = result.suite_id
"""


def upgrade() -> None:
    op.create_table(
        "grade",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("suite_id", TEXT, nullable=False),
        sa.Column("example_id", TEXT, nullable=False),
        sa.Column("sample", INTEGER, nullable=False),
        sa.Column("grader", TEXT),
        sa.Column("correct", INTEGER),
        sa.Column("score", REAL_NUMBER),
        sa.Column("parsed", TEXT),
        sa.Column("expected", TEXT),
        sa.Column("error_class", TEXT),
        sa.Column("confidence", REAL_NUMBER),
        sa.PrimaryKeyConstraint("evaluation_id", "suite_id", "example_id", "sample"),
        sqlite_strict=True,
    )
    op.create_table(
        "result",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("suite_id", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("grader", TEXT),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("n_failed", INTEGER, nullable=False),
        sa.Column("n_graded", INTEGER, nullable=False),
        sa.Column("loss", REAL_NUMBER),
        sa.Column("perplexity", REAL_NUMBER),
        sa.Column("bits_per_byte", REAL_NUMBER),
        sa.Column("token_accuracy", REAL_NUMBER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("accuracy_low", REAL_NUMBER),
        sa.Column("accuracy_high", REAL_NUMBER),
        sa.Column("score", REAL_NUMBER),
        sa.Column("loss_se", REAL_NUMBER),
        sa.Column("accuracy_se", REAL_NUMBER),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("evaluation_id", "suite_id", "difficulty"),
        sqlite_strict=True,
    )
    bind = op.get_bind()
    prompt = last_user_message(bind.dialect.name, "example.messages")
    create_view(bind, "predictions", PREDICTIONS.format(prompt=prompt))
    create_view(bind, "results", RESULTS)


def downgrade() -> None:
    drop_view(op.get_bind(), "results")
    drop_view(op.get_bind(), "predictions")
    op.drop_table("result")
    op.drop_table("grade")
