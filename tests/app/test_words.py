"""How the dashboard writes numbers, times and names."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from settings import Settings, Workspace
from views.pages import words


def test_a_share_is_per_cent_with_a_decimal_below_ten() -> None:
    assert words.percent(0.86) == "86 %"
    assert words.percent(0.0133) == "1.3 %"
    assert words.percent(0.0) == "0 %"
    assert words.percent(1.0) == "100 %"


@pytest.mark.parametrize(
    "say",
    [words.percent, words.signed_percent, words.points, words.nats, words.seconds, words.size],
)
def test_what_was_not_measured_is_said_in_words(say: object) -> None:
    assert callable(say)
    assert say(None) == "not measured"


def test_an_interval_without_both_ends_was_not_measured() -> None:
    assert words.interval(0.771, 0.929) == "77–93 %"
    assert words.interval(None, 0.9) == "not measured"


def test_a_change_has_its_sign_and_none_when_it_reads_as_zero() -> None:
    assert words.signed_percent(0.59) == "+59 %"
    assert words.signed_percent(-0.038) == "−3.8 %"
    assert words.points(-0.46) == "−46 points"
    assert words.points(0.0004) == "±0 points"


def test_sizes_are_decimal() -> None:
    assert words.size(512_667_648) == "512.7 MB"
    assert words.size(999) == "999 bytes"


def test_durations_turn_into_minutes() -> None:
    assert words.seconds(2.04) == "2.0 s"
    assert words.seconds(150) == "2 min"


def test_times_are_in_words_and_exact() -> None:
    when = "2026-11-24T10:24:57.123Z"
    assert words.ago(when, datetime(2026, 11, 24, 10, 25, 3, tzinfo=UTC)) == "just now"
    assert words.ago(when, datetime(2026, 11, 24, 10, 26, 0, tzinfo=UTC)) == "1 minute ago"
    assert words.ago(when, datetime(2026, 11, 26, 11, 0, 0, tzinfo=UTC)) == "2 days ago"
    assert words.exact(when) == "2026-11-24 10:24:57 UTC"
    assert words.exact(when, "Europe/Berlin") == "2026-11-24 11:24:57 CET"


def test_names_are_listed_as_in_a_sentence() -> None:
    assert words.listed(["easy"]) == "easy"
    assert words.listed(["easy", "medium", "hard"]) == "easy, medium and hard"


@pytest.mark.parametrize(
    "text", ["**bold** _it_ `code`", "# no title", "1. no list", "<b>", "[a](b)", "a | b", "\\*"]
)
def test_markdown_shows_plain_text_as_it_is(text: str) -> None:
    rendered = MarkdownIt().renderInline(words.plain(text))
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert rendered == escaped


def test_a_command_names_the_workspace_however_its_folder_is_called(tmp_path: Path) -> None:
    root = tmp_path / "my runs"
    line = words.command(Workspace(root, Settings()), "show", "ranking")
    assert shlex.split(line) == ["milepost", "show", "ranking", "--workspace", str(root)]
