"""Which predictions of two evaluations are of the same example: what paired tests start from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from views.answers import Answers

NOWHERE = -1


def partners(now: Answers, before: Answers) -> NDArray[np.int64]:
    """For each row of `now` the row of `before` that it is paired with, or NOWHERE.

    A pair has the same suite, by name, the same example and the same sample.
    """
    found = np.full(len(now), NOWHERE, np.int64)
    for name in now.suite.present():
        here = np.flatnonzero(now.suite.are(name))
        there = np.flatnonzero(before.suite.are(name))
        found[here] = _within_suite(now, here, before, there)
    return found


def _within_suite(
    now: Answers, here: NDArray[np.intp], before: Answers, there: NDArray[np.intp]
) -> NDArray[np.int64]:
    ids, ids_before = now.example_id[here], before.example_id[there]
    samples, samples_before = now.sample[here], before.sample[there]
    # Two checkpoints mostly answer the same examples, and then nothing needs to be looked up.
    if np.array_equal(ids, ids_before) and np.array_equal(samples, samples_before):
        return there
    keys_before = zip(ids_before.tolist(), samples_before.tolist(), strict=True)
    place = dict(zip(keys_before, there.tolist(), strict=True))
    keys = zip(ids.tolist(), samples.tolist(), strict=True)
    return np.fromiter((place.get(key, NOWHERE) for key in keys), np.int64, len(here))
