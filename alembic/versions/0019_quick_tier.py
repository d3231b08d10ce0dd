"""The quick tier: when it was in, and which numbers rest on it."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.replaceable import create_view

revision = "0019"
down_revision = "0018"

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
    evaluation.retriable,
    CASE
        WHEN evaluation.status = 'completed' THEN 'full'
        WHEN evaluation.status = 'started' AND evaluation.quick_at IS NOT NULL THEN 'quick'
    END AS tier,
    evaluation.quick_examples,
    evaluation.quick_at,
    evaluation.quick_seconds
FROM evaluation
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
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
    CASE result.tier WHEN 'full' THEN 'evaluated' WHEN 'quick' THEN 'evaluating' ELSE 'failed' END
        AS status,
    result.tier,
    CASE
        WHEN result.tier = 'quick'
            THEN {words} || coalesce(' ' || result.reason, '')
        ELSE result.reason
    END AS reason
FROM result
JOIN evaluation ON evaluation.evaluation_id = result.evaluation_id AND evaluation.current = 1
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
LEFT JOIN suite ON suite.suite_id = result.suite_id
"""

# What is full may have been compared with a quick tier, which then is the one to speak of.
REGRESSIONS = """
SELECT
    regression.run,
    regression.checkpoint_id,
    regression.step,
    regression.against,
    regression.baseline_checkpoint_id,
    regression.baseline_step,
    regression.suite,
    regression.difficulty,
    regression.n,
    regression.clusters,
    {measured},
    regression.to_wrong,
    regression.to_right,
    regression.verdict,
    regression.tier,
    CASE
        WHEN regression.tier = 'quick' AND evaluation.quick_examples IS NOT NULL
            THEN {words} || ' ' || regression.reason
        WHEN regression.tier = 'quick'
            THEN {words_earlier} || ' ' || regression.reason
        ELSE regression.reason
    END AS reason
FROM regression
LEFT JOIN evaluation ON evaluation.evaluation_id = regression.evaluation_id
LEFT JOIN evaluation AS earlier ON earlier.evaluation_id = regression.baseline_evaluation_id
"""

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
    tier,
    reason
FROM ranking
"""


def words(evaluation: str) -> str:
    """The sentence that says what is measured of an evaluation yet."""
    return (
        f"'Quick tier: ' || {evaluation}.quick_examples || ' of ' || {evaluation}.examples "
        "|| ' examples.'"
    )


def upgrade() -> None:
    for table in ("result", "regression", "ranking"):
        op.add_column(table, sa.Column("tier", TEXT))
    op.add_column("evaluation", sa.Column("quick_examples", INTEGER))
    op.add_column("evaluation", sa.Column("quick_at", TEXT))
    op.add_column("evaluation", sa.Column("quick_seconds", REAL_NUMBER))
    op.add_column("evaluation", sa.Column("quick_position", INTEGER))
    measured = ",\n    ".join(f"regression.{name}" for name in _made_by("0017").MEASURED)
    said = {"words": words("evaluation"), "words_earlier": words("earlier")}
    bind = op.get_bind()
    create_view(bind, "evaluations", EVALUATIONS)
    create_view(bind, "results", RESULTS.format(**said))
    create_view(bind, "regressions", REGRESSIONS.format(measured=measured, **said))
    create_view(bind, "rankings", RANKINGS)


def downgrade() -> None:
    bind, evidence = op.get_bind(), _made_by("0017")
    measured = ",\n    ".join(evidence.MEASURED)
    create_view(bind, "evaluations", _made_by("0002").EVALUATIONS)
    create_view(bind, "results", _made_by("0003").RESULTS)
    create_view(bind, "regressions", evidence.REGRESSIONS.format(measured=measured))
    create_view(bind, "rankings", _made_by("0005").RANKINGS)
    for table in ("result", "regression", "ranking"):
        op.drop_column(table, "tier")
    for column in ("quick_examples", "quick_at", "quick_seconds", "quick_position"):
        op.drop_column("evaluation", column)


def _made_by(number: str) -> Any:
    """An earlier migration."""
    script = op.get_context().script
    assert script is not None
    return script.get_revision(number).module
