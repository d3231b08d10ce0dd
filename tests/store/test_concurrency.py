"""Processes that append at once neither lose nor double anything, and readers see no halves.

The 100,000 predictions of `python -m tests.store.crowd` take minutes on a busy machine; here it is
a tenth.
"""

from __future__ import annotations

import pytest

from tests.store import crowd
from tests.store.crowd import Target

PREDICTIONS = 10_000


@pytest.mark.parametrize("target", [crowd.append_to_own, crowd.append_to_shared])
def test_four_writers_and_four_readers_get_along(database_url: str, target: Target) -> None:
    crowded = crowd.crowd(database_url, PREDICTIONS, target)
    print(crowded)
    assert crowded.predictions == PREDICTIONS
    assert crowded.polls > crowd.READERS
