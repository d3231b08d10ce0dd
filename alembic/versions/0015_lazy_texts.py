"""The texts of hard examples and corrections are looked up only where they are asked for."""

from alembic import op

from store.dialects import last_user_message
from store.replaceable import create_view

revision = "0015"
down_revision = "0014"

# Subqueries instead of joins: a count, or a row that an offset passes over, then costs no look-up.
# A checkpoint that gave no examples has a row without one.
HARD_EXAMPLES = """
SELECT
    hard.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    hard.rank,
    hard.example_id,
    (SELECT suite.name FROM suite WHERE suite.suite_id = hard.suite_id) AS suite,
    hard.role,
    hard.difficulty,
    hard.skill,
    hard.type,
    {texts},
    hard.correct,
    hard.confidence,
    hard.loss,
    hard.error_class,
    hard.times_right,
    hard.times_seen,
    hard.first_right_step,
    hard.last_right_step,
    hard.reason
FROM hard_example AS hard
JOIN evaluation ON evaluation.evaluation_id = hard.evaluation_id
JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
"""

# A checkpoint that gave no patterns has a row without one.
CORRECTIONS = """
SELECT
    checkpoint.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    pattern.rank,
    pattern.role,
    pattern.difficulty,
    pattern.skill,
    pattern.error_class,
    pattern.n,
    pattern.share,
    pattern.of_examples,
    pattern.example_id,
    {texts},
    pattern.reason
FROM error_pattern AS pattern
JOIN evaluation ON evaluation.evaluation_id = pattern.evaluation_id AND evaluation.current = 1
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
"""

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
            SELECT prediction.generated_text
            FROM prediction
            WHERE prediction.evaluation_id = {row}.evaluation_id
                AND prediction.example_id = {row}.example_id
                AND prediction.sample = {row}.sample
        ),
        (
            SELECT grade.parsed
            FROM grade
            WHERE grade.evaluation_id = {row}.evaluation_id
                AND grade.suite_id = {row}.suite_id
                AND grade.example_id = {row}.example_id
                AND grade.sample = {row}.sample
        )
    ) AS generated_text"""

VIEWS = (("hard_examples", "hard", HARD_EXAMPLES), ("corrections", "pattern", CORRECTIONS))


def upgrade() -> None:
    bind = op.get_bind()
    message = last_user_message(bind.dialect.name, "example.messages")
    for name, row, select in VIEWS:
        texts = TEXTS.format(row=row, message=message)
        create_view(bind, name, select.format(texts=texts))


def downgrade() -> None:
    bind = op.get_bind()
    prompt = last_user_message(bind.dialect.name, "example.messages")
    script = op.get_context().script
    for name, revision_before in (("hard_examples", "0008"), ("corrections", "0009")):
        before = getattr(script.get_revision(revision_before).module, name.upper())
        create_view(bind, name, before.format(prompt=prompt))
