"""Deriving event by event and deriving all at once end in the same rows."""

from __future__ import annotations

from sqlalchemy import Engine

from store.projections import bring_up_to_date, replay
from tests.views.deriving import eventful, projections_of, settings_with_tests, stored
from views import (
    alerts,
    calibration,
    confidences,
    corrections,
    curriculum,
    data_map,
    hard_examples,
    ranking,
    regression,
    temperature,
    test_results,
)


def test_replay_equals_what_was_derived_step_by_step(engine: Engine) -> None:
    settings = settings_with_tests()
    modules = (
        regression,
        calibration,
        confidences,
        temperature,
        ranking,
        curriculum,
        data_map,
        hard_examples,
        corrections,
        test_results,
        alerts,
    )
    projections = projections_of(*(one.view(settings) for one in modules))
    for happened in eventful(engine):
        assert bring_up_to_date(engine, projections) == [], happened
    step_by_step = stored(engine, projections)
    assert [name for name, rows in step_by_step.items() if not rows] == ["rejected_folder"]
    assert replay(engine, projections) == []
    assert stored(engine, projections) == step_by_step
