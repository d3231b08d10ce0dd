"""Numbers in sentences are written one way."""

from __future__ import annotations

import pytest

from views.words import percent, signed


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.86, "86 %"),
        (1 / 3, "33.3 %"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.0004, "0.04 %"),
        (0.9996, "99.96 %"),
    ],
)
def test_shares_are_written_as_per_cent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("number", "text"), [(-46.0, "−46"), (58.98, "+59"), (0.42, "+0.4"), (-9.96, "−10.0")]
)
def test_changes_are_written_with_their_sign(number: float, text: str) -> None:
    assert signed(number) == text
