"""When a page is drawn again, and what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import Engine

from settings import load_workspace
from store.engine import connect
from store.events import CheckpointArrived, EvaluationCompleted, Event, PredictionsRecorded
from store.projections import Projection, State, stamps
from tests.app.story import SUITES, N, Skill, Story, answers, derive
from tests.logs import arrive, complete, questions, record
from views.pages import reading
from views.pages.reading import Lag, Pulse


@pytest.fixture
def writer(story: Story) -> Iterator[Engine]:
    opened = connect(load_workspace(story.workspace).database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def reader(story: Story) -> Iterator[Engine]:
    opened = connect(load_workspace(story.workspace).database_url, read_only=True)
    yield opened
    opened.dispose()


def test_a_batch_of_predictions_is_no_reason_to_draw_the_page_again(
    story: Story, writer: Engine, reader: Engine
) -> None:
    before = reading.pulse(reader)
    seen = answers({suite: questions(suite, N) for suite in SUITES}, Skill(0, 30, 0))
    record(writer, story.evaluation_id, seen[N : 2 * N], batch="2")
    derive(story.workspace, writer)
    after = reading.pulse(reader)
    assert after.position == before.position + 1
    assert after.mark == before.mark


def test_the_end_of_an_evaluation_is_and_so_are_the_views_that_follow_it(
    story: Story, writer: Engine, reader: Engine
) -> None:
    before = reading.pulse(reader).mark
    complete(writer, story.evaluation_id, story.checkpoint_id, scored=N)
    ended = reading.pulse(reader).mark
    derive(story.workspace, writer)
    derived = reading.pulse(reader).mark
    assert len({before, ended, derived}) == 3


def test_the_evaluation_under_way_is_counted(story: Story, writer: Engine, reader: Engine) -> None:
    (one,) = reading.running(reader)
    assert (one.run, one.step, one.recorded, one.examples) == ("second", 720, N, 3 * N)
    complete(writer, story.evaluation_id, story.checkpoint_id, scored=N)
    derive(story.workspace, writer)
    assert reading.running(reader) == []


def test_the_run_with_the_newest_arrival_comes_first(
    story: Story, writer: Engine, reader: Engine
) -> None:
    assert reading.runs(reader) == ("second", "first")
    arrive(writer, 400, run="first")
    derive(story.workspace, writer)
    assert reading.runs(reader) == ("first", "second")


def test_a_new_file_of_the_same_name_is_opened_anew(story: Story, tmp_path: Path) -> None:
    url = load_workspace(story.workspace).database_url
    file = story.workspace / "milepost.db"
    before = reading.file_number(url)
    first = reading.engine(url, before)
    assert reading.engine(url, before) is first
    copy = tmp_path / "copy.db"
    copy.write_bytes(file.read_bytes())
    copy.replace(file)
    assert reading.file_number(url) != before
    assert reading.engine(url, reading.file_number(url)) is not first
    st.cache_resource.clear()


def projection(name: str, *listens: type[Event], reads: tuple[str, ...] = ()) -> Projection:
    return Projection(name, 1, (), frozenset(listens), lambda _connection, _events: None, reads)


ARRIVALS = projection("arrivals", CheckpointArrived)
ENDS = projection("ends", PredictionsRecorded, EvaluationCompleted, reads=("arrivals",))
BEST = projection("best", EvaluationCompleted, reads=("ends",))
ALL = (ARRIVALS, ENDS, BEST)
NO_ERRORS: Mapping[str, str] = {}


def pulse(
    arrivals: int | None, ends: int | None, best: int | None, errors: Mapping[str, str] = NO_ERRORS
) -> Pulse:
    """An arrival stands at 4, the end of an evaluation at 7, a batch of predictions at 9."""
    wanted = stamps(ALL)
    reached = {"arrivals": arrivals, "ends": ends, "best": best}
    newest = (("CheckpointArrived", 4), ("EvaluationCompleted", 7), ("PredictionsRecorded", 9))
    states = (
        State(name, 1, wanted[name], position, errors.get(name))
        for name, position in reached.items()
        if position is not None
    )
    return Pulse(9, newest, tuple(states))


def test_a_view_is_not_behind_for_events_that_it_does_not_listen_to() -> None:
    assert pulse(arrivals=4, ends=9, best=7).lags(ALL) == []


def test_a_batch_of_predictions_leaves_no_view_behind() -> None:
    assert pulse(arrivals=4, ends=7, best=7).lags(ALL) == []


def test_a_view_that_lacks_an_event_says_how_far_it_is() -> None:
    assert pulse(arrivals=4, ends=5, best=7).lags(ALL) == [Lag("ends", 5, 7, anew=False)]


def test_a_view_that_is_to_be_derived_from_the_beginning_holds_no_event() -> None:
    assert pulse(arrivals=4, ends=None, best=7).lags(ALL) == [Lag("ends", 0, 7, anew=True)]
    other_settings = State("ends", 1, "another stamp", 7, None)
    changed = pulse(arrivals=4, ends=None, best=7)
    changed = changed._replace(states=(*changed.states, other_settings))
    assert changed.lags(ALL) == [Lag("ends", 0, 7, anew=True)]


def test_nothing_lacks_events_in_an_empty_log() -> None:
    assert Pulse(0, (), ()).lags(ALL) == []


def test_what_reads_from_a_view_that_stands_still_waits_and_is_not_called_behind() -> None:
    stopped = pulse(arrivals=4, ends=5, best=None, errors={"ends": "ValueError: on purpose"})
    assert stopped.waiting(ALL) == {"best": "ends"}
    assert stopped.lags(ALL) == []


def test_there_is_no_number_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert reading.file_number(f"sqlite:///{tmp_path}/none.db") is None
