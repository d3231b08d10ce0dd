"""Questions that people ask of their runs, and the SQL that answers each; docs/sql.md shows them.

Plain SQL: each runs on SQLite and on PostgreSQL, but where `sqlite` says that only SQLite has the
function. Steps such as 100 and 200 are examples to be replaced.
"""

from __future__ import annotations

from typing import NamedTuple


class Query(NamedTuple):
    """One question and one SELECT."""

    question: str
    sql: str
    sqlite: str = ""


class Group(NamedTuple):
    """Questions of one kind."""

    title: str
    queries: tuple[Query, ...]


KEEP = Group(
    "Which checkpoint to keep",
    (
        Query(
            "Which checkpoint is the best of each run?",
            """
SELECT run, step, score, loss, accuracy, balance FROM rankings
WHERE rank = 1 ORDER BY run, step
""",
        ),
        Query(
            "Which checkpoints may be the best, and how likely is each?",
            """
SELECT run, step, rank, rank_low, rank_high, p_best, evidence FROM rankings
WHERE tie = 1 ORDER BY run, rank, step
""",
        ),
        Query(
            "Which checkpoints does none beat in loss, accuracy and calibration at once?",
            """
SELECT run, step, loss, accuracy, ece FROM rankings WHERE pareto = 1 ORDER BY run, step
""",
        ),
        Query(
            "How far is the newest checkpoint from the best one?",
            """
SELECT best.run, best.step AS best_step, best.score AS best_score,
    newest.step AS newest_step, newest.score AS newest_score
FROM rankings AS best
JOIN rankings AS newest ON newest.run = best.run
    AND newest.step = (SELECT max(step) FROM rankings AS one WHERE one.run = best.run)
WHERE best.rank = 1
""",
        ),
        Query(
            "Which checkpoint has the lowest loss on each suite?",
            """
SELECT run, suite, difficulty, step, loss, accuracy
FROM (
    SELECT results.*,
        row_number() OVER (PARTITION BY run, suite, difficulty ORDER BY loss, step) AS place
    FROM results
    WHERE loss IS NOT NULL
) AS placed
WHERE place = 1
ORDER BY run, suite, difficulty
""",
        ),
        Query(
            "Which checkpoints have no rank, and why?",
            """
SELECT run, step, reason FROM rankings WHERE rank IS NULL ORDER BY run, step
""",
        ),
        Query(
            "Which folders take room on the disk for the least use?",
            """
SELECT checkpoints.run, checkpoints.step, rankings.rank, checkpoints.bytes, checkpoints.path
FROM checkpoints JOIN rankings ON rankings.checkpoint_id = checkpoints.checkpoint_id
WHERE checkpoints.status <> 'removed' AND rankings.rank > 1
ORDER BY rankings.rank DESC, checkpoints.bytes DESC
""",
        ),
    ),
)

WORSE = Group(
    "Is it getting worse, and where",
    (
        Query(
            "Is the newest checkpoint worse than the one before or the pinned one, and where?",
            """
SELECT run, step, against, baseline_step, suite, difficulty, loss_change, accuracy_change, verdict,
    reason
FROM regressions
WHERE step = (SELECT max(step) FROM regressions AS one WHERE one.run = regressions.run)
ORDER BY run, against DESC, suite, difficulty
""",
        ),
        Query(
            "On which suite do regressions come most often?",
            """
SELECT run, suite, count(*) AS regressions, min(step) AS first_step, max(step) AS last_step
FROM regressions
WHERE verdict = 'REGRESSED'
GROUP BY run, suite
ORDER BY regressions DESC, run, suite
""",
        ),
        Query(
            "Which falls of the accuracy does chance not explain?",
            """
SELECT run, step, against, suite, difficulty, accuracy_before, accuracy, accuracy_low,
    accuracy_high, accuracy_p_holm, n
FROM regressions
WHERE accuracy_change < 0 AND accuracy_p_holm < 0.05
ORDER BY accuracy_change
""",
        ),
        Query(
            "Which comparisons rest on too little to tell?",
            """
SELECT run, step, against, suite, n, accuracy_detectable, reason FROM regressions
WHERE verdict IN ('INCONCLUSIVE', 'FAILED') ORDER BY run, step, against, suite
""",
        ),
        Query(
            "What needs a look in each run, the gravest first?",
            """
SELECT run, severity, count(*) AS alerts, max(raised_at) AS newest FROM alerts
WHERE status = 'open'
GROUP BY run, severity ORDER BY severity, alerts DESC
""",
        ),
    ),
)

