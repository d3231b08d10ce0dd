"""The colours: each has one meaning everywhere, and the colour-blind can tell them apart."""

from __future__ import annotations

import tomllib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from views.pages.meanings import MEANINGS

Vector = NDArray[np.float64]
CONFIG = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"
THEMES = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"]

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 2009: severity 1.0, in linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])
TOGETHER = [("easy", "medium", "hard"), ("good", "warning", "bad")]


def linear(color: str) -> Vector:
    """#rrggbb in linear RGB."""
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: Vector) -> Vector:
    """CIE L*a*b* of linear RGB."""
    ratio = XYZ @ np.clip(rgb, 0, 1)
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    dark, light = sorted(float(weights @ linear(color)) for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_meaning_has_a_colour_that_stands_out(theme: str) -> None:
    colors = THEMES[theme]["chartCategoricalColors"]
    assert len(colors) == len(MEANINGS)
    assert len(set(colors)) == len(colors)
    for color in colors:
        assert contrast(color, THEMES[theme]["backgroundColor"]) >= 2.95


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_badges_and_text_have_the_colours_of_the_charts(theme: str) -> None:
    colors = dict(zip(MEANINGS, THEMES[theme]["chartCategoricalColors"], strict=True))
    named = {"good": "green", "warning": "orange", "bad": "red", "neutral": "gray"}
    for meaning, color in colors.items():
        if meaning in named:
            assert THEMES[theme][f"{named[meaning]}Color"] == color
    assert THEMES[theme]["textColor"] == colors["ink"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_colours_that_are_seen_together_differ_for_every_eye(theme: str, sight: str) -> None:
    colors = dict(zip(MEANINGS, THEMES[theme]["chartCategoricalColors"], strict=True))
    for group in TOGETHER:
        for one, other in combinations(group, 2):
            seen = [lab(SIGHT[sight] @ linear(colors[name])) for name in (one, other)]
            assert float(np.linalg.norm(seen[0] - seen[1])) > 20, (one, other)
