"""Calibration: can one trust how sure a checkpoint is, and what would mend it?"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from views.calibration import ALL
from views.pages import charts, layout, words
from views.pages.meanings import Meaning, Tone, meaning_of_difficulty, tone_of
from views.pages.reading import Here, Row
from views.pages.table import table

COLUMNS = (
    "step", "difficulty", "verdict", "bin_low", "bin_high", "n", "confidence", "accuracy", "ece",
    "brier", "n_total", "reason",
)  # fmt: skip
KIND_COLUMNS = (
    "kind", "verdict", "n", "confidence", "accuracy", "ece", "smooth_ece", "smooth_ece_low",
    "smooth_ece_high", "smooth_ece_chance", "brier", "reliability", "resolution", "uncertainty",
    "within_bins", "log_score", "reason",
)  # fmt: skip
TONES: dict[str, Tone] = {"helps": "good", "harms": "warning"}
TEMPERATURES = {
    "helps": "mends",
    "no difference": "makes no difference to",
    "harms": "would make worse",
}
OF = {"choices": "the confidence in choices", "targets": "the probabilities of tokens"}
SENTENCES = {
    "calibrated": "is right as often as it is sure",
    "over-confident": "is surer than it is right",
    "under-confident": "is right more often than it is sure",
    "too few to tell": "has too few graded answers to tell",
}


def render(here: Here) -> None:
    """The page."""
    view = here.view("calibration")
    layout.opening(view)
    # What is said of a checkpoint and difficulty stands in each of its bins: the first will do.
    first_bin = (here.workspace.settings.calibration.edges[0], None)
    firsts = here.rows("calibration", only={"bin_low": first_bin})
    if not firsts:
        layout.nothing(here, "Calibration")
        return
    steps = sorted({row["step"] for row in firsts}, reverse=True)
    with st.container(horizontal=True):
        step = layout.choose("Step", steps, key="step", width=layout.NARROW)
        at_step = layout.at_step(here.rows("calibration", only={"step": (step,)}), step)
        names = [row["difficulty"] for row in at_step]
        difficulty = layout.pick("Difficulty", names, key="difficulty")
    chosen = [row for row in at_step if row["difficulty"] == difficulty]
    _verdict(step, chosen)
    checkpoint = {"checkpoint_id": (chosen[0]["checkpoint_id"],)}
    kinds = [
        row for row in here.rows("confidences", only=checkpoint) if row["difficulty"] == difficulty
    ]
    left, right = st.columns(2, gap="medium")
    with left:
        _bins(step, chosen, kinds)
    with right:
        _errors(firsts)
    _temperatures(here.rows("temperature", only=checkpoint))
    if kinds:
        layout.section("How sure, in four ways")
        st.caption(
            "sequence: the probability of the whole answer. mean token: the geometric mean of its "
            "tokens' probabilities. least token: the least of them. token: each token by itself, "
            "up to the first that is not the target's."
        )
        table(here.view("confidences"), kinds, key="confidences-table", columns=KIND_COLUMNS)
    layout.section("Bins")
    table(view, at_step, key="calibration-table", columns=COLUMNS)


def _bins(step: int, chosen: Sequence[Row], kinds: Sequence[Row]) -> None:
    layout.section(f"Step {step}: accuracy by confidence")
    bins = [row for row in chosen if row["accuracy"] is not None]
    if not bins:
        layout.callout("neutral", "No bins", "No answer was graded, so there is nothing to draw.")
        return
    whole = next((row for row in kinds if row["kind"] == "sequence"), None)
    curve = (whole and whole["curve"]) or []
    layout.draw(
        reliability(bins, curve),
        key="reliability",
        alternative="Accuracy against confidence, in bins and as a smooth curve with a 95 % band; "
        "the diagonal is perfect.",
    )
    caption = (
        "On the diagonal, confidence and accuracy agree; below it the checkpoint is too sure. "
        "Marks: bins with 95 % intervals, larger with more answers."
    )
    if curve:
        caption += " Curve: without bins, with its 95 % band."
    if whole and whole["smooth_ece"] is not None:
        between = words.interval(whole["smooth_ece_low"], whole["smooth_ece_high"])
        caption += (
            f" Smooth error: {words.percent(whole['smooth_ece'])}, 95 % interval {between}; chance "
            f"alone gives up to {words.percent(whole['smooth_ece_chance'])}."
        )
    st.caption(caption)


def _temperatures(rows: Sequence[Row]) -> None:
    """What a temperature would mend, one callout each; what cannot be told is left to `show`."""
    for row in rows:
        if row["temperature"] is None:
            continue
        layout.callout(
            TONES.get(row["verdict"], "neutral"),
            "Temperature",
            f"A temperature of {row['temperature']:.2f} {TEMPERATURES[row['verdict']]} "
            f"{OF[row['what']]}.",
            reason=row["reason"],
        )


def _errors(firsts: Sequence[Row]) -> None:
    layout.section("Error over the run")
    errors = [row for row in firsts if row["ece"] is not None]
    if not errors:
        layout.callout("neutral", "Not measured", "No step has enough graded answers.")
        return
    layout.draw(
        error_curve(errors),
        key="ece",
        alternative="The expected calibration error over training steps.",
    )
    st.caption(
        "Expected calibration error: how far confidence and accuracy are apart. 0 % is best."
    )


def _verdict(step: int, chosen: Sequence[Row]) -> None:
    whole = chosen[0]
    if whole["verdict"] is None:
        layout.callout("bad", "FAILED", f"Step {step} has no calibration.", reason=whole["reason"])
        return
    where = "" if whole["difficulty"] == ALL else f" on {whole['difficulty']}"
    sentence = f"Step {step} {SENTENCES[whole['verdict']]}{where}"
    if whole["ece"] is not None:
        sentence += f": off by {100 * whole['ece']:.1f} points on average"
    layout.callout(
        tone_of(whole["verdict"]), whole["verdict"], f"{sentence}.", reason=whole["reason"]
    )


def reliability(
    bins: Sequence[Row], curve: Sequence[tuple[float, float, float, float]] = ()
) -> alt.LayerChart:
    """Accuracy against confidence; a bin's mark grows with its number of answers.

    Points of `curve` are confidence, accuracy, and its low and high end.
    """
    points = [
        {
            "difficulty": row["difficulty"],
            "meaning": meaning_of_difficulty(row["difficulty"]),
            "confidence": row["confidence"],
            "accuracy": row["accuracy"],
            "low": row["accuracy_low"],
            "high": row["accuracy_high"],
            "n": row["n"],
            "sure": words.percent(row["confidence"]),
            "right": words.percent(row["accuracy"]),
            "between": words.interval(row["accuracy_low"], row["accuracy_high"]),
            "answers": words.count(row["n"], "answer"),
        }
        for row in bins
    ]
    y = charts.percent_axis("accuracy", "Accuracy (right answers)")
    base = alt.Chart(charts.source(points)).encode(
        x=alt.X(
            "confidence:Q",
            title="Confidence (probability of the answer)",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format=".0%", tickCount=5, grid=False),
        ),
        color=charts.color("meaning"),
    )
    diagonal = (
        alt.Chart(charts.source([{"at": 0, "meaning": "neutral"}, {"at": 1, "meaning": "neutral"}]))
        .mark_line(strokeDash=[5, 4], strokeWidth=1.5)
        .encode(x="at:Q", y="at:Q", color=charts.color("meaning"))
    )
    bars = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
        y=alt.Y("low:Q", title="Accuracy (right answers)"), y2="high:Q"
    )
    marks = base.mark_point(filled=True, opacity=1).encode(
        y=y,
        shape=charts.shape("meaning"),
        size=alt.Size("n:Q", scale=alt.Scale(range=[40, 320]), legend=None),
        tooltip=charts.tips(
            ("difficulty", "Difficulty"),
            ("sure", "Mean confidence"),
            ("right", "Right"),
            ("between", "95 % interval"),
            ("answers", "From"),
        ),
    )
    drawn = [diagonal, bars, marks]
    if curve:
        drawn[1:1] = _smoothed(curve, meaning_of_difficulty(bins[0]["difficulty"]))
    return charts.layered(*drawn, height=charts.HEIGHT)


def _smoothed(
    curve: Sequence[tuple[float, float, float, float]], meaning: Meaning
) -> list[alt.Chart]:
    points = [
        dict(zip(("confidence", "accuracy", "low", "high"), point, strict=True))
        | {"meaning": meaning}
        for point in curve
    ]
    base = alt.Chart(charts.source(points)).encode(x="confidence:Q", color=charts.color("meaning"))
    band = base.mark_area(opacity=0.15).encode(y="low:Q", y2="high:Q")
    return [band, base.mark_line(strokeWidth=2, opacity=0.7).encode(y="accuracy:Q")]


def error_curve(rows: Sequence[Row]) -> alt.LayerChart:
    """The expected calibration error of each difficulty over steps."""
    points = [
        {
            "step": row["step"],
            "difficulty": row["difficulty"],
            "meaning": meaning_of_difficulty(row["difficulty"]),
            "ece": row["ece"],
            "said": words.percent(row["ece"]),
            "verdict": row["verdict"],
            "answers": words.count(row["n_total"], "answer"),
        }
        for row in rows
    ]
    present = charts.present(points)
    base = alt.Chart(charts.source(points)).encode(
        x=charts.steps_axis(points),
        y=charts.percent_axis("ece", "Expected calibration error", full=False),
        color=charts.color("meaning", legend=present, neutral=ALL),
    )
    marks = base.mark_point(filled=True, size=48, opacity=1).encode(
        shape=charts.shape("meaning", legend=present, neutral=ALL),
        tooltip=charts.tips(
            ("step", "Step"),
            ("difficulty", "Difficulty"),
            ("said", "Error"),
            ("verdict", "Verdict"),
            ("answers", "From"),
        ),
    )
    return charts.layered(base.mark_line(strokeWidth=2), marks, height=charts.HEIGHT)
