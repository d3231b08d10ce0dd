"""Horizontal bars that count examples, divided by difficulty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import altair as alt

from views.pages import charts, words
from views.pages.charts import Row
from views.pages.meanings import MEANINGS, meaning_of_difficulty


def stacked(rows: Sequence[Row], title: str, weight: str | None = None) -> alt.LayerChart:
    """`rows` have `name` (a bar, in order of first appearance) and `difficulty`.

    Each row counts once, or as often as its column `weight` says.
    """
    sizes: Counter[tuple[str, str]] = Counter()
    for row in rows:
        sizes[row["name"], row["difficulty"]] += 1 if weight is None else row[weight]
    names = list(dict.fromkeys(row["name"] for row in rows))
    pieces = [
        {
            "name": name,
            "difficulty": difficulty,
            "meaning": meaning_of_difficulty(difficulty),
            "order": MEANINGS.index(meaning_of_difficulty(difficulty)),
            "n": n,
            "said": words.count(n, "example"),
        }
        for (name, difficulty), n in sizes.items()
    ]
    present = charts.present(pieces)
    base = alt.Chart(charts.source(pieces)).encode(
        y=alt.Y("name:N", title=None, sort=names, axis=alt.Axis(labelLimit=170)),
        x=alt.X(
            "n:Q", title=title, stack="zero", axis=alt.Axis(format="d", tickMinStep=1, tickCount=6)
        ),
        order="order:Q",
        color=charts.color("meaning", legend=present),
        tooltip=charts.tips(("name", "Kind"), ("difficulty", "Difficulty"), ("said", "Count")),
    )
    return charts.layered(
        base.mark_bar(height=18), height=charts.AXIS_HEIGHT + charts.LEGEND_HEIGHT + 34 * len(names)
    )
