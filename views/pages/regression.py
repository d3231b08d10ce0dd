"""Regressions: each checkpoint against the one before it, or the pinned one, suite by suite."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from views.flips import TO_RIGHT, TO_WRONG
from views.judging import ALL
from views.pages import layout, tiles, verdict, words
from views.pages.meanings import ICONS, tone_of
from views.pages.reading import Here, Row
from views.pages.table import PAGE, Shown, newest_first, page_of, table
from views.regression import PINNED, PREVIOUS

COLUMNS = (
    "step", "baseline_step", "suite", "difficulty", "verdict", "loss_change", "accuracy_change",
    "n", "reason",
)  # fmt: skip
CHANGES: dict[str, Shown] = {
    **dict.fromkeys(("loss_change", "loss_low", "loss_high", "loss_detectable"), "change"),
    **dict.fromkeys(
        ("accuracy_change", "accuracy_low", "accuracy_high", "accuracy_detectable"), "points"
    ),
}
TOOLTIPS = (
    ("step", "Step"),
    ("before", "Compared with"),
    ("group", "Suite"),
    ("verdict", "Verdict"),
    ("loss", "Loss"),
    ("accuracy", "Accuracy"),
    ("flipped", "Flipped"),
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
    against = _pick_against(rows)
    rows = [row for row in rows if row["against"] == against]
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
        f"points of accuracy, and beyond what chance does in {limits.checkpoints} checkpoints. "
        f"{ICONS['warning']} :orange[SUSPECT]: beyond a limit, or worse beyond chance. "
        "INCONCLUSIVE: too few examples to exclude a change beyond a limit." + _left_out(rows)
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
        shown=CHANGES,
    )
    _flips(here, against)


def _pick_against(rows: Sequence[Row]) -> str:
    """Which comparison to show; asks only where a baseline is pinned."""
    if all(row["against"] == PREVIOUS for row in rows):
        return PREVIOUS
    about = "previous is the checkpoint before; pinned the one that `milepost pin` names"
    known = [PREVIOUS, PINNED]
    return layout.pick("Compared with", known, key="against", about=about) or PREVIOUS


def _flips(here: Here, against: str) -> None:
    """The answers that changed sides, of the step that is chosen."""
    counts = [
        one for one in here.counts("flips", "step", "against", "flip") if one["against"] == against
    ]
    if not counts:
        return
    st.subheader("Answers that flipped")
    steps = sorted({one["step"] for one in counts}, reverse=True)
    step = st.selectbox("Step", steps, key="flips-step")
    times = {one["flip"]: one["rows"] for one in counts if one["step"] == step}
    to_wrong, to_right = times.get(TO_WRONG, 0), times.get(TO_RIGHT, 0)
    st.caption(f"At step {step}: {to_wrong:,} to wrong, {to_right:,} to right.")
    only = {"step": (step,), "against": (against,)}
    everything = words.command(
        here.workspace, "show", "flips", "--run", str(here.run), "--format", "csv"
    )
    first = page_of(to_wrong + to_right, key="flips-rows", everything=everything)
    table(
        here.view("flips"),
        here.rows("flips", only=only, limit=PAGE, offset=first),
        key="flips-table",
        columns=("flip", "suite", "difficulty", "prompt", "target", "answer_before", "answer"),
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
            "flipped": words.NOT_MEASURED
            if row["to_wrong"] is None
            else f"{row['to_wrong']:,} to wrong, {row['to_right']:,} to right",
            "examples": words.count(row["n"], "example"),
            "reason": row["reason"],
        }
        for row in rows
    ]


def _group(row: Row) -> str:
    if row["suite"] == ALL:
        return ALL if row["difficulty"] == ALL else f"all {row['difficulty']}"
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
