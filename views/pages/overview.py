"""Overview: what changed, and what to do about it; for the second screen."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from views.answers import VALIDATION
from views.pages import alerts, curves, layout, live, verdict, words
from views.pages.curves import ACCURACY, LOSS, Measure
from views.pages.layout import Command
from views.pages.meanings import (
    BADGE_COLORS,
    ICONS,
    MEANINGS,
    Tone,
    meaning_of_difficulty,
    tone_of,
)
from views.pages.reading import Here, Row
from views.pages.verdict import Verdict

ALERTS_SHOWN = 4
METRICS_SHOWN = 4


def render(here: Here) -> None:
    """The page."""
    layout.heading("Overview", "What changed, and what should I do?")
    _standing_still(here)
    checkpoints, regressions = here.rows("checkpoints"), here.rows("regression")
    judged = verdict.judge(checkpoints, regressions, here.rows("ranking"))
    _verdict(here, judged, checkpoints, regressions)
    live.progress(here)
    results = [row for row in here.rows("results") if row["role"] == VALIDATION]
    if results:
        _metrics(results, regressions, checkpoints)
        _curves(results, regressions, checkpoints)
    _alerts(here)


def _standing_still(here: Here) -> None:
    waiting = here.pulse.waiting(here.projections)
    for state in here.pulse.standing_still():
        held = [name for name, failed in waiting.items() if failed == state.name]
        sentence = f"The view {state.name} failed and shows what it last knew."
        if held:
            verb = "waits" if len(held) == 1 else "wait"
            sentence += f" {words.listed(held).capitalize()} {verb} for it."
        layout.callout(
            "bad",
            "Stands still",
            sentence,
            reason=state.error,
            commands=[
                Command(
                    "When its cause is mended, derive it again:",
                    words.command(here.workspace, "replay", state.name),
                )
            ],
        )


def _verdict(
    here: Here, judged: Verdict, checkpoints: Sequence[Row], regressions: Sequence[Row]
) -> None:
    layout.callout(
        judged.tone,
        judged.word,
        judged.sentence,
        reason=judged.reason,
        commands=_next(here, judged, checkpoints, regressions),
        big=True,
        key="verdict",
    )
    earlier = verdict.looking_back(regressions)
    if earlier:
        st.caption(f"{ICONS['bad']} {words.plain(earlier)}")


def _next(
    here: Here, judged: Verdict, checkpoints: Sequence[Row], regressions: Sequence[Row]
) -> list[Command]:
    workspace, keep = here.workspace, judged.keep
    if not regressions:
        return layout.beginning(here, checkpoints)
    if keep is None:
        line = words.command(workspace, "show", "ranking", "--run", regressions[-1]["run"])
        return [Command("Why no checkpoint is ranked:", line)]
    kept = next((row for row in checkpoints if row["checkpoint_id"] == keep["checkpoint_id"]), None)
    found = []
    if kept is not None and kept["status"] != "removed":
        found.append(Command(f"The checkpoint to keep, step {keep['step']}:", kept["path"]))
    advice = [row for row in here.rows("curriculum") if row["step"] == keep["step"]]
    if judged.tone == "good" and advice and advice[-1]["recommended_share"] is not None:
        mix = ", ".join(f"{row['recommended_share']}\u00a0% {row['difficulty']}" for row in advice)
        purpose = f"Train next on {mix}. Why:"
        line = words.command(workspace, "show", "curriculum", "--run", keep["run"])
        found.append(Command(purpose, line))
    elif judged.tone in ("bad", "warning"):
        view = "checkpoints" if judged.word == "FAILED" else "regression"
        line = words.command(workspace, "show", view, "--run", keep["run"])
        found.append(Command("All the numbers behind this:", line))
    return found


def _metrics(
    results: Sequence[Row], regressions: Sequence[Row], checkpoints: Sequence[Row]
) -> None:
    measured = [row for row in results if row["loss"] is not None or row["accuracy"] is not None]
    if not measured:
        return
    newest = measured[-1]
    at_newest = [row for row in measured if row["checkpoint_id"] == newest["checkpoint_id"]]
    at_newest.sort(key=lambda row: MEANINGS.index(meaning_of_difficulty(row["difficulty"])))
    with st.container(horizontal=True):
        for row in at_newest[:METRICS_SHOWN]:
            _metric(row, next((one for one in regressions if _same(one, row)), None))
        _cost(newest, checkpoints)


def _same(one: Row, other: Row) -> bool:
    return all(one[name] == other[name] for name in ("checkpoint_id", "suite", "difficulty"))


def _metric(row: Row, compared: Row | None) -> None:
    """One result of the newest checkpoint, with its change against the step compared with."""
    measure = ACCURACY if row["accuracy"] is not None else LOSS
    change = compared[f"{measure.column}_change"] if compared else None
    say = words.points if measure is ACCURACY else words.signed_percent
    between = words.interval(row["accuracy_low"], row["accuracy_high"])
    st.metric(
        words.plain(f"{'Accuracy' if measure is ACCURACY else 'Loss'}, {row['suite']}"),
        words.percent(row["accuracy"]) if measure is ACCURACY else words.nats(row["loss"]),
        None if change is None else say(change),
        delta_color=BADGE_COLORS[_tone(compared, change, measure)],
        delta_arrow="off" if not change else "up" if change > 0 else "down",
        delta_description=f"since step {compared['baseline_step']}"
        if compared and change is not None
        else None,
        help=(
            f"Step {row['step']}, {row['difficulty']}, from {words.count(row['n'], 'example')}"
            + (f"; 95 % interval {between}." if measure is ACCURACY else ".")
        ),
        border=True,
        height="stretch",
    )


def _tone(compared: Row | None, change: float | None, measure: Measure) -> Tone:
    """The verdict's tone; but what merely stayed within the limits is not good news."""
    tone = tone_of(compared["verdict"] if compared else None)
    gain = change if measure is ACCURACY else -(change or 0.0)
    return "neutral" if tone == "good" and not (gain and gain > 0) else tone


