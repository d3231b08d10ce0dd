"""Calibration without bins: the smooth ECE, and accuracy as a smooth curve of confidence.

smECE_σ is the integral over t of |mean of K_σ(t, confidence) · (correct − confidence)|, with a
Gaussian kernel K_σ that is reflected at 0 and 1; the smooth ECE is its value at the σ that equals
it (Błasiok and Nakkiran 2023, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing).
No answer near a bin's edge can change it by a jump.

Confidences are taken to the nearest of CELLS, between which a reflected Gaussian is the cosine
transform with its waves damped by exp(−(πkσ)² / 2). The bootstrap (Efron 1979) draws answers anew.
"""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from views.bootstrap import percentiles
from views.reliability import Sure
from views.statistics import Interval

Reals = NDArray[np.float64]

CELLS = 256
RESAMPLES = 200
# As in the paper's own code: the width is halved ten times, and not looked for below this.
HALVINGS = 10
NARROWEST = 0.001
# The curve is smoothed by this, and drawn where so many answers stand behind a point.
WIDTH = 0.05
LEAST_ANSWERS = 5
POINTS = 40


class Point(NamedTuple):
    """The accuracy at a confidence, with its 95 % band; all shares."""

    confidence: float
    accuracy: float
    low: float
    high: float


class Smooth(NamedTuple):
    """The smooth ECE, its 95 % interval, and the curve.

    `chance` is what a calibrated checkpoint stays below in 95 % of cases, with these confidences.
    """

    ece: float
    interval: Interval
    chance: float
    curve: list[Point]

    @property
    def curve_text(self) -> str:
        """The curve as JSON: [confidence, accuracy, low, high] each point."""
        return json.dumps([[round(one, 6) for one in point] for point in self.curve])


class _Masses(NamedTuple):
    """What lies in each cell, as shares of all answers: (rows, CELLS), a row a resample."""

    gaps: Reals
    right: Reals
    all: Reals


def smooth_ece(answers: Sure) -> float:
    """The smooth ECE, 0 to 1, of at least one answer."""
    return float(_fixed_points(_masses(answers).gaps)[0])


def smooth(answers: Sure, random: np.random.Generator) -> Smooth:
    """The smooth ECE of at least one answer, with what the bootstrap says of it.

    The interval has the outer ends of the percentile and the basic bootstrap intervals (Davison and
    Hinkley 1997, sections 5.2 and 5.3): chance makes an error of calibration larger, in the
    resamples once more, and near 0 neither alone covers the truth. It begins at 0 if chance can
    explain the error: draws of who is right with just these confidences (Bröcker and Smith 2007,
    Increasing the Reliability of Reliability Diagrams).
    """
    seen, drawn = _masses(answers), _resampled(answers, random)
    estimate = float(_fixed_points(seen.gaps)[0])
    low, high = percentiles(_fixed_points(drawn.gaps))
    chance = float(np.quantile(_fixed_points(_calibrated(answers, random)), 0.95))
    interval = Interval(
        0.0 if estimate <= chance else max(0.0, min(low, 2 * estimate - high)),
        min(1.0, max(high, 2 * estimate - low)),
    )
    return Smooth(estimate, interval, chance, _curve(seen, drawn, answers.n))


def _calibrated(answers: Sure, random: np.random.Generator) -> Reals:
    """The gaps in each cell, were the answers right with the chance that is their confidence."""
    cells = np.minimum((answers.confidence * CELLS).astype(np.intp), CELLS - 1)
    counts = np.bincount(cells, minlength=CELLS)
    sums = np.bincount(cells, answers.confidence, minlength=CELLS)
    means = np.clip(sums / np.maximum(counts, 1), 0.0, 1.0)
    right = random.binomial(counts, means, size=(RESAMPLES, CELLS))
    return np.asarray((right - sums) / answers.n)


def _categories(answers: Sure) -> tuple[NDArray[np.intp], Reals, Reals]:
    """Answers of one cell and outcome together: 2 · cell + correct, how many, and their gaps."""
    cells = np.minimum((answers.confidence * CELLS).astype(np.intp), CELLS - 1)
    codes = 2 * cells + answers.correct
    counts = np.bincount(codes, minlength=2 * CELLS).astype(np.float64)
    gaps = np.bincount(codes, answers.correct - answers.confidence, minlength=2 * CELLS)
    there = np.flatnonzero(counts)
    return there, counts[there], np.asarray(gaps[there], np.float64)


def _masses(answers: Sure) -> _Masses:
    there, counts, gaps = _categories(answers)
    return _spread(there, counts[None, :], gaps / counts)


def _resampled(answers: Sure, random: np.random.Generator) -> _Masses:
    there, counts, gaps = _categories(answers)
    drawn = random.multinomial(answers.n, counts / counts.sum(), size=RESAMPLES)
    return _spread(there, drawn.astype(np.float64), gaps / counts)


def _spread(there: NDArray[np.intp], counts: Reals, mean_gaps: Reals) -> _Masses:
    shares = np.zeros((len(counts), 2 * CELLS))
    shares[:, there] = counts / counts.sum(axis=1, keepdims=True)
    gaps = np.zeros(2 * CELLS)
    gaps[there] = mean_gaps
    wrong, right = shares[:, 0::2], shares[:, 1::2]
    return _Masses(wrong * gaps[0::2] + right * gaps[1::2], right, wrong + right)


def _damped(waves: Reals, widths: Reals) -> Reals:
    """Masses, given as their cosine waves (rows, CELLS), smoothed by a width each."""
    from scipy import fft

    numbers = np.arange(CELLS)
    damping = np.exp(-((math.pi * widths[:, None] * numbers) ** 2) / 2)
    return np.asarray(fft.idct(waves * damping, axis=1))


def _fixed_points(gaps: Reals) -> Reals:
    """Each row's smooth ECE: its error falls with the width, and meets it once."""
    from scipy import fft

    waves = np.asarray(fft.dct(gaps, axis=1))

    def errors(widths: Reals) -> Reals:
        return np.asarray(np.abs(_damped(waves, widths)).sum(axis=1))

    low, high = np.zeros(len(gaps)), np.ones(len(gaps))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = (middle < NARROWEST) | (middle < errors(middle))
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return errors(high)


def _curve(seen: _Masses, drawn: _Masses, n: int) -> list[Point]:
    """The smoothed accuracy, where enough answers are near."""
    from scipy import fft

    def smoothed(masses: Reals) -> Reals:
        waves = np.asarray(fft.dct(masses, axis=1))
        return _damped(waves, np.full(len(masses), WIDTH))

    density = smoothed(seen.all)[0]
    # So many answers under an even weight would scatter as those under the kernel do.
    behind = n * density * CELLS * 2 * math.sqrt(math.pi) * WIDTH
    places = (np.arange(POINTS) * 2 + 1) * CELLS // (2 * POINTS)
    places = places[behind[places] >= LEAST_ANSWERS]
    accuracy = smoothed(seen.right)[0][places] / density[places]
    counts = smoothed(drawn.all)[:, places]
    # A resample without an answer nearby says nothing there.
    known = np.where(counts > 0.0, counts, np.nan)
    low, high = np.nanquantile(smoothed(drawn.right)[:, places] / known, (0.025, 0.975), axis=0)
    return [
        Point((place + 0.5) / CELLS, *(min(1.0, max(0.0, float(one))) for one in numbers))
        for place, *numbers in zip(places.tolist(), accuracy, low, high, strict=True)
    ]