BETWEEN = Group(
    "What changed between two checkpoints",
    (
        Query(
            "Which examples were right at step 100 and are wrong at step 200?",
            """
SELECT a.suite, a.prompt, a.target, a.generated_text AS answer_at_100,
    b.generated_text AS answer_at_200, b.error_class
FROM predictions AS a
JOIN predictions AS b USING (run, suite, example_id, sample)
WHERE a.step = 100 AND b.step = 200 AND a.correct = 1 AND b.correct = 0
ORDER BY a.suite, a.line
""",
        ),
        Query(
            "Which were wrong at step 100 and are right at step 200?",
            """
SELECT a.suite, a.prompt, a.target, a.generated_text AS answer_at_100
FROM predictions AS a
JOIN predictions AS b USING (run, suite, example_id, sample)
WHERE a.step = 100 AND b.step = 200 AND a.correct = 0 AND b.correct = 1
ORDER BY a.suite, a.line
""",
        ),
        Query(
            "How many changed sides, each way, suite by suite?",
            """
SELECT run, a.suite,
    sum(CASE WHEN a.correct = 0 AND b.correct = 1 THEN 1 ELSE 0 END) AS learned,
    sum(CASE WHEN a.correct = 1 AND b.correct = 0 THEN 1 ELSE 0 END) AS lost,
    count(*) AS compared
FROM predictions AS a
JOIN predictions AS b USING (run, suite, example_id, sample)
WHERE a.step = 100 AND b.step = 200 AND a.correct IS NOT NULL AND b.correct IS NOT NULL
GROUP BY run, a.suite
ORDER BY run, a.suite
""",
        ),
        Query(
            "Where did the loss of single examples grow the most?",
            """
SELECT a.suite, a.prompt, a.target, a.loss AS loss_at_100, b.loss AS loss_at_200
FROM predictions AS a
JOIN predictions AS b USING (run, suite, example_id, sample)
WHERE a.step = 100 AND b.step = 200 AND b.loss > a.loss
ORDER BY b.loss - a.loss DESC
LIMIT 20
""",
        ),
        Query(
            "What did both answer where neither was right?",
            """
SELECT a.suite, a.prompt, a.target, a.generated_text AS answer_at_100,
    b.generated_text AS answer_at_200
FROM predictions AS a
JOIN predictions AS b USING (run, suite, example_id, sample)
WHERE a.step = 100 AND b.step = 200 AND a.correct = 0 AND b.correct = 0
ORDER BY a.suite, a.line
LIMIT 20
""",
        ),
    ),
)