def _cost(newest: Row, checkpoints: Sequence[Row]) -> None:
    row = next(
        (row for row in checkpoints if row["checkpoint_id"] == newest["checkpoint_id"]), None
    )
    if row is None:
        return
    st.metric(
        f"Evaluation of step {row['step']}",
        words.seconds(row["seconds"]),
        delta=words.size(row["peak_bytes"]),
        delta_color="off",
        delta_arrow="off",
        delta_description="peak memory",
        help=f"{words.count(row['scored'] or 0, 'example')} in one load of the model.",
        border=True,
        height="stretch",
    )


def _curves(results: Sequence[Row], regressions: Sequence[Row], checkpoints: Sequence[Row]) -> None:
    failed = [row for row in checkpoints if row["status"] == "failed"]
    left, right = st.columns(2, gap="medium")
    for place, title, measure in ((left, "Loss", LOSS), (right, "Accuracy", ACCURACY)):
        with place:
            _curve(title, measure, results, regressions, failed)


def _curve(
    title: str,
    measure: Measure,
    results: Sequence[Row],
    regressions: Sequence[Row],
    failed: Sequence[Row],
) -> None:
    layout.section(f"{title} by difficulty")
    rows = curves.curve_rows(results, regressions, measure)
    if all(row["value"] is None for row in rows):
        reasons = [row["reason"] for row in results if row["reason"]]
        layout.callout(
            "neutral",
            "Not measured",
            f"No {title.lower()} yet.",
            reason=reasons[-1] if reasons else None,
        )
        return
    layout.draw(
        curves.curves(rows, failed, measure),
        key=f"overview-{measure.column}",
        alternative=f"{title} of each suite over training steps.",
    )
    st.caption(curves.legend_text(rows, failed))


def _alerts(here: Here) -> None:
    found = alerts.of_run(here)
    if not found:
        return
    layout.section("Alerts")
    for row in found[:ALERTS_SHOWN]:
        tone = tone_of(row["severity"])
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            st.badge(alerts.KINDS[row["kind"]], icon=ICONS[tone], color=BADGE_COLORS[tone])
            st.markdown(words.plain(row["title"]), width="content")
            st.caption(words.ago(row["raised_at"]), width="content")
    if len(found) > ALERTS_SHOWN:
        st.caption(f"{len(found) - ALERTS_SHOWN} more on the Alerts page.")
