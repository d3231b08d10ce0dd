"""The blocks that every page is made of: heading, callout, command, plain text, a choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import streamlit as st

from views.observations import VALIDATION
from views.pages import words
from views.pages.charts import Chart
from views.pages.meanings import BADGE_COLORS, ICONS, Tone
from views.pages.reading import Here, Row
from views.view import View

NEWEST = "newest"
FAILURES_SHOWN = 3
NARROW = 220

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
    workspace, checkpoints = here.workspace, here.rows("checkpoints")
    states = {row["status"] for row in checkpoints}
    if "evaluating" in states:
        callout("neutral", "Soon", f"{what} stands here as soon as an evaluation has ended.")
    elif "arrived" in states:
        start = Command("Evaluate what waits:", words.command(workspace, "evaluate"))
        callout("neutral", "Not evaluated yet", f"{what} needs an evaluation.", commands=[start])
    elif here.behind() or here.pulse.standing_still():
        catch_up = Command("Bring the views up to date:", words.command(workspace, "status"))
        callout("warning", "Views behind", f"{what} is not derived yet.", commands=[catch_up])
    else:
        start = Command(
            f"Checkpoints are expected in {workspace.checkpoints}, as RUN/checkpoint-N. Watch, "
            "evaluate and serve this page at once:",
            words.command(workspace, "up"),
        )
        callout("neutral", "Nothing yet", f"{what} needs a checkpoint.", commands=[start])


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
    """Texts of prompts and answers as they are: no Markdown, no HTML; side by side."""
    for place, (label, value) in zip(st.columns(len(pairs)), pairs.items(), strict=True):
        with place, st.container(border=True, gap="xxsmall", height="stretch"):
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


def choose_role(roles: Sequence[str]) -> str | None:
    """One of the suites' roles; asks only where there are several. None where there is none."""
    known = sorted(set(roles), key=lambda role: (role != VALIDATION, role))
    if len(known) < 2:
        return known[0] if known else None
    return st.segmented_control(
        "Role of the suites",
        known,
        default=known[0],
        required=True,
        key="role",
        bind="query-params",
        help="validation measures; mining is the pool for new training data",
    )


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
