"""The lines of the benchmark's table."""

from __future__ import annotations

from benchmarks.report import Bar, Line, heading, line

AT_MOST = Bar(100, "at most")
AT_LEAST = Bar(0.5, "at least")


def words(text: str) -> list[str]:
    return text.split()


def test_a_line_has_its_values_their_growth_the_bar_and_the_verdict() -> None:
    said = words(line(Line("page", [20.0, 50.0], AT_MOST)))
    assert said == ["page", "20", "50", "x", "2.5", "<=", "100", "ok"]


def test_the_bar_is_for_the_largest_size() -> None:
    assert words(line(Line("page", [20.0, 1234.5], AT_MOST)))[-1] == "MISSED"
    assert words(line(Line("page", [1234.5, 20.0], AT_MOST)))[-1] == "ok"


def test_a_value_on_the_bar_reaches_it() -> None:
    assert AT_MOST.holds(100)
    assert AT_LEAST.holds(0.5)
    assert not AT_LEAST.holds(0.49)


def test_a_line_without_a_bar_has_no_verdict() -> None:
    assert words(line(Line("bytes", [650.0, 640.0]))) == ["bytes", "650", "640", "x", "1.0"]


def test_nothing_grows_from_zero() -> None:
    assert words(line(Line("rest", [0.0, 3.0]))) == ["rest", "0", "3"]


def test_a_line_without_values_is_a_title() -> None:
    assert line(Line("pages")) == "pages"


def test_the_columns_of_all_lines_end_at_the_same_place() -> None:
    lines = [heading("a log", ["10", "100"]), line(Line("one", [1, 2])), line(Line("two", [3]))]
    ends = [len(text.split("growth")[0].split("x ")[0].rstrip()) for text in lines]
    assert ends[1:] == [ends[2]] * 2
