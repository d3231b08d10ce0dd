"""The pages on what to keep and what to trust put the answer first, and say how sure it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from settings import load_workspace
from store.engine import connect, reading
from tests import logs
from tests.app.conftest import Show
from tests.app.story import derive, make_workspace
from tests.logs import Seen
from views import registry
from views.pages import calibration as calibration_page
from views.pages import ranking as ranking_page


def said(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.text]
    return re.sub(r"\\(.)", r"\1", "\n".join(one.value for one in elements))


def make_run(workspace: Path) -> None:
    """Two checkpoints that are alike, and a worse one; all are sure and often wrong."""
    engine = make_workspace(workspace)
    examples = logs.questions("easy", 40, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    for step, right, nll in ((100, 5, 5.0), (200, 24, 1.0), (300, 25, 1.0)):
        seen = [
            (one, Seen(one.target if (k + step) % 40 < right else "no", -0.1, -nll - k % 7))
            for k, one in enumerate(examples)
        ]
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], seen)
    derive(workspace, engine)
    engine.dispose()


def rows(workspace: Path, name: str) -> list[dict[str, Any]]:
    found = load_workspace(workspace)
    engine = connect(found.database_url, read_only=True)
    with reading(engine) as connection:
        view = registry.find(name, registry.views(found.settings))
        shown = view.rows(connection)
    engine.dispose()
    return shown


def test_the_ranking_says_what_to_keep_and_what_cannot_be_told_from_it(
    show: Show, tmp_path: Path
) -> None:
    make_run(tmp_path)
    words = said(show(tmp_path, "ranking"))
    answer = rows(tmp_path, "ranking")[0]["evidence"]
    assert answer.startswith("Keep step 300: best in ")
    assert answer.endswith("step 200 cannot be told from it.")
    assert answer in words
    assert "Circle: may be the best (95 % confidence)." in words


def test_lines_of_places_are_those_of_the_view(tmp_path: Path) -> None:
    make_run(tmp_path)
    ranked = rows(tmp_path, "ranking")
    chart = ranking_page.intervals(ranked).to_dict()
    drawn = chart["datasets"][chart["data"]["name"]]
    assert [(one["low"], one["high"]) for one in drawn] == [
        (row["rank_low"], row["rank_high"]) for row in ranked
    ]
    assert [one["meaning"] for one in drawn] == ["good", "good", "neutral"]


def test_calibration_says_the_smooth_error_with_its_interval(show: Show, tmp_path: Path) -> None:
    make_run(tmp_path)
    words = said(show(tmp_path, "calibration"))
    assert "Step 300 is surer than it is right" in words
    assert re.search(r"Smooth error: \d+ %, 95 % interval \d+–\d+ %; chance alone gives", words)
    assert "How sure, in four ways" in "\n".join(
        one.value for one in show(tmp_path, "calibration").subheader
    )


def test_the_curve_is_drawn_with_its_band_only_where_there_is_one(tmp_path: Path) -> None:
    make_run(tmp_path)
    bins = [row for row in rows(tmp_path, "calibration") if row["accuracy"] is not None]
    curve = rows(tmp_path, "confidences")[0]["curve"]
    chart = calibration_page.reliability(bins, curve).to_dict()
    layers = chart["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["line", "area", "line", "rule", "point"]
    points = chart["datasets"][layers[1]["data"]["name"]]
    assert [one["low"] for one in points] == [point[2] for point in curve]
    without = calibration_page.reliability(bins).to_dict()["layer"]
    assert [layer["mark"]["type"] for layer in without] == ["line", "rule", "point"]
