"""What a colour means: the same in every chart, table and badge of the dashboard.

The colours themselves stand in .streamlit/config.toml, in this order, once for the light and once
for the dark theme. A colour never stands alone: a word or a shape says the same. `ink` is the
colour of text.
"""

from __future__ import annotations

from typing import Literal, get_args

Meaning = Literal["easy", "medium", "hard", "good", "warning", "bad", "neutral", "ink"]
Tone = Literal["good", "warning", "bad", "neutral"]

MEANINGS: tuple[Meaning, ...] = get_args(Meaning)

TONES: dict[str, Tone] = {
    # verdicts of a comparison
    "OK": "good",
    "SUSPECT": "warning",
    "REGRESSED": "bad",
    "INCONCLUSIVE": "neutral",
    "FAILED": "bad",
    # tests
    "PASS": "good",
    "FAIL": "warning",
    "UNTESTED": "neutral",
    # checkpoints and evaluations
    "evaluated": "good",
    "evaluating": "neutral",
    "arrived": "neutral",
    "failed": "bad",
    "rejected": "bad",
    "removed": "neutral",
    # calibration
    "calibrated": "good",
    "too few to tell": "neutral",
    "over-confident": "warning",
    "under-confident": "warning",
    # alerts
    "critical": "bad",
    "warning": "warning",
    "open": "warning",
    "acknowledged": "neutral",
    "resolved": "good",
}

# What Streamlit calls the colours of the theme, and a shape for those who see none.
BADGE_COLORS: dict[Tone, Literal["green", "orange", "red", "gray"]] = {
    "good": "green",
    "warning": "orange",
    "bad": "red",
    "neutral": "gray",
}
ICONS: dict[Tone, str] = {
    "good": ":material/check_circle:",
    "warning": ":material/warning:",
    "bad": ":material/error:",
    "neutral": ":material/info:",
}


def tone_of(word: str | None) -> Tone:
    """The tone of a verdict or status; neutral for a word that takes no side."""
    return TONES.get(word or "", "neutral")


def meaning_of_difficulty(difficulty: str) -> Meaning:
    """A difficulty's own colour; neutral for all of them together and for one that is not named."""
    return next((one for one in MEANINGS[:3] if one == difficulty), "neutral")
