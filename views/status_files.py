"""The status files: one JSON object for each view, for scripts that read files.

`milepost export status` writes them, and docs/status-files.md says what each key holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from views import status_bodies as bodies
from views.status_bodies import Body, Source


class Key(NamedTuple):
    """A key of a file, or of the objects in it.

    `view` names the view whose columns its objects have: those in `only`, or all but those in
    `without`. `inside` are further keys of theirs.
    """

    name: str
    help: str
    view: str = ""
    only: Sequence[str] = ()
    without: Sequence[str] = ()
    inside: Sequence[Key] = ()


@dataclass(frozen=True)
class StatusFile:
    """One file: its name, what it is about, and the views that it is made from.

    `asks` are questions that a script may have, each with the filter for jq that answers it.
    """

    name: str
    about: str
    views: Sequence[str]
    keys: Sequence[Key]
    body: Callable[[Source], Body]
    asks: Sequence[tuple[str, str]]

    def blank(self, reason: str) -> Body:
        """Every key null, where a view cannot be read."""
        return Body({key.name: None for key in self.keys}, reason)


HEAD = (
    Key("milepost", "The version of Milepost that wrote it."),
    Key("generated_at", "When it was written, UTC in ISO 8601."),
    Key("position", "The position in the log up to which it holds (`milepost show events`)."),
    Key("run", "The training run that it tells of; null while there is none."),
    Key("reason", "Why something is missing; null when nothing is."),
)

TOTAL = Key("checkpoints_total", "How many checkpoints of the run are, or are being, evaluated.")
NEWEST = f"of the newest {bodies.NEWEST} checkpoints, by step, the newest last"
SUBJECT = (
    Key("run", "The training run."),
    Key("checkpoint_id", "Digest of the checkpoint's files."),
    Key("step", "The training step at which it was saved."),
)

SYNC = StatusFile(
    "checkpoint_sync.json",
    "What was pulled from the trainer, and which checkpoints are here.",
    ("checkpoints",),
    (
        Key(
            "syncs",
            f"The newest {bodies.NEWEST} syncs of all runs, the newest last.",
            inside=(
                Key("position", "Its place in the log."),
                Key("recorded_at", "When it ended."),
                Key("status", "completed or failed."),
                Key("source", "Where it pulled from."),
                Key("run", "The run of the checkpoint; null if it came to none."),
                Key("name", "The checkpoint's folder; null if it came to none."),
                Key("path", "Where it is now; null if it did not come."),
                Key("files", "How many files came; null if it failed."),
                Key("bytes", "Their size; null if it failed."),
                Key("seconds", "How long it took."),
                Key("rsync_exit_code", "null if it completed, or rsync was not run."),
                Key("reason", "Why nothing came; null if something did."),
            ),
        ),
        Key("syncs_total", "How many syncs the log holds."),
        Key("last_sync", "The last of `syncs`; null if there was none."),
        Key(
            "checkpoints",
            f"The newest {bodies.NEWEST} of the run, the newest last; refused folders, too.",
            view="checkpoints",
        ),
        Key("checkpoints_total", "How many the run has."),
    ),
    bodies.sync,
    (
        ("Did the last sync work?", ".last_sync.status"),
        ("Which checkpoints wait?", '[.checkpoints[] | select(.status == "arrived") | .step]'),
    ),
)

CURRICULUM = StatusFile(
    "curriculum_optimization.json",
    "What the next training data should be made of.",
    ("curriculum",),
    (
        Key(
            "evaluations",
            f"One for each {NEWEST}.",
            inside=(
                *SUBJECT,
                Key(
                    "strategy", "progressive, mixed, hard-focused or adaptive; null without shares."
                ),
                Key("strategies", "The score and the shares of each strategy."),
                Key("reason", "The numbers behind the shares, or why there are none."),
                Key(
                    "difficulties",
                    "By difficulty: easy, medium, hard.",
                    view="curriculum",
                    without=(*bodies.SUBJECT, *bodies.OF_A_MIX, "difficulty"),
                ),
            ),
        ),
        TOTAL,
        Key(
            "recommendation",
            "Of the newest checkpoint in `evaluations`.",
            inside=(
                *SUBJECT,
                Key("strategy", "The one with the highest score; null without shares."),
                Key("reason", "The numbers behind the shares, or why there are none."),
                Key(
                    "easy", "Per cent of the next training data; the three sum to 100, or are null."
                ),
                Key("medium", "The same."),
                Key("hard", "The same."),
            ),
        ),
    ),
    bodies.curriculum,
    (
        ("What mix should be trained on next?", ".recommendation | {easy, medium, hard}"),
        ("Why?", ".recommendation.reason"),
        (
            "How right is the newest one on what is hard?",
            ".evaluations[-1].difficulties.hard.accuracy",
        ),
    ),
)

MINING = StatusFile(
    "adversarial_mining.json",
    "Which examples the run finds hard.",
    ("hard-examples",),
    (
        Key(
            "examples",
            f"By type, the first {bodies.OF_EACH_TYPE} of each.",
            view="hard-examples",
        ),
        Key("counts", "By type, how many there are."),
        Key("examples_total", "How many there are of all types."),
    ),
    bodies.mining,
    (
        ("How many are there of each type?", ".counts"),
        ("What was forgotten?", "[.examples.forgotten[]? | {prompt, target, generated_text}]"),
    ),
)

REGRESSION = StatusFile(
    "regression_monitoring.json",
    "Whether a checkpoint is worse than the one before, or than the pinned one.",
    ("regression",),
    (
        Key(
            "checks",
            f"All {NEWEST}. Of each checkpoint the last one is over all suites, against the one "
            "before. `loss_before` and `accuracy_before` are named `baseline_loss` and "
            "`baseline_accuracy`.",
            view="regression",
        ),
        TOTAL,
        Key(
            "latest",
            "The gravest of `checks` of the newest checkpoint: REGRESSED, FAILED, SUSPECT, "
            "INCONCLUSIVE, OK. A single suite or difficulty comes in with one of the first three.",
        ),
    ),
    bodies.regression,
    (
        ("Is the newest checkpoint worse, over all?", ".checks[-1].verdict"),
        ("Is it worse anywhere?", ".latest | {step, suite, difficulty, verdict, reason}"),
        (
            "Which steps regressed?",
            '[.checks[] | select(.verdict == "REGRESSED") | .step] | unique',
        ),
    ),
)

COMPARISONS = StatusFile(
    "model_comparisons.json",
    "Which checkpoint to keep.",
    ("ranking",),
    (
        Key("rankings", f"The best {bodies.RANKED}, best first.", view="ranking"),
        Key("rankings_total", "How many checkpoints the ranking has."),
        Key("best", "The first of `rankings`; null if none has a rank."),
    ),
    bodies.comparisons,
    (
        ("Which checkpoint is the best?", ".best | {step, score, p_best}"),
        ("Which may be the best?", "[.rankings[] | select(.tie) | .step]"),
    ),
)

CALIBRATION = StatusFile(
    "confidence_calibration.json",
    "Whether the model's confidence can be trusted.",
    ("calibration",),
    (
        Key(
            "evaluations",
            f"One for each {NEWEST}.",
            view="calibration",
            without=("difficulty", *bodies.BIN),
            inside=(
                Key("bins", "By rising confidence.", view="calibration", only=bodies.BIN),
                Key("difficulties", "By difficulty, the same keys without the first three."),
            ),
        ),
        TOTAL,
    ),
    bodies.calibration,
    (
        ("What is the calibration error of the newest one?", ".evaluations[-1].ece"),
        ("Is it over-confident?", ".evaluations[-1] | {verdict, reason}"),
        ("Where is it off?", "[.evaluations[-1].bins[] | {bin_low, n, confidence, accuracy}]"),
    ),
)

TESTING = StatusFile(
    "automated_testing.json",
    "Whether the suites with a threshold pass.",
    ("tests", "failed-examples"),
    (
        Key("results", f"A suite each, {NEWEST}.", view="tests"),
        TOTAL,
        Key(
            "summary",
            "How many suites of the newest checkpoint in `results` have each status.",
            inside=(
                *SUBJECT,
                Key("suites", "All of them."),
                Key("passed", "Those with PASS."),
                Key("failed", "Those with FAIL."),
                Key("not_measured", "Those with FAILED: nothing was measured."),
                Key("untested", "Those with UNTESTED: they have no threshold."),
                Key("reason", "Why nothing was tested; null if something was."),
            ),
        ),
        Key(
            "failed_examples",
            f"The first {bodies.FAILED_EXAMPLES} that the same checkpoint got wrong.",
            view="failed-examples",
        ),
        Key("failed_examples_total", "How many those are in all."),
    ),
    bodies.testing,
    (
        ("How many suites fail?", ".summary.failed"),
        (
            "Which?",
            '.summary.step as $step | [.results[] | select(.step == $step and .status == "FAIL")'
            " | .suite]",
        ),
    ),
)

CORRECTION = StatusFile(
    "self_correction.json",
    "What the newest checkpoint gets wrong, and how often.",
    ("corrections",),
    (
        Key(
            "patterns",
            f"The first {bodies.PATTERNS} of the newest checkpoint: validation first, the most "
            "frequent first.",
            view="corrections",
        ),
        Key("patterns_total", "How many it has."),
    ),
    bodies.corrections,
    (("What are the most frequent errors?", "[.patterns[:3][] | {error_class, n, share}]"),),
)

FILES = (
    SYNC,
    CURRICULUM,
    MINING,
    REGRESSION,
    COMPARISONS,
    CALIBRATION,
    TESTING,
    CORRECTION,
)
