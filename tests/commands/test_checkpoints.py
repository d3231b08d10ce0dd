"""A word names one checkpoint, or is refused with those that it may mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from commands.checkpoints import find
from errors import UsageError
from settings import Settings, Workspace
from store import log
from store.engine import reading
from store.events import CheckpointRemoved
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from tests import logs

PLACE = Workspace(Path("/"), Settings())
FOLDER = "/checkpoints/run/checkpoint-100"


def found(engine: Engine, word: str, run: str | None = None) -> str:
    bring_up_to_date(engine, [LIFECYCLE])
    with reading(engine) as connection:
        return find(connection, PLACE, word, run).checkpoint_id


def two_contents(engine: Engine) -> tuple[str, str]:
    """Two checkpoints from one folder. Their ids rise, should both arrive in one millisecond."""
    first, second = (logs.arrive(engine, 100, content=name) for name in ("b", "a"))
    assert first < second
    return first, second


def remove(engine: Engine, checkpoint_id: str) -> None:
    log.append(
        engine,
        CheckpointRemoved(
            checkpoint_id=checkpoint_id, path=FOLDER, reason="holds another", at=log.now()
        ),
    )


def test_of_two_contents_of_one_step_an_id_says_which(engine: Engine) -> None:
    first, second = two_contents(engine)
    with pytest.raises(UsageError, match=f"{first[:12]}.*{second[:12]}.*: name an id"):
        found(engine, "100")
    assert found(engine, first[:6]) == first


def test_of_two_contents_of_one_step_the_one_that_is_there_is_meant(engine: Engine) -> None:
    first, second = two_contents(engine)
    remove(engine, first)
    assert found(engine, "100") == second
    remove(engine, second)
    with pytest.raises(UsageError, match="name an id"):
        found(engine, "100")


def test_a_folder_that_was_filled_anew_holds_what_came_last(engine: Engine) -> None:
    _, second = two_contents(engine)
    assert found(engine, FOLDER) == second


def test_a_number_is_a_step_before_it_is_an_id(engine: Engine) -> None:
    ids = {logs.arrive(engine, step): step for step in range(1, 60)}
    by_number = {one: step for one, step in ids.items() if one[:6].isdecimal()}
    assert by_number, "no id of these begins with six decimal digits"
    one = next(iter(by_number))
    assert found(engine, one[:6]) == one
    other = logs.arrive(engine, int(one[:6]), run="other")
    assert found(engine, one[:6]) == other
    assert found(engine, one[:6], run="run") == one


def test_before_anything_arrived_watch_is_the_remedy(engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"no checkpoint has arrived yet\. `milepost watch"):
        found(engine, "100")
    with pytest.raises(UsageError, match="No checkpoint has arrived at all"):
        found(engine, "100", run="run")
