"""The tallies that verdicts are made of: `grade`, one row a prediction, and `result`.

They are derived for one evaluation at a time, by views.results. Only an evaluation that completed
is graded, or the quick tier of one that goes on; one that failed has results that say so and hold
no number.
"""

from __future__ import annotations

from sqlalchemy import Column, PrimaryKeyConstraint, Table

from store.schema import INTEGER, REAL_NUMBER, TEXT, derived

# `grader` has its version, such as exact@1, and is NULL where the suite's grader is not known.
# `correct` is 1, 0, or NULL for what cannot be graded. `confidence` is the probability of the
# answer given: exp(generated_logprob), or the chosen option's share among the choices.
GRADE: Table = derived(
    "grade",
    Column("evaluation_id", TEXT, nullable=False),
    Column("suite_id", TEXT, nullable=False),
    Column("example_id", TEXT, nullable=False),
    Column("sample", INTEGER, nullable=False),
    Column("grader", TEXT),
    Column("correct", INTEGER),
    Column("score", REAL_NUMBER),
    Column("parsed", TEXT),
    Column("expected", TEXT),
    Column("error_class", TEXT),
    Column("confidence", REAL_NUMBER),
    PrimaryKeyConstraint("evaluation_id", "suite_id", "example_id", "sample"),
    sqlite_with_rowid=False,
)

# `n` counts scored predictions, `n_failed` those with an error in place of a measurement, and
# `n_graded` those that the accuracies are of.
# An example that stands in several suites counts in one of them: `n_elsewhere` rows count in
# another suite than this, and once_* measure the others alone, for means over suites.
# `n_truncated` examples had their prompts cut to fit.
# `reason` says why a number beside it is NULL. `tier` is full or quick, NULL without any number.
RESULT: Table = derived(
    "result",
    Column("evaluation_id", TEXT, nullable=False),
    Column("suite_id", TEXT, nullable=False),
    Column("difficulty", TEXT, nullable=False),
    Column("grader", TEXT),
    Column("n", INTEGER, nullable=False),
    Column("n_failed", INTEGER, nullable=False),
    Column("n_graded", INTEGER, nullable=False),
    Column("loss", REAL_NUMBER),
    Column("perplexity", REAL_NUMBER),
    Column("bits_per_byte", REAL_NUMBER),
    Column("token_accuracy", REAL_NUMBER),
    Column("accuracy", REAL_NUMBER),
    Column("accuracy_low", REAL_NUMBER),
    Column("accuracy_high", REAL_NUMBER),
    Column("score", REAL_NUMBER),
    Column("loss_se", REAL_NUMBER),
    Column("accuracy_se", REAL_NUMBER),
    Column("n_truncated", INTEGER),
    Column("n_elsewhere", INTEGER),
    Column("once_n", INTEGER),
    Column("once_n_graded", INTEGER),
    Column("once_loss", REAL_NUMBER),
    Column("once_accuracy", REAL_NUMBER),
    Column("reason", TEXT),
    Column("tier", TEXT),
    PrimaryKeyConstraint("evaluation_id", "suite_id", "difficulty"),
)
