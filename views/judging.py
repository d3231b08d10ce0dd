"""The verdicts on one checkpoint against one other: overall, by difficulty, by suite, by both.

Overall is asked first and by itself. The parts are asked together, so each of their p-values is
corrected for the number of parts, loss and accuracy apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from settings import RegressionSettings
from views.answers import Answers
from views.comparison import Compared, Measured, Pairs, comparable, compare, measured
from views.pairing import NOWHERE, partners
from views.ruling import Change, Corrected, alone, enough, rule
from views.scope import Ended
from views.statistics import holm
from views.words import count

ALL = "all"
# A training loss below this many nats a token and no right answer do not go together: on average
# the model gives each token of the training data a probability above 1/e.
LOW_TRAIN_LOSS = 1.0


class Group(NamedTuple):
    """What one verdict is about: a suite, by name, and a difficulty; either may be `all`."""

    suite: str
    difficulty: str


TOTAL = Group(ALL, ALL)


def place(suite: str, difficulty: str) -> str:
    """What to call a group in a sentence."""
    if suite == ALL:
        return "Overall" if difficulty == ALL else difficulty
    return suite if difficulty == ALL else f"{suite}, {difficulty}"


class Subject(NamedTuple):
    """A checkpoint to be judged, by its validation answers.

    `reasons` has the groups in which it was evaluated, and why something is missing in each, or
    None. `cluster` numbers the answers that stand together: those of one example, or of one source.
    """

    ended: Ended
    reasons: Mapping[Group, str | None]
    answers: Answers
    cluster: NDArray[np.int64]
    train_loss: float | None


class Other(NamedTuple):
    """What it is compared with; without one, `missing` says why."""

    ended: Ended | None
    answers: Answers
    missing: str


def judge(one: Subject, other: Other, settings: RegressionSettings) -> dict[Group, Change]:
    """The verdicts, one a group, TOTAL among them."""
    reasons = dict(one.reasons)
    groups = [*reasons, *_margins(reasons), TOTAL]
    if not one.ended.completed:
        return {
            group: Change(0, "FAILED", str(reasons.get(group) or one.ended.reason))
            for group in groups
        }
    if not reasons:
        return {TOTAL: Change(0, "INCONCLUSIVE", "No validation suite was evaluated.")}
    reasons[TOTAL] = "No example of a validation suite was measured."
    found = partners(one.answers, other.answers)
    there = {group: _members(group, one.answers) & measured(one.answers) for group in groups}
    compared: dict[Group, Compared] = {}
    changes: dict[Group, Change] = {}
    for group, rows in there.items():
        if not rows.any():
            reason = reasons.get(group) or "No example was measured."
            changes[group] = Change(0, "FAILED", reason)
        elif other.ended is None:
            changes[group] = alone(one.answers[rows], other.missing)
        elif (pairs := _pairs(one, other, rows & (found != NOWHERE), found)) is None:
            missing = f"None of these examples was measured at step {other.ended.step}."
            changes[group] = alone(one.answers[rows], missing)
        else:
            compared[group] = compare(pairs)
    changes.update(_ruled(compared, settings))
    changes[TOTAL] = _warned(changes[TOTAL], one, there[TOTAL], settings)
    return {group: changes[group] for group in groups}


def clusters(example_id: NDArray[np.bytes_], sources: Mapping[bytes, str]) -> NDArray[np.int64]:
    """Numbers rows by their example's source, or by the example where it has none."""
    keys = example_id
    if sources:
        known = (sources.get(one) for one in example_id.tolist())
        keys = np.array(
            [
                one if source is None else f"source {source}".encode()
                for one, source in zip(example_id.tolist(), known, strict=True)
            ]
        )
    _, numbers = np.unique(keys, return_inverse=True)
    return np.asarray(numbers, np.int64)


def _margins(groups: Iterable[Group]) -> list[Group]:
    """A difficulty over all suites, where several have it, and a suite with several difficulties.

    Any other would say again what a single group says.
    """
    groups = list(groups)
    suites = Counter(group.suite for group in groups)
    difficulties = Counter(group.difficulty for group in groups)
    return [
        *(Group(ALL, name) for name, times in difficulties.items() if times > 1),
        *(Group(name, ALL) for name, times in suites.items() if times > 1),
    ]


def _members(group: Group, answers: Answers) -> NDArray[np.bool_]:
    """The rows of a group; over several suites an example counts once."""
    rows = answers.counts if group.suite == ALL else answers.suite.are(group.suite)
    return rows if group.difficulty == ALL else rows & answers.difficulty.are(group.difficulty)


def _pairs(
    one: Subject, other: Other, rows: NDArray[np.bool_], found: NDArray[np.int64]
) -> Pairs | None:
    """The comparable pairs among `rows`, whose partners are `found`; None if there are none."""
    pairs = Pairs(one.answers[rows], other.answers[found[rows]], one.cluster[rows])
    both = comparable(pairs)
    if not both.any():
        return None
    return pairs if both.all() else pairs.where(both)


def _ruled(compared: Mapping[Group, Compared], settings: RegressionSettings) -> dict[Group, Change]:
    parts = [group for group in compared if group != TOTAL]
    families = [parts, [TOTAL] if TOTAL in compared else []]
    loss: dict[Group, Corrected] = {}
    accuracy: dict[Group, Corrected] = {}
    for family in families:
        loss |= _corrected({group: compared[group].loss for group in family}, settings)
        accuracy |= _corrected({group: compared[group].accuracy for group in family}, settings)
    return {
        group: rule(one, loss.get(group), accuracy.get(group), settings)
        for group, one in compared.items()
    }


def _corrected(
    family: Mapping[Group, Measured | None], settings: RegressionSettings
) -> dict[Group, Corrected]:
    """The corrected p-values of those groups of a family that have enough examples."""
    p_values = {
        group: one.p for group, one in family.items() if one is not None and enough(one, settings)
    }
    adjusted = holm(list(p_values.values()))
    return {group: Corrected(p, len(p_values)) for group, p in zip(p_values, adjusted, strict=True)}


def _warned(
    change: Change, one: Subject, rows: NDArray[np.bool_], settings: RegressionSettings
) -> Change:
    """The change, with a warning where the numbers look like a wrong format, not like a model."""
    answers = one.answers[rows]
    graded = int(answers.graded.sum())
    low = one.train_loss is not None and one.train_loss < LOW_TRAIN_LOSS
    if not low or graded < settings.min_examples or answers.right.any():
        return change
    warning = (
        f"Check the evaluation's format first: the training loss is {one.train_loss:.3g} nats, "
        f"and not one of {count(graded, 'answer')} is right."
    )
    return change._replace(reason=f"{warning} {change.reason}")
