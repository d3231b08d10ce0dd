"""The pages in the order of the navigation. A new page is one more line."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from views.pages import (
    alerts,
    calibration,
    checkpoints,
    corrections,
    curriculum,
    events,
    hard_examples,
    overview,
    ranking,
    regression,
    results,
    tests,
)
from views.pages.reading import Here


class Page(NamedTuple):
    """A page: what it is called, its Material symbol, its place in the address."""

    title: str
    icon: str
    path: str
    render: Callable[[Here], None]


SECTIONS: dict[str, list[Page]] = {
    "Now": [
        Page("Overview", ":material/monitoring:", "overview", overview.render),
        Page("Alerts", ":material/notifications:", "alerts", alerts.render),
        Page("Checkpoints", ":material/deployed_code:", "checkpoints", checkpoints.render),
    ],
    "Better or worse": [
        Page("Results", ":material/show_chart:", "results", results.render),
        Page("Regressions", ":material/trending_down:", "regression", regression.render),
        Page("Ranking", ":material/leaderboard:", "ranking", ranking.render),
        Page("Tests", ":material/rule:", "tests", tests.render),
    ],
    "What it knows": [
        Page("Calibration", ":material/balance:", "calibration", calibration.render),
        Page("Hard examples", ":material/psychology_alt:", "hard-examples", hard_examples.render),
        Page("Corrections", ":material/edit_note:", "corrections", corrections.render),
        Page("Curriculum", ":material/school:", "curriculum", curriculum.render),
    ],
    "Underneath": [
        Page("Log", ":material/list_alt:", "log", events.render),
    ],
}