EXAMPLES = Group(
    "One example through the whole run",
    (
        Query(
            "How did the examples whose prompt holds a word fare at every step?",
            """
SELECT run, suite, prompt, step, correct, confidence, loss, generated_text
FROM predictions
WHERE prompt LIKE '%question 7%'
ORDER BY run, suite, prompt, step
""",
        ),
        Query(
            "Which examples change sides again and again?",
            """
SELECT run, suite, example_id, sum(changed) AS changes, count(*) AS checkpoints
FROM (
    SELECT run, suite, example_id,
        CASE WHEN correct <> lag(correct) OVER (
            PARTITION BY run, suite, example_id, sample ORDER BY step
        ) THEN 1 ELSE 0 END AS changed
    FROM predictions
    WHERE correct IS NOT NULL
) AS sides
GROUP BY run, suite, example_id
HAVING sum(changed) >= 2
ORDER BY changes DESC, run, suite
LIMIT 20
""",
        ),
        Query(
            "Which examples are never learned?",
            """
SELECT run, suite, prompt, target, generated_text, times_seen FROM hard_examples
WHERE type = 'never_learned' ORDER BY run, suite, rank
""",
        ),
        Query(
            "Which examples have the highest loss, over all checkpoints of a run?",
            """
SELECT run, suite, example_id, avg(loss) AS mean_loss, min(loss) AS best, max(loss) AS worst
FROM predictions
WHERE loss IS NOT NULL
GROUP BY run, suite, example_id
ORDER BY mean_loss DESC
LIMIT 20
""",
        ),
        Query(
            "At which step was each example right for the first time?",
            """
SELECT run, suite, example_id, min(step) AS first_right_step
FROM predictions
WHERE correct = 1
GROUP BY run, suite, example_id
ORDER BY first_right_step, run, suite
""",
        ),
    ),
)

LEARNING = Group(
    "Learning over time",
    (
        Query(
            "How does the loss fall, difficulty by difficulty?",
            """
SELECT run, difficulty, step, avg(loss) AS loss, avg(accuracy) AS accuracy
FROM results
WHERE role = 'validation' AND loss IS NOT NULL
GROUP BY run, difficulty, step
ORDER BY run, difficulty, step
""",
        ),
        Query(
            "Does the loss on the suites follow the training loss?",
            """
SELECT checkpoints.run, checkpoints.step, checkpoints.train_loss, avg(results.loss) AS loss
FROM checkpoints JOIN results ON results.checkpoint_id = checkpoints.checkpoint_id
WHERE results.role = 'validation' AND results.loss IS NOT NULL
GROUP BY checkpoints.run, checkpoints.step, checkpoints.train_loss
ORDER BY checkpoints.run, checkpoints.step
""",
        ),
        Query(
            "How good is the newest checkpoint at each skill?",
            """
SELECT run, step, skill, avg(1.0 * correct) AS accuracy, count(correct) AS graded
FROM predictions
WHERE skill IS NOT NULL
    AND step = (SELECT max(step) FROM results WHERE results.run = predictions.run)
GROUP BY run, step, skill
ORDER BY run, accuracy
""",
        ),
        Query(
            "At which step did each suite first get half of its answers right?",
            """
SELECT run, suite, difficulty, min(step) AS step FROM results
WHERE accuracy >= 0.5 GROUP BY run, suite, difficulty ORDER BY run, step
""",
        ),
        Query(
            "Is the mining pool learned faster than the validation suites?",
            """
SELECT run, step, role, avg(loss) AS loss, avg(accuracy) AS accuracy
FROM results
WHERE loss IS NOT NULL
GROUP BY run, step, role
ORDER BY run, step, role
""",
        ),
        Query(
            "How did the recommended mix of training data move?",
            """
SELECT run, step, difficulty, recommended_share, strategy FROM curriculum
WHERE recommended_share IS NOT NULL ORDER BY run, step, difficulty
""",
        ),
    ),
)

