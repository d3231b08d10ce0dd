"""Did what was exported to train on help? One callout for each step that it was exported of."""

from __future__ import annotations

from views.effects import HELPED, WORSE
from views.pages import layout, words
from views.pages.meanings import Tone
from views.pages.reading import Here, Row
from views.pages.table import table

EXPORTS_SHOWN = 3
TONES: dict[str, Tone] = {HELPED: "good", WORSE: "bad"}
WHAT = {
    "examples": ("Exported examples", "others that were wrong then"),
    "answers": ("Wrong validation answers of exported patterns", "of other patterns"),
    "patterns": ("Exported patterns in validation", "other patterns"),
}
COLUMNS = (
    "exported_step", "measured", "n_exported", "solved_exported", "n_other", "solved_other",
    "difference", "difference_low", "difference_high", "p", "verdict",
)  # fmt: skip


def helped(here: Here, step: int) -> None:
    """What became, by `step`, of what was exported before; nothing where nothing was."""
    rows = layout.at_step(here.rows("effects", only={"step": (step,)}), step)
    if not rows:
        return
    layout.section("Did what was exported help?")
    steps = sorted({row["exported_step"] for row in rows}, reverse=True)
    for exported in steps[:EXPORTS_SHOWN]:
        found = {row["measured"]: row for row in rows if row["exported_step"] == exported}
        # Validation was not trained on: it says whether more than the examples was learned.
        first = found["answers"]
        layout.callout(
            TONES.get(first["verdict"], "neutral"),
            first["verdict"].capitalize(),
            f"Exported at step {exported}, looked at in step {step}.",
            reason="\n".join(sentence(found[name]) for name in WHAT),
        )
    table(here.view("effects"), rows, key="effects-table", columns=COLUMNS)


def sentence(row: Row) -> str:
    """An effect in words, with its counts, its difference and what can be said of it."""
    exported, others = WHAT[row["measured"]]
    said = (
        f"{exported}: {row['solved_exported']:,} of {row['n_exported']:,} solved; "
        f"{others}: {row['solved_other']:,} of {row['n_other']:,}"
    )
    if row["difference"] is not None:
        low, high = words.points(row["difference_low"]), words.points(row["difference_high"])
        said += f" ({words.points(row['difference'])}, 95 % interval {low} to {high})"
    return f"{said}: {row['verdict']}."
