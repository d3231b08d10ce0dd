"""Temperature: would dividing all logits by one number make the confidences fit?

The temperature T is fitted on one half of the examples, drawn from a seed that their ids make, and
tested on the other half (Guo et al. 2017, On Calibration of Modern Neural Networks). Two things can
be mended with what the log holds:

- choices: T divides the log-probabilities of a question's choices. It is the one with the least log
  score of the chosen options, and exact. The log score and the ECE stand for before and after.
- targets: T divides the logits of every token. It is the one that makes the targets likeliest: the
  negative log-likelihood was measured at the temperatures of [evaluation]. It is smooth and convex
  in 1/T, so between these it is a parabola in 1/T through the lowest one and its two neighbours.
  Where the lowest is the first or the last, no T is told. What the confidence of the written answer
  would be at another temperature is not in the log, and so there is no ECE.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, delete, insert, select

from settings import CalibrationSettings, Settings
from store.projections import Projection
from store.schema import INTEGER, PREDICTION, REAL_NUMBER, TEXT, derived
from store.tuples import fetch
from views.answers import VALIDATION, Answers
from views.blocks import answers_of, ending_of
from views.bootstrap import generator
from views.grading import CHOICE, CHOICE_NORM
from views.reliability import Sure, ece, split
from views.scope import EARLY_CHANGES, SUBJECT, per_evaluation, settings_text
from views.statistics import Interval, ratio_se, t_interval, total
from views.view import Column, View
from views.words import percent

Reals = NDArray[np.float64]
What = Literal["choices", "targets"]
Verdict = Literal["helps", "no difference", "harms", "too few to tell", "not found"]

WHATS: tuple[What, ...] = ("choices", "targets")
# Where a temperature for choices is looked for.
COLDEST, HOTTEST, STEPS = 0.05, 20.0, 61


@dataclass(frozen=True)
class Temperature:
    """The temperature fitted on `n_fit` examples and tested on `n_test` others.

    `nll_before` and `nll_after` are of the test half, in nats: a token's for targets, an answer's
    log score for choices; their difference has the 95 % interval from `low` to `high`.
    """

    what: What
    n_fit: int
    n_test: int
    temperature: float | None = None
    nll_before: float | None = None
    nll_after: float | None = None
    nll_change: float | None = None
    nll_change_low: float | None = None
    nll_change_high: float | None = None
    ece_before: float | None = None
    ece_after: float | None = None
    verdict: Verdict | None = None
    reason: str = ""


TEMPERATURE: Table = derived(
    "temperature",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("what", TEXT, nullable=False),
    SqlColumn("n_fit", INTEGER, nullable=False),
    SqlColumn("n_test", INTEGER, nullable=False),
    SqlColumn("temperature", REAL_NUMBER),
    SqlColumn("nll_before", REAL_NUMBER),
    SqlColumn("nll_after", REAL_NUMBER),
    SqlColumn("nll_change", REAL_NUMBER),
    SqlColumn("nll_change_low", REAL_NUMBER),
    SqlColumn("nll_change_high", REAL_NUMBER),
    SqlColumn("ece_before", REAL_NUMBER),
    SqlColumn("ece_after", REAL_NUMBER),
    SqlColumn("verdict", TEXT),
    SqlColumn("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("evaluation_id", "what"),
)


class Halves(NamedTuple):
    """Rows to fit on, and rows to test on."""

    fit: NDArray[np.intp]
    test: NDArray[np.intp]


def halves(example_ids: Sequence[bytes]) -> Halves:
    """Two halves that the ids alone decide, in whatever order they come."""
    order = sorted(range(len(example_ids)), key=example_ids.__getitem__)
    shuffled = generator(example_ids[row] for row in order).permutation(len(order))
    mixed = np.array(order, np.intp)[shuffled]
    middle = (len(order) + 1) // 2
    return Halves(np.sort(mixed[:middle]), np.sort(mixed[middle:]))


@dataclass(frozen=True)
class Choices:
    """Log-probabilities (n, most options), −∞ where there are fewer; which is chosen, and right."""

    logprobs: Reals
    chosen: NDArray[np.intp]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, logprobs: Sequence[Sequence[float]], answers: Answers) -> Choices:
        """The chosen option is the one whose share is the answer's confidence."""
        padded = np.full((len(logprobs), max(map(len, logprobs))), -np.inf)
        for row, one in enumerate(logprobs):
            padded[row, : len(one)] = one
        shares = np.exp(padded - padded.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        chosen = np.abs(shares - answers.confidence[:, None]).argmin(axis=1)
        return cls(padded, chosen, answers.right)

    def __getitem__(self, rows: NDArray[np.intp]) -> Choices:
        return Choices(self.logprobs[rows], self.chosen[rows], self.right[rows])

    def at(self, temperature: float) -> tuple[Reals, Reals]:
        """ln of the chosen option's share, and of all others' together."""
        scaled = self.logprobs / temperature
        rows = np.arange(len(scaled))
        own, others = scaled[rows, self.chosen], scaled.copy()
        others[rows, self.chosen] = -np.inf
        whole, beside = _log_sums(scaled), _log_sums(others)
        return own - whole, beside - whole

    def log_scores(self, temperature: float) -> Reals:
        """−ln of the share given to what happened, in nats, for each answer."""
        own, others = self.at(temperature)
        return -np.where(self.right, own, others)

    def sure(self, temperature: float) -> Sure:
        """The confidences at this temperature."""
        return Sure(np.minimum(1.0, np.exp(self.at(temperature)[0])), self.right)


def _log_sums(logprobs: Reals) -> Reals:
    """ln of the sum of what each row's numbers are the ln of; one of them is finite."""
    highest = logprobs.max(axis=1)
    return np.asarray(highest + np.log(np.exp(logprobs - highest[:, None]).sum(axis=1)))


def of_choices(
    choices: Choices, ids: Sequence[bytes], settings: CalibrationSettings
) -> Temperature:
    """The temperature of two or more choices a row, over at least one row."""
    fit, test = halves(ids)
    found = Temperature("choices", len(fit), len(test))
    if len(test) < settings.min_examples:
        return _too_few(found, settings)
    best = _likeliest(choices[fit])
    if best is None:
        return replace(
            found,
            verdict="not found",
            reason=f"No temperature between {COLDEST:g} and {HOTTEST:g} is the best on one half.",
        )
    tested = choices[test]
    before, after = tested.log_scores(1.0), tested.log_scores(best)
    errors = [ece(split(tested.sure(one), settings.edges)) for one in (1.0, best)]
    found = _tested(found, best, before, after, np.ones(len(test)))
    return replace(
        found,
        ece_before=errors[0],
        ece_after=errors[1],
        reason=f"{found.reason} The ECE there: {percent(errors[0])} before, {percent(errors[1])} "
        "after.",
    )


def _likeliest(choices: Choices) -> float | None:
    """The temperature with the least log score; None if that is at an end of where it may be."""
    from scipy import optimize

    def score(log_temperature: float) -> float:
        return total(choices.log_scores(float(np.exp(log_temperature))))

    steps = np.linspace(np.log(COLDEST), np.log(HOTTEST), STEPS)
    scores = [score(one) for one in steps]
    best = int(np.argmin(scores))
    if best in (0, STEPS - 1):
        return None
    found = optimize.minimize_scalar(
        score, bounds=(steps[best - 1], steps[best + 1]), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


class Targets(NamedTuple):
    """Negative log-likelihoods (n, temperatures) of targets, in nats, and their tokens (n)."""

    temperatures: tuple[float, ...]
    nll: Reals
    tokens: Reals

    @classmethod
    def of(cls, grids: Sequence[Mapping[str, float]], answers: Answers) -> Targets:
        """At the temperatures that every row has; what was measured without any is 1."""
        common = set.intersection(*({float(one) for one in grid} for grid in grids)) - {1.0}
        rows = [{float(key): value for key, value in grid.items()} for grid in grids]
        known = sorted({1.0, *common}, reverse=True)
        nll = np.array([[-row.get(one, np.nan) for one in known] for row in rows])
        nll[:, known.index(1.0)] = -answers.target_logprob
        return cls(tuple(known), nll, answers.target_tokens.astype(np.float64))


def of_targets(
    targets: Targets, ids: Sequence[bytes], settings: CalibrationSettings
) -> Temperature:
    """The temperature at which targets, of at least one token each, are likeliest."""
    fit, test = halves(ids)
    found = Temperature("targets", len(fit), len(test))
    if len(test) < settings.min_examples:
        return _too_few(found, settings)
    sums = [total(column) for column in targets.nll[fit].T]
    best = int(np.argmin(sums))
    if best in (0, len(sums) - 1):
        edge = targets.temperatures[best]
        return replace(
            found,
            verdict="not found",
            reason=f"On one half T = {edge:g} is the best of those measured and there is none "
            "beyond it: widen [evaluation] temperatures.",
        )
    near = slice(best - 1, best + 2)
    coldness = 1 / np.array(targets.temperatures[near])
    inverse = _vertex(coldness, np.array(sums[near]))
    tested = targets.nll[test]
    after = tested[:, near] @ _weights(coldness, inverse)
    before = tested[:, targets.temperatures.index(1.0)]
    return _tested(found, 1 / inverse, before, after, targets.tokens[test])


def _vertex(x: Reals, y: Reals) -> float:
    """Where the parabola through three points is lowest; the middle one is the lowest of them."""
    left, right = x[1] - x[0], x[2] - x[1]
    down, up = (y[1] - y[0]) / left, (y[2] - y[1]) / right
    bend = (up - down) / (left + right)
    # Three equal points have no lowest place: the middle one is as good as any.
    return float(
        x[1] if bend <= 0.0 else x[1] - (down * right + up * left) / (left + right) / (2 * bend)
    )


def _weights(x: Reals, at: float) -> Reals:
    """What each of three points counts for in the parabola through them (Lagrange)."""
    others = [np.delete(x, place) for place in range(3)]
    return np.array([np.prod((at - one) / (x[k] - one)) for k, one in enumerate(others)])


def _too_few(found: Temperature, settings: CalibrationSettings) -> Temperature:
    needed = settings.min_examples
    reason = f"too few to tell: halves of {found.n_fit} and {found.n_test} {found.what}"
    return replace(found, verdict="too few to tell", reason=f"{reason}, {needed} needed in each")


def _tested(
    found: Temperature, temperature: float, before: Reals, after: Reals, weights: Reals
) -> Temperature:
    """What the temperature does on the other half; each row counts as its weight says."""
    whole = total(weights)
    nll = [total(one) / whole for one in (before, after)]
    change = total(after - before) / whole
    se = ratio_se(after - before, weights)
    interval = Interval(change, change) if se is None else t_interval(change, se, len(weights))
    verdict: Verdict = "no difference"
    if interval.high < 0.0:
        verdict = "helps"
    elif interval.low > 0.0:
        verdict = "harms"
    said = {
        "helps": "better beyond chance",
        "harms": "worse beyond chance",
        "no difference": "no difference beyond chance",
    }[verdict]
    unit = "nats a token" if found.what == "targets" else "nats an answer"
    return replace(
        found,
        temperature=temperature,
        nll_before=nll[0],
        nll_after=nll[1],
        nll_change=change,
        nll_change_low=interval.low,
        nll_change_high=interval.high,
        verdict=verdict,
        reason=f"T = {temperature:.2f}, fitted on {found.n_fit} {found.what}, takes the negative "
        f"log-likelihood of {found.n_test} others from {nll[0]:.3f} to {nll[1]:.3f} {unit}: "
        f"{said}.",
    )


def derive(settings: CalibrationSettings, connection: Connection, evaluation_id: str) -> None:
    """Writes the temperatures of one evaluation anew; of what it has nothing of, none."""
    connection.execute(delete(TEMPERATURE).where(TEMPERATURE.c.evaluation_id == evaluation_id))
    ending = ending_of(connection, evaluation_id, quick=True)
    if ending is None:
        return
    if ending.reason is not None:
        found = [Temperature(one, 0, 0, reason=ending.reason) for one in WHATS]
    else:
        answers = answers_of(connection, evaluation_id).of_role(VALIDATION).once()
        found = _found(connection, evaluation_id, answers, settings)
        if ending.quick is not None:
            words = ending.quick.words
            found = [replace(one, reason=f"{words} {one.reason}") for one in found]
    rows: list[dict[str, Any]] = [{"evaluation_id": evaluation_id, **vars(one)} for one in found]
    if rows:
        connection.execute(insert(TEMPERATURE), rows)


def _found(
    connection: Connection, evaluation_id: str, answers: Answers, settings: CalibrationSettings
) -> list[Temperature]:
    recorded = select(
        PREDICTION.c.example_id,
        PREDICTION.c.sample,
        PREDICTION.c.logprob_at_temperature,
        PREDICTION.c.choice_logprobs,
    ).where(PREDICTION.c.evaluation_id == evaluation_id)
    texts = {(row[0], row[1]): row[2:] for row in fetch(connection, recorded)}
    ids = (one.decode() for one in answers.example_id.tolist())
    keys = list(zip(ids, answers.sample.tolist(), strict=True))
    found = []
    chosen = answers.grader.are(CHOICE) | answers.grader.are(CHOICE_NORM)
    rows = [
        row
        for row in np.flatnonzero(chosen & answers.graded & ~np.isnan(answers.confidence)).tolist()
        if texts[keys[row]][1] is not None
    ]
    logprobs = {row: json.loads(texts[keys[row]][1]) for row in rows}
    rows = [row for row in rows if len(logprobs[row]) > 1]
    if rows:
        here = answers[np.array(rows, np.intp)]
        choices = Choices.of([logprobs[row] for row in rows], here)
        found.append(of_choices(choices, here.example_id.tolist(), settings))
    rows = [
        row
        for row in np.flatnonzero(answers.has_target & (answers.target_tokens > 0)).tolist()
        if texts[keys[row]][0] is not None
    ]
    if rows:
        here = answers[np.array(rows, np.intp)]
        targets = Targets.of([json.loads(texts[keys[row]][0]) for row in rows], here)
        found.append(of_targets(targets, here.example_id.tolist(), settings))
    return found


COLUMNS = (
    *SUBJECT,
    Column("what", "Of", "text", "choices or targets: what the temperature is to mend."),
    Column("temperature", "Temperature", "number", "Below 1 it sharpens, above 1 it softens."),
    Column("n_fit", "Fitted on", "count", "Examples of the half that it was fitted on."),
    Column("n_test", "Tested on", "count", "Examples of the other half, that all else is of."),
    Column("nll_before", "NLL, before", "nats", "A target token's, or a choice's log score."),
    Column("nll_after", "NLL, after", "nats", "The same at the temperature."),
    Column("nll_change", "NLL, change", "nats", "After, less before: below 0 is better."),
    Column("nll_change_low", "NLL change, low", "nats", "Lower end of its 95 % interval."),
    Column("nll_change_high", "NLL change, high", "nats", "Upper end of its 95 % interval."),
    Column("ece_before", "ECE, before", "share", "Of choices: expected calibration error."),
    Column("ece_after", "ECE, after", "share", "The same at the temperature."),
    Column("verdict", "Verdict", "text", "helps, no difference, harms, or why there is none."),
    Column("reason", "Reason", "text", "The numbers behind the verdict, or why there are none."),
)


def view(settings: Settings) -> View:
    """The temperatures of every evaluated checkpoint."""
    return View(
        name="temperature",
        title="Temperature",
        question="Would a temperature mend its confidence?",
        sql_view="temperatures",
        columns=COLUMNS,
        order="run, step, checkpoint_id, what",
        brief=(
            "run",
            "step",
            "what",
            "temperature",
            "nll_before",
            "nll_after",
            "ece_before",
            "ece_after",
            "verdict",
            "reason",
        ),
        projections=(
            Projection(
                name="temperature",
                version=1,
                tables=(TEMPERATURE,),
                listens=EARLY_CHANGES,
                derive=per_evaluation(partial(derive, settings.calibration)),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.calibration),
            ),
        ),
    )