WRONG = Group(
    "What it gets wrong",
    (
        Query(
            "How do the kinds of mistake move over time?",
            """
SELECT run, step, error_class, count(*) AS mistakes
FROM predictions
WHERE error_class IS NOT NULL
GROUP BY run, step, error_class
ORDER BY run, step, mistakes DESC
""",
        ),
        Query(
            "Where is it sure and wrong?",
            """
SELECT run, step, suite, prompt, target, generated_text, confidence
FROM predictions
WHERE correct = 0 AND confidence > 0.9
ORDER BY confidence DESC
LIMIT 20
""",
        ),
        Query(
            "Where is it right and unsure?",
            """
SELECT run, step, suite, prompt, generated_text, confidence
FROM predictions
WHERE correct = 1 AND confidence < 0.5
ORDER BY confidence
LIMIT 20
""",
        ),
        Query(
            "Which bins of confidence promise more than they hold?",
            """
SELECT run, step, difficulty, bin_low, bin_high, n, confidence, accuracy, accuracy_high
FROM calibration
WHERE n > 0 AND confidence > accuracy_high
ORDER BY run, step, difficulty, bin_low
""",
        ),
        Query(
            "Which kind of confidence is off by more than chance gives a calibrated checkpoint?",
            """
SELECT run, step, difficulty, smooth_ece, smooth_ece_chance, verdict, reason
FROM confidences
WHERE kind = 'sequence' AND smooth_ece > smooth_ece_chance
ORDER BY run, step, difficulty
""",
        ),
        Query(
            "Would another temperature make the targets likelier, beyond chance?",
            """
SELECT run, step, what, temperature, nll_before, nll_after, reason
FROM temperatures
WHERE nll_change IS NOT NULL OR verdict = 'too few to tell' OR verdict = 'not found'
ORDER BY run, step, what
""",
        ),
        Query(
            "Does it say the same thing to everything?",
            """
SELECT run, step, suite, generated_text, count(*) AS times
FROM predictions
WHERE generated_text IS NOT NULL
GROUP BY run, step, suite, generated_text
HAVING count(*) >= 5
ORDER BY times DESC
LIMIT 20
""",
        ),
        Query(
            "Which answers are empty?",
            """
SELECT run, step, suite, prompt, target, finish_reason FROM predictions
WHERE generated_text = '' ORDER BY run, step, suite
""",
        ),
        Query(
            "How many answers does the token limit cut?",
            """
SELECT run, step, suite, count(*) AS cut, max(generated_tokens) AS tokens
FROM predictions
WHERE finish_reason = 'length'
GROUP BY run, step, suite
ORDER BY cut DESC
""",
        ),
        Query(
            "Which prompts were too long and lost their beginning?",
            """
SELECT DISTINCT suite, line, prompt_tokens, prompt FROM predictions
WHERE prompt_truncated = 1 ORDER BY prompt_tokens DESC, suite, line
""",
        ),
    ),
)

TESTS = Group(
    "Tests",
    (
        Query(
            "How often does each suite pass?",
            """
SELECT run, suite, count(passed) AS tested, sum(passed) AS passes, max(accuracy) AS best
FROM test_results
WHERE passed IS NOT NULL
GROUP BY run, suite
ORDER BY run, suite
""",
        ),
        Query(
            "When did each suite pass for the last time?",
            """
SELECT run, suite, max(step) AS last_pass FROM test_results
WHERE passed = 1 GROUP BY run, suite ORDER BY run, suite
""",
        ),
        Query(
            "Which suites have no threshold and test nothing?",
            """
SELECT DISTINCT suite FROM test_results WHERE status = 'UNTESTED' ORDER BY suite
""",
        ),
    ),
)

SUITES = Group(
    "The suites themselves",
    (
        Query(
            "Which rows of which suite were refused, and why?",
            """
SELECT name, path, rows_read, examples, refused FROM suite
WHERE refused <> '[]' ORDER BY name
""",
        ),
        Query(
            "How many examples of each difficulty and skill are there?",
            """
SELECT suite.name, suite.role, coalesce(example.difficulty, suite.difficulty) AS difficulty,
    example.skill, count(*) AS examples
FROM example JOIN suite ON suite.suite_id = example.suite_id
GROUP BY suite.name, suite.role, coalesce(example.difficulty, suite.difficulty), example.skill
ORDER BY suite.name, difficulty, example.skill
""",
        ),
        Query(
            "Which validation examples stand in the mining pool too?",
            """
SELECT example.example_id, validation.name AS validation_suite, mining.name AS mining_suite,
    example.target
FROM example
JOIN suite AS validation
    ON validation.suite_id = example.suite_id AND validation.role = 'validation'
JOIN example AS other ON other.example_id = example.example_id
JOIN suite AS mining ON mining.suite_id = other.suite_id AND mining.role = 'mining'
""",
        ),
        Query(
            "Which examples could not be measured, and why?",
            """
SELECT run, step, suite, line, error FROM predictions
WHERE error IS NOT NULL ORDER BY run, step, suite, line
""",
        ),
    ),
)

