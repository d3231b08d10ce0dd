"""The blocks that every page is made of: heading, callout, command, plain text, a choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import streamlit as st

from errors import DerivedAnew
from views.answers import VALIDATION
from views.pages import words
from views.pages.charts import Chart
from views.pages.meanings import BADGE_COLORS, ICONS, Tone
from views.pages.reading import Here, Row
from views.view import View

NEWEST = "newest"
FAILURES_SHOWN = 3
NARROW = 220
LONG, SCROLLED = 1200, 320

T = TypeVar("T")


class Command(NamedTuple):
    """A line to copy, and what it is for."""

    purpose: str
    line: str


def heading(title: str, question: str) -> None:
    """A page's title, and the question that it answers."""
    with st.container(gap=None):
        st.title(title, anchor=False)
        st.caption(question)


def opening(view: View) -> None:
    """The heading of a view's page."""
    heading(view.title, view.question)


def section(title: str) -> None:
    """The title of a part of a page."""
    st.subheader(title, anchor=False)


def callout(
    tone: Tone,
    word: str,
    sentence: str,
    *,
    reason: str | None = None,
    commands: Sequence[Command] = (),
    big: bool = False,
    key: str | None = None,
) -> None:
    """What is the matter, why, and what to do: a badge, a sentence, plain text, lines to copy."""
    with st.container(border=True, gap="xsmall", key=key):
        with st.container(gap=None):
            st.badge(words.plain(word), icon=ICONS[tone], color=BADGE_COLORS[tone])
            st.markdown(f"{'##' if big else '###'} {words.plain(sentence)}", anchors=False)
        if reason:
            st.text(reason)
        for command in commands:
            offer(command)


def nothing(here: Here, what: str) -> None:
    """In place of a page's chart and table while the run has no rows for it."""
    checkpoints = here.rows("checkpoints")
    states = {row["status"] for row in checkpoints}
    if "evaluating" in states:
        word, sentence = "Soon", f"{what} stands here as soon as an evaluation has ended."
    elif "arrived" in states:
        word, sentence = "Not evaluated yet", f"{what} needs an evaluation."
    elif here.lags or here.pulse.standing_still():
        word, sentence = "Views behind", f"{what} is not derived yet."
    else:
        word, sentence = "Nothing yet", f"No checkpoint is here, and {_lower(what)} needs one."
    callout("neutral", word, sentence, commands=beginning(here, checkpoints))


def lagging(here: Here) -> None:
    """A line above a page whose views lack events; nothing when all hold what the log holds."""
    behind = [lag for lag in here.lags if not lag.anew]
    if behind:
        first = min(behind, key=lambda lag: lag.position)
        st.caption(
            f":orange[{ICONS['warning']} As of event {first.position:,} of {first.newest:,}]: "
            "the views are being derived."
        )


def derived_anew(here: Here, error: DerivedAnew) -> None:
    """In place of a page that would show half-derived numbers."""
    reached = min(lag.position for lag in here.lags)
    newest = max(lag.newest for lag in here.lags)
    callout(
        "warning",
        "Not whole",
        f"The views are being derived anew: {reached:,} of {newest:,} events.",
        reason=f"{error} The numbers stand here again, by themselves, when all events are in.",
        commands=[
            Command("If nothing is at it any more:", words.command(here.workspace, "status"))
        ],
    )


def beginning(here: Here, checkpoints: Sequence[Row]) -> list[Command]:
    """What to run while nothing of a run is evaluated."""
    workspace, states = here.workspace, {row["status"] for row in checkpoints}
    if "evaluating" in states:
        return []
    if "arrived" in states:
        return [Command("Evaluate what waits:", words.command(workspace, "evaluate"))]
    if here.lags or here.pulse.standing_still():
        return [Command("Bring the views up to date:", words.command(workspace, "status"))]
    return [
        Command(
            f"Checkpoints are expected in {workspace.checkpoints}, as RUN/checkpoint-N. Watch, "
            "evaluate and serve this page at once:",
            words.command(workspace, "up"),
        )
    ]


def _lower(what: str) -> str:
    return what[0].lower() + what[1:]


def failures(checkpoints: Sequence[Row]) -> None:
    """Each evaluation that failed, with its reason: the newest few of them."""
    failed = [row for row in checkpoints if row["status"] == "failed"]
    for row in reversed(failed[-FAILURES_SHOWN:]):
        callout(
            "bad",
            "FAILED",
            f"Step {row['step']} has no numbers: its evaluation failed.",
            reason=row["reason"],
        )
    if len(failed) > FAILURES_SHOWN:
        st.caption(f"{len(failed) - FAILURES_SHOWN} more that failed are on the Checkpoints page.")


def facts(pairs: Mapping[str, str | None]) -> None:
    """Small things known of one subject, side by side; what is None is left out."""
    with st.container(horizontal=True, gap="medium"):
        for label, value in pairs.items():
            if value is not None:
                with st.container(width="content", gap=None):
                    st.caption(label)
                    st.text(value)


def texts(pairs: Mapping[str, str | None]) -> None:
    """Texts of prompts and answers as they are: no Markdown, no HTML; side by side.

    Long ones scroll.
    """
    longest = max(len(value or "") for value in pairs.values())
    height: Literal["stretch"] | int = "stretch" if longest < LONG else SCROLLED
    for place, (label, value) in zip(st.columns(len(pairs)), pairs.items(), strict=True):
        with place, st.container(border=True, gap="xxsmall", height=height):
            st.caption(label)
            st.text(value if value is not None else "–")


def offer(command: Command) -> None:
    """A line to copy, with its purpose above it."""
    purpose, line = st.columns([2, 5], vertical_alignment="center", gap="small")
    purpose.caption(words.plain(command.purpose))
    line.code(command.line, language=None, wrap_lines=True)


def draw(chart: Chart, *, key: str, alternative: str) -> None:
    """A chart over the full width; `alternative` is what a screen reader says."""
    st.altair_chart(chart, width="stretch", key=key, alt=alternative)


def pick(label: str, options: Sequence[str], *, key: str, about: str | None = None) -> str | None:
    """One of a few, the first unless another is picked; asks only where there are several."""
    known = list(dict.fromkeys(options))
    if len(known) < 2:
        return known[0] if known else None
    picked = st.segmented_control(
        label, known, default=known[0], required=True, key=key, bind="query-params", help=about
    )
    return picked if picked in known else known[0]


def pick_role(roles: Sequence[str]) -> str | None:
    """One of the suites' roles, validation first."""
    known = sorted(set(roles), key=lambda role: (role != VALIDATION, role))
    about = "validation measures; mining is the pool for new training data"
    return pick("Role of the suites", known, key="role", about=about)


def at_step(rows: Sequence[Row], step: int) -> list[Row]:
    """The rows of one checkpoint at `step`: the last, should a step have several."""
    found = [row for row in rows if row["step"] == step]
    return [row for row in found if row["checkpoint_id"] == found[-1]["checkpoint_id"]]


def choose(
    label: str,
    options: Sequence[T],
    *,
    key: str,
    help: str | None = None,  # noqa: A002 - Streamlit's own word
    width: Literal["stretch"] | int = "stretch",
) -> T:
    """One of `options`, of which the first is the newest; the address remembers another choice.

    While nothing is chosen the answer follows the newest, also when a newer one comes.
    """
    chosen = st.selectbox(
        label,
        [NEWEST, *(str(option) for option in options)],
        format_func=lambda one: f"{NEWEST}: {options[0]}" if one == NEWEST else one,
        key=key,
        bind="query-params",
        help=help,
        width=width,
    )
    return next((option for option in options if str(option) == chosen), options[0])
