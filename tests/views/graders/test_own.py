"""A user's own graders: from a file to grades, and everything that can be wrong with either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from errors import SettingsError
from settings import Settings, parse
from store.lifecycle import LIFECYCLE
from store.projections import Projection, bring_up_to_date, replay
from tests import logs
from tests.logs import Seen
from views import results
from views.grading import NOT_GRADED, Grade, Own, grade, resolve

NAME = "python:graders.units:grade"
TOML = f'[[suite]]\nname = "easy"\npath = "easy.jsonl"\ngrader = "{NAME}"\n'
# A length with its unit: right to a centimetre, half right to a metre.
UNITS = """
import re

METRES = {"m": 1.0, "cm": 0.01, "km": 1000.0}


def grade(generated, target):
    found, expected = length(generated), length(target)
    if expected is None:
        return None
    if found is None:
        return 0.0, None, "wrong_type"
    off = abs(found - expected)
    return 1.0 if off < 0.01 else 0.5 if off < 1 else 0.0, f"{found:g} m", None


def length(text):
    found = re.search(r"([0-9.]+) ?(km|cm|m)", text)
    return float(found[1]) * METRES[found[2]] if found else None
"""


@pytest.fixture
def graders(tmp_path: Path) -> Callable[[str], Settings]:
    """Reads a workspace whose grader has the given source."""

    def write(source: str) -> Settings:
        file = tmp_path / "graders" / "units.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(source, encoding="utf-8")
        return parse(TOML, tmp_path / "milepost.toml")

    return write


@pytest.fixture
def own(graders: Callable[[str], Settings]) -> Callable[[str], Own]:
    return lambda source: graders(source).own_graders


def test_a_function_in_the_workspace_grades(own: Callable[[str], Own]) -> None:
    units = own(UNITS)
    assert grade(NAME, "about 200 cm", "2 m", own=units) == Grade(True, 1.0, "2 m", "2 m", None)
    half = grade(NAME, "<think>1 km?</think>2.5 m", "2 m", own=units)
    assert half == Grade(False, 0.5, "2.5 m", "2 m", "wrong_answer")
    none = grade(NAME, "far", "2 m", own=units)
    assert none == Grade(False, 0.0, None, "2 m", "wrong_type")
    assert grade(NAME, "2 m", "far", own=units) == NOT_GRADED


@pytest.mark.parametrize(
    ("returned", "score"), [("True", 1.0), ("False", 0.0), ("1", 1.0), ("0.25", 0.25)]
)
def test_a_number_or_a_truth_is_the_score(
    own: Callable[[str], Own], returned: str, score: float
) -> None:
    found = grade(NAME, "a", "b", own=own(f"def grade(generated, target): return {returned}"))
    assert (found.score, found.correct) == (score, score == 1.0)


def test_a_wrong_answer_gets_its_mistake_as_from_any_grader(own: Callable[[str], Own]) -> None:
    always = own("def grade(generated, target): return 0")
    assert grade(NAME, "Paris.", "paris", own=always).error_class == "format_only"
    assert grade(NAME, " ", "paris", own=always).error_class == "empty"
    assert grade(NAME, "Lon", "paris", own=always, truncated=True).error_class == "truncated"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1 / 0", "ZeroDivisionError: division by zero (graders/units.py, line 2)"),
        ("raise SystemExit(3)", "SystemExit: 3 (graders/units.py, line 2)"),
        ("return grade(generated, target)", "RecursionError: maximum recursion depth exceeded"),
        ("return 'yes'", "it returned 'yes': a score is a number from 0 to 1 (graders/units.py)"),
        ("return 1.5", "it returned 1.5: a score"),
        ("return float('nan')", "it returned nan: a score"),
        ("return 10**400", "OverflowError: int too large to convert to float"),
        ("return 0.5, 'x'", "it returned (0.5, 'x'): a score"),
        ("return 0.5, 7, None", "it returned 7 as the answer found: that is no text"),
        ("return 0.5, 'a' + chr(0), None", "it returned 'a\\x00' as the answer found"),
        ("return 0.5, chr(0xd800), None", "it returned '\\ud800' as the answer found"),
        ("return 0, 'x', 'bad'", "it returned 'bad' as the mistake of a score of 0; below 1 there"),
        ("return 1, 'x', 'near_miss'", "it returned 'near_miss' as the mistake of a score of 1;"),
        ("return 0, 'x', []", "TypeError: "),
        ("raise ValueError(chr(0) + chr(0xd800))", "ValueError: ? (graders/units.py, line 2)"),
    ],
)
def test_what_is_no_grade_is_an_error_with_a_name_and_no_number(
    own: Callable[[str], Own], body: str, words: str
) -> None:
    found = grade(NAME, "7", "7", own=own(f"def grade(generated, target):\n    {body}\n"))
    assert found[:5] == (None, None, None, None, "grader_failed")
    assert found.failure is not None
    assert found.failure.startswith(words)


def test_the_version_is_the_digest_of_the_file(own: Callable[[str], Own]) -> None:
    one, other = own(UNITS), own(UNITS + "# a comment\n")
    # printf … | sha256sum
    assert own("def grade(g, t): return 1\n")[NAME].version == "c40a66d04162"
    assert resolve(NAME, one) == one[NAME].full_name == f"{NAME}@{one[NAME].version}"
    assert resolve(one[NAME].full_name, one) == one[NAME].full_name
    assert one[NAME].version != other[NAME].version
    with pytest.raises(SettingsError, match=f"units.py has changed: it is {NAME}@"):
        resolve(one[NAME].full_name, other)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def grade(:", "graders/units.py is not Python: invalid syntax"),
        ("grade = 7", "graders/units.py has no function 'grade'. It has: none."),
        ("def marks(a, b): ...", "has no function 'grade'. It has: marks."),
        ("import other\ndef grade(a, b): ...", "imports other of the workspace"),
        ("from . import x\ndef grade(a, b): ...", "imports what stands beside it of the workspace"),
        ("def grade(a, b):\n    from other.deep import x", "imports other of the workspace"),
    ],
)
def test_a_file_that_holds_no_grader_is_refused_when_it_is_read(
    own: Callable[[str], Own], tmp_path: Path, source: str, words: str
) -> None:
    (tmp_path / "other.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        own(source)
    assert words in str(caught.value)


def test_a_file_is_run_only_to_grade(own: Callable[[str], Own]) -> None:
    broken = own("import no_such_module_at_all\ndef grade(a, b): return 1\n")
    with pytest.raises(SettingsError, match=r"ModuleNotFoundError: .*\(graders/units.py, line 1\)"):
        resolve(NAME, broken)


@pytest.mark.parametrize(
    "name",
    ["python:units", "python:a/b:grade", "python:../x:grade", "python::grade", "python:a.b:"],
)
def test_a_name_of_another_form_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="is not python:MODULE:FUNCTION"):
        parse(TOML.replace(NAME, name), tmp_path / "milepost.toml")


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(TOML, tmp_path / "milepost.toml")
    assert f"{tmp_path / 'graders' / 'units.py'} cannot be read: No such file" in str(caught.value)
    assert "cannot be graded again without that file" in str(caught.value)


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "workspace"
    (place / "graders").mkdir(parents=True)
    (tmp_path / "units.py").write_text(UNITS, encoding="utf-8")
    (place / "graders" / "units.py").symlink_to(tmp_path / "units.py")
    with pytest.raises(SettingsError, match="leads out of the workspace"):
        parse(TOML, place / "milepost.toml")


def fill(engine: Engine, grader: str = NAME) -> None:
    examples = [logs.example("easy", f"How long is {k}?", "2 m", k) for k in range(4)]
    logs.register_suite(engine, examples, suite_id="easy", grader=grader)
    said = ["2 m", "200 cm", "2.5 m", "3 feet"]
    seen = [(one, Seen(text)) for one, text in zip(examples, said, strict=True)]
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], seen)


def projections(settings: Settings) -> list[Projection]:
    return [LIFECYCLE, *results.view(settings).projections]


def shown(engine: Engine, settings: Settings) -> dict[str, Any]:
    assert bring_up_to_date(engine, projections(settings)) == []
    with engine.connect() as connection:
        (row,) = results.view(settings).rows(connection)
    return row


def mistakes(engine: Engine) -> list[str | None]:
    query = "SELECT error_class FROM predictions ORDER BY line"
    with engine.connect() as connection:
        return list(connection.execute(text(query)).scalars())


def test_a_changed_file_grades_anew(engine: Engine, graders: Callable[[str], Settings]) -> None:
    fill(engine)
    strict, loose = graders(UNITS), graders(UNITS.replace("off < 0.01", "off < 1"))
    for settings, accuracy in ((strict, 0.5), (loose, 0.75), (strict, 0.5)):
        row = shown(engine, settings)
        assert (row["accuracy"], row["grader"]) == (accuracy, settings.own_graders[NAME].full_name)


def test_a_failing_grader_leaves_its_answers_without_a_number(
    engine: Engine, graders: Callable[[str], Settings]
) -> None:
    fill(engine)
    settings = graders(
        "def grade(generated, target):\n    return {'2 m': 1, '200 cm': 0}[generated]\n"
    )
    row = shown(engine, settings)
    assert (row["n"], row["n_graded"], row["accuracy"], row["score"]) == (4, 2, 0.5, 0.5)
    assert row["reason"].startswith(
        "The grader failed on 2 of 4 answers. Its first error: KeyError:"
    )
    assert "(graders/units.py, line 2). Accuracies are of the 2 of 4" in row["reason"]
    assert mistakes(engine) == [None, "wrong_answer", "grader_failed", "grader_failed"]


def test_a_grader_that_fails_on_everything_measures_nothing(
    engine: Engine, graders: Callable[[str], Settings]
) -> None:
    fill(engine)
    row = shown(engine, graders("def grade(generated, target): return generated.length\n"))
    assert (row["n_graded"], row["accuracy"], row["score"]) == (0, None, None)
    assert row["loss"] is not None
    assert row["reason"].endswith("(graders/units.py, line 1). No accuracy: the grader failed.")


def test_a_file_that_cannot_be_run_says_so_in_place_of_grades(
    engine: Engine, graders: Callable[[str], Settings]
) -> None:
    fill(engine)
    row = shown(engine, graders("import no_such_module_at_all\ndef grade(a, b): return 1\n"))
    assert (row["accuracy"], row["n_graded"], row["grader"]) == (None, 0, None)
    assert "ModuleNotFoundError" in row["reason"]


def test_code_that_the_log_alone_names_is_never_run(
    engine: Engine, graders: Callable[[str], Settings], tmp_path: Path
) -> None:
    fill(engine, "python:evil:grade")
    (tmp_path / "evil.py").write_text(
        "raise SystemExit\ndef grade(a, b): return 1\n", encoding="utf-8"
    )
    row = shown(engine, graders(UNITS))
    assert (row["accuracy"], row["n_graded"]) == (None, 0)
    assert "no suite in milepost.toml has the grader 'python:evil:grade'" in row["reason"]


def test_a_replay_comes_to_the_same_grades(
    engine: Engine, graders: Callable[[str], Settings]
) -> None:
    fill(engine)
    settings = graders(UNITS)
    before, kinds = shown(engine, settings), mistakes(engine)
    assert replay(engine, projections(settings)) == []
    assert (shown(engine, settings), mistakes(engine)) == (before, kinds)