RUNNING = Group(
    "How the evaluations run",
    (
        Query(
            "Which evaluations were the slowest, and how much memory did they take?",
            """
SELECT run, step, seconds, load_seconds, peak_bytes, device_peak_bytes, device, dtype
FROM evaluations
WHERE status = 'completed'
ORDER BY seconds DESC
LIMIT 10
""",
        ),
        Query(
            "How many tokens a second does each evaluation get through?",
            """
SELECT run, step,
    (prompt_tokens + target_tokens + generated_tokens) / (seconds - load_seconds) AS tokens_a_second
FROM evaluations
WHERE status = 'completed' AND seconds > load_seconds
ORDER BY tokens_a_second
""",
        ),
        Query(
            "What failed, and why?",
            """
SELECT run, step, attempt, status, error, message, retriable FROM evaluations
WHERE status IN ('failed', 'abandoned') ORDER BY finished_at DESC
""",
        ),
        Query(
            "Which folders were refused, and why?",
            """
SELECT run, step, path, reason, arrived_at FROM checkpoints
WHERE status = 'rejected' ORDER BY arrived_at DESC
""",
        ),
        Query(
            "Has each evaluation recorded as many predictions as it promised?",
            """
SELECT run, step, status, examples, scored + failed AS recorded, failed
FROM evaluations
ORDER BY run, step, started_at
""",
        ),
        Query(
            "What did several evaluations of one checkpoint say, side by side?",
            """
SELECT evaluations.run, evaluations.step, evaluations.evaluation_id, evaluations.current,
    evaluations.finished_at, suite.name AS suite, result.difficulty, result.loss, result.accuracy
FROM evaluations
JOIN result ON result.evaluation_id = evaluations.evaluation_id
JOIN suite ON suite.suite_id = result.suite_id
WHERE evaluations.checkpoint_id IN (
    SELECT checkpoint_id FROM evaluations GROUP BY checkpoint_id HAVING count(*) > 1
)
ORDER BY evaluations.run, evaluations.step, suite.name, result.difficulty, evaluations.finished_at
""",
        ),
        Query(
            "How long is it from a checkpoint's arrival to its verdict, in seconds?",
            """
SELECT run, step, (julianday(evaluated_at) - julianday(arrived_at)) * 86400 AS seconds
FROM checkpoints
WHERE evaluated_at IS NOT NULL
ORDER BY seconds DESC
""",
            sqlite="On PostgreSQL: `extract(epoch FROM evaluated_at::timestamptz - "
            "arrived_at::timestamptz)`.",
        ),
        Query(
            "What happened on each day?",
            """
SELECT substr(recorded_at, 1, 10) AS day, type, count(*) AS events
FROM event
GROUP BY substr(recorded_at, 1, 10), type
ORDER BY day, events DESC
""",
        ),
        Query(
            "When did the sync fail, and in which words?",
            """
SELECT recorded_at, stream, payload FROM event
WHERE type = 'SyncFailed' ORDER BY position DESC LIMIT 10
""",
        ),
        Query(
            "How far has each view come, and does one stand still?",
            """
SELECT name, position, error FROM projection ORDER BY position, name
""",
        ),
    ),
)

GROUPS = (KEEP, WORSE, BETWEEN, EXAMPLES, LEARNING, WRONG, TESTS, SUITES, RUNNING)
