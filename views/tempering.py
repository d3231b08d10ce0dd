"""Fits one temperature on one half of some examples, and tests it on the other half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from settings import CalibrationSettings
from views.answers import Answers
from views.bootstrap import generator
from views.reliability import Sure, ece, split
from views.statistics import Interval, ratio_se, t_interval, total
from views.words import percent

Reals = NDArray[np.float64]
What = Literal["choices", "targets"]
Verdict = Literal["helps", "no difference", "harms", "too few to tell", "not found"]

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
