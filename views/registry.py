"""All views, in the order in which they are derived. A new view is one more line in MODULES."""

from __future__ import annotations

from collections.abc import Sequence

from errors import UsageError
from settings import Settings
from store.lifecycle import LIFECYCLE
from store.projections import Projection
from views import (
    alerts,
    calibration,
    checkpoints,
    confidences,
    corrections,
    curriculum,
    data_map,
    effects,
    failed_examples,
    flips,
    hard_examples,
    ranking,
    regression,
    results,
    skills,
    temperature,
    test_results,
)
from views.view import View

MODULES = (
    checkpoints,
    results,
    regression,
    flips,
    calibration,
    confidences,
    temperature,
    ranking,
    curriculum,
    skills,
    data_map,
    hard_examples,
    corrections,
    effects,
    test_results,
    failed_examples,
    alerts,
)


def views(settings: Settings) -> list[View]:
    """Every view, by these settings; a view comes after those that it reads from."""
    return [module.view(settings) for module in MODULES]


def projections(settings: Settings) -> list[Projection]:
    """What the runner derives, each after what it reads and once, whatever views are made of it."""
    made = {one.name: one for view in views(settings) for one in view.projections}
    return [LIFECYCLE, *made.values()]


def needed_by(view: View, known: Sequence[Projection]) -> list[Projection]:
    """The projections that a view is made of, and all that they read, in the order of `known`."""
    wanted = {one.name for one in view.projections} or {LIFECYCLE.name}
    for one in reversed(known):
        if one.name in wanted:
            wanted.update(one.reads)
    return [one for one in known if one.name in wanted]


def find(name: str, among: Sequence[View]) -> View:
    """The view that `milepost show NAME` means. Raises UsageError naming the known ones."""
    for view in among:
        if view.name == name:
            return view
    known = ", ".join(view.name for view in among)
    raise UsageError(f"there is no view {name!r}. There are: {known}.")
