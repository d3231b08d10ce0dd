"""Processes that append at once neither lose nor double anything, and readers see no halves.

100,000 predictions take from 6 s on two idle cores to 50 s on two busy ones, so one test has them
all and the others a tenth; `python -m tests.store.crowd` appends as many both ways.
"""

from __future__ import annotations

from tests.store import crowd
from tests.store.crowd import Crowded

ALL = 100_000
A_TENTH = ALL // 10


def assert_crowded(crowded: Crowded, predictions: int) -> None:
    print(crowded)
    assert crowded.predictions == predictions
    assert crowded.polls > crowd.READERS


def test_four_evaluators_append_100_000_predictions_while_four_readers_look(
    sqlite_url: str,
) -> None:
    assert_crowded(crowd.crowd(sqlite_url, ALL, crowd.append_to_own), ALL)


def test_four_evaluators_get_along_on_postgresql(postgres_url: str) -> None:
    assert_crowded(crowd.crowd(postgres_url, A_TENTH, crowd.append_to_own), A_TENTH)


def test_writers_that_share_a_stream_retry_until_all_is_in(database_url: str) -> None:
    assert_crowded(crowd.crowd(database_url, A_TENTH, crowd.append_to_shared), A_TENTH)
