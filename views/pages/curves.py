"""Curves over training steps, one a suite and difficulty, with their intervals and bad news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from views.pages import charts, words
from views.pages.charts import Row
from views.pages.meanings import meaning_of_difficulty
from views.regression import PREVIOUS

# Half the width of a 95 % interval, in standard errors.
Z = 1.96


class Measure(NamedTuple):
    """A column of the results view as a curve: its axis title and how to say a value."""

    column: str
    title: str
    unit: str
    is_share: bool = False


LOSS = Measure("loss", "Loss (nats a token)", "nats")
ACCURACY = Measure("accuracy", "Accuracy (right answers)", "", is_share=True)
MEASURES = {
    "Loss": LOSS,
    "Accuracy": ACCURACY,
    "Token accuracy": Measure("token_accuracy", "Token accuracy (first guesses)", "", True),
    "Bits per byte": Measure("bits_per_byte", "Bits per byte", "bits"),
    "Perplexity": Measure("perplexity", "Perplexity (tokens)", "tokens"),
    "Score": Measure("score", "Score (mean credit)", "", is_share=True),
}


def curve_rows(results: Sequence[Row], regressions: Sequence[Row], measure: Measure) -> list[Row]:
    """The points of the curves: results, with what a person is told of each.

    A result without a number stays in, as null, so that its curve breaks there.
    """
    verdicts = {
        (row["checkpoint_id"], row["suite"], row["difficulty"]): row["verdict"]
        for row in regressions
        if row["against"] == PREVIOUS
    }
    return [
        {
            "step": row["step"],
            "series": f"{row['suite']}, {row['difficulty']}",
            "suite": row["suite"],
            "difficulty": row["difficulty"],
            "meaning": meaning_of_difficulty(row["difficulty"]),
            "value": row[measure.column],
            **_interval(row, measure),
            "said": _said(row, measure),
            "examples": words.count(row["n"], "example"),
            "verdict": verdicts.get(
                (row["checkpoint_id"], row["suite"], row["difficulty"]), "not compared"
            ),
        }
        for row in results
    ]


def curves(rows: Sequence[Row], failed: Sequence[Row], measure: Measure) -> alt.LayerChart:
    """`rows` from `curve_rows`; `failed` has step and reason of failed evaluations."""
    measured = [row for row in rows if row["value"] is not None]
    present = charts.present(measured)
    x = charts.steps_axis([*rows, *failed])
    y = (
        charts.percent_axis("value", measure.title)
        if measure.is_share
        else alt.Y("value:Q", title=measure.title, scale=alt.Scale(nice=True))
    )
    base = alt.Chart(charts.source(rows)).encode(
        x=x, color=charts.color("meaning", legend=present), detail="series:N"
    )
    band = base.mark_area(opacity=0.14, line=False).encode(
        y=alt.Y("low:Q", title=measure.title), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2).encode(y=y)
    points = base.mark_point(filled=True, size=48, opacity=1).encode(
        y=y,
        shape=charts.shape("meaning", legend=present),
        tooltip=charts.tips(
            ("step", "Step"),
            ("suite", "Suite"),
            ("difficulty", "Difficulty"),
            ("said", measure.title.split(" (")[0]),
            ("between", "95 % interval"),
            ("examples", "From"),
            ("verdict", "Against the step before"),
        ),
    )
    worse = [{**row, "meaning": "bad"} for row in measured if row["verdict"] == "REGRESSED"]
    rings = (
        alt.Chart(charts.source(worse))
        .mark_point(filled=False, size=230, strokeWidth=2.5, shape="circle", opacity=1)
        .encode(x=x, y=y, color=charts.color("meaning", legend=present))
    )
    layers: list[alt.Chart | alt.LayerChart] = [band, line]
    if worse:
        layers.append(rings)
    if failed:
        layers.append(charts.failures(failed, x, present))
    return charts.layered(*layers, points, height=charts.HEIGHT)


def legend_text(rows: Sequence[Row], failed: Sequence[Row]) -> str:
    """What the marks mean that no legend of the chart explains; Markdown."""
    parts = ["Shaded: 95 % interval"]
    if any(row["verdict"] == "REGRESSED" for row in rows):
        parts.append(":red[◯ regressed] against the step before")
    if failed:
        parts.append(":red[┊ FAILED]: nothing was measured")
    return " · ".join(parts)


def _interval(row: Row, measure: Measure) -> Row:
    value, low, high = row[measure.column], None, None
    if measure.column == "accuracy":
        low, high = row["accuracy_low"], row["accuracy_high"]
    elif measure.column == "loss" and value is not None and row["loss_se"] is not None:
        low, high = max(0.0, value - Z * row["loss_se"]), value + Z * row["loss_se"]
    if low is None or high is None:
        return {"low": None, "high": None, "between": words.NOT_MEASURED}
    between = words.interval(low, high) if measure.is_share else f"{low:.3f}–{high:.3f} nats"
    return {"low": low, "high": high, "between": between}


def _said(row: Row, measure: Measure) -> str:
    value = row[measure.column]
    if value is None:
        return words.NOT_MEASURED
    return words.percent(value) if measure.is_share else f"{value:.3f} {measure.unit}"
