"""Regressions: each checkpoint against the one before it, suite by suite."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from views.judging import ALL
from views.pages import layout, tiles, verdict, words
from views.pages.meanings import ICONS, tone_of
from views.pages.reading import Here, Row
from views.pages.table import newest_first, table

COLUMNS = (
    "step", "baseline_step", "suite", "difficulty", "verdict", "loss_change", "accuracy_change",
    "n", "reason",
)  # fmt: skip
TOOLTIPS = (
    ("step", "Step"),
    ("before", "Compared with"),
    ("group", "Suite"),
    ("verdict", "Verdict"),
    ("loss", "Loss"),
    ("accuracy", "Accuracy"),
    ("examples", "From"),
    ("reason", "Why"),
)


def render(here: Here) -> None:
    """The page."""
    view = here.view("regression")
    layout.opening(view)
    rows = here.rows("regression")
    if not rows:
        layout.nothing(here, "The comparison of checkpoints")
        return
    limits = here.workspace.settings.regression
    groups = tiles.easy_first(rows, _group)
    tiled = tile_rows(rows)
    layout.draw(
        tiles.tiles(tiled, groups, TOOLTIPS),
        key="regression",
        alternative="The verdict on each checkpoint and suite, the newest step on top.",
    )
    st.caption(
        f"In a tile: the loss's change, or the verdict. {ICONS['bad']} :red[REGRESSED]: worse by "
        f"more than {100 * limits.loss_increase:g} % of the loss or {100 * limits.accuracy_drop:g} "
        f"points of accuracy, and beyond chance. {ICONS['warning']} :orange[SUSPECT]: one of the "
        f"two. Fewer than {limits.min_examples} examples are INCONCLUSIVE." + _left_out(rows)
    )
    worse = [row for row in rows if row["verdict"] in ("REGRESSED", "FAILED")]
    only_worse = st.toggle(
        f"Only REGRESSED and FAILED ({len(worse)})", key="worse", bind="query-params"
    )
    table(
        view,
        newest_first(worse if only_worse else rows),
        key="regression-table",
        columns=COLUMNS,
        shown={"loss_change": "change", "accuracy_change": "points"},
    )


def tile_rows(rows: Sequence[Row]) -> list[Row]:
    """What each tile says, in words."""
    return [
        {
            "step": row["step"],
            "before": "nothing" if row["baseline_step"] is None else f"{row['baseline_step']}",
            "group": _group(row),
            "verdict": row["verdict"],
            "meaning": tone_of(row["verdict"]),
            "text": _text(row),
            "loss": _pair(words.nats(row["loss_before"]), words.nats(row["loss"])),
            "accuracy": _pair(
                words.percent(row["accuracy_before"]), words.percent(row["accuracy"])
            ),
            "examples": words.count(row["n"], "example"),
            "reason": row["reason"],
        }
        for row in rows
    ]


def _group(row: Row) -> str:
    if row["suite"] == ALL:
        return ALL
    named = verdict.labels([row])[0]
    return row["suite"] if named in row["suite"] else f"{row['suite']}, {row['difficulty']}"


def _text(row: Row) -> str:
    if row["verdict"] == "FAILED":
        return "FAILED"
    if row["loss_change"] is None:
        return "first" if row["baseline_step"] is None else row["verdict"].lower()
    return words.signed_percent(row["loss_change"])


def _pair(before: str, now: str) -> str:
    return now if before == words.NOT_MEASURED else f"{before} → {now}"


def _left_out(rows: Sequence[Row]) -> str:
    steps = len({row["step"] for row in rows})
    hidden = steps - tiles.STEPS_SHOWN
    return f" The {hidden} older steps are in the table." if hidden > 0 else ""
