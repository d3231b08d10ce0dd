"""What the demo promises, judged by the numbers in the views, and its summary table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from sqlalchemy import Connection

from settings import DIFFICULTIES, Settings
from views import registry

FEWEST_CHECKPOINTS = 8


class Claim(NamedTuple):
    """Something that the demo must show, and whether it did."""

    text: str
    holds: bool


class Measured(NamedTuple):
    """One checkpoint as the views have it. Loss in nats a token; None: not measured."""

    step: int
    loss: dict[str, float | None]
    accuracy: dict[str, float | None]
    verdict: str
    reason: str


def measured(connection: Connection, settings: Settings, run: str) -> list[Measured]:
    """What the views say of each checkpoint of a run that is evaluated whole, by step."""
    views = registry.views(settings)
    results = [
        row
        for row in registry.find("results", views).rows(connection, run=run)
        if row["role"] == "validation" and row["status"] == "evaluated"
    ]
    verdicts = {
        row["step"]: row
        for row in registry.find("regression", views).rows(connection, run=run)
        if row["suite"] == row["difficulty"] == "all" and row["against"] == "previous"
    }
    return [
        Measured(
            step=step,
            loss=_by_difficulty(results, step, "loss"),
            accuracy=_by_difficulty(results, step, "accuracy"),
            verdict=verdicts[step]["verdict"],
            reason=verdicts[step]["reason"],
        )
        for step in sorted({row["step"] for row in results} & verdicts.keys())
    ]


def claims(found: Sequence[Measured]) -> list[Claim]:
    """What the demo promises, each with whether the numbers say so.

    The damaged checkpoint is found from the numbers alone: the one that stands as REGRESSED.
    """
    regressed = [index for index, one in enumerate(found) if one.verdict == "REGRESSED"]
    after = [found[index + 1] for index in regressed if index + 1 < len(found)]
    last = found[-1] if found else None
    first = found[0] if found else None
    easy, medium, hard = [last.accuracy[one] if last else None for one in DIFFICULTIES]
    begin = first.accuracy["easy"] if first else None
    return [
        Claim(
            f"{len(found)} checkpoints are evaluated (at least {FEWEST_CHECKPOINTS})",
            len(found) >= FEWEST_CHECKPOINTS,
        ),
        Claim(
            f"easy accuracy rises: {_share(begin)} at the first, {_share(easy)} at the last",
            begin is not None and easy is not None and easy >= begin + 0.2,
        ),
        Claim(
            f"at the last, easy {_share(easy)} > medium {_share(medium)} > hard {_share(hard)}",
            easy is not None and medium is not None and hard is not None and easy > medium > hard,
        ),
        Claim(
            "one checkpoint stands as REGRESSED: "
            + (", ".join(f"step {found[index].step}" for index in regressed) or "none does"),
            len(regressed) == 1,
        ),
        Claim(
            "the checkpoint after it does not: "
            + (", ".join(f"step {one.step} is {one.verdict}" for one in after) or "there is none"),
            bool(after) and all(one.verdict == "OK" for one in after),
        ),
    ]


def line(one: Measured) -> str:
    """One checkpoint in a line."""
    shares = ", ".join(f"{name} {_share(one.accuracy[name])}" for name in DIFFICULTIES)
    return f"step {one.step:>5}: accuracy {shares} · {one.verdict}"


def summary(found: Sequence[Measured]) -> Table:
    """All checkpoints in a table."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("\nstep", justify="right")
    for name in DIFFICULTIES:
        table.add_column(f"{name}\nloss", justify="right")
        table.add_column("\naccuracy", justify="right")
    table.add_column("\nverdict", no_wrap=True)
    for one in found:
        cells = [str(one.step)]
        for name in DIFFICULTIES:
            loss = one.loss[name]
            cells += ["–" if loss is None else f"{loss:.2f}", _share(one.accuracy[name])]
        style = "bold red" if one.verdict == "REGRESSED" else None
        table.add_row(*cells, one.verdict, style=style)
    return table


def reasons(found: Sequence[Measured]) -> list[str]:
    """Why each checkpoint that is not OK is not, a sentence each."""
    return [f"step {one.step}: {one.reason}" for one in found if one.verdict != "OK"]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _by_difficulty(rows: Sequence[dict[str, Any]], step: int, name: str) -> dict[str, float | None]:
    found = {row["difficulty"]: row[name] for row in rows if row["step"] == step}
    return {difficulty: found.get(difficulty) for difficulty in DIFFICULTIES}
