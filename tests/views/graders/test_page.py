"""docs/graders.md has every grader, with an example that comes out as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from views.graders.own import read
from views.graders.verdict import ErrorClass
from views.grading import CHOICE_GRADERS, VERSIONS, grade

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "graders.md").read_text(encoding="utf-8")
TEMPLATE = (ROOT / "data" / "milepost.toml").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(\w+@\d+)` \| [^|]+ \| `(.+)` \| `(.+)` \| ([\d.]+) \|$", PAGE, re.M)


def test_the_page_has_every_grader() -> None:
    named = re.findall(r"^\| `(\w+@\d+)` \|", PAGE, re.M)
    assert sorted(named) == sorted(VERSIONS)
    assert sorted(one[0] for one in EXAMPLES) == sorted({*VERSIONS} - {*CHOICE_GRADERS})


@pytest.mark.parametrize(("grader", "target", "answer", "score"), EXAMPLES)
def test_each_example_scores_as_the_page_says(
    grader: str, target: str, answer: str, score: str
) -> None:
    found = grade(grader, answer.replace("⏎", "\n"), target.replace(r"\|", "|"))
    assert found.score == float(score)


def test_the_page_has_every_kind_of_mistake() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    # The others are of answers that are neither right nor wrong.
    neither = {"not_scored", "not_graded", "grader_failed"}
    assert {*named} == {*get_args(ErrorClass)} - neither
    assert all(f"`{one}`" in PAGE for one in neither)


def test_the_template_names_every_grader_that_can_be_chosen() -> None:
    comment = re.search(
        r'^# grader = "(\w+)" +# or (.+),\n# +# or for choices (.+)$', TEMPLATE, re.M
    )
    assert comment is not None
    named = {comment[1], *comment[2].split(", "), *comment[3].split(", ")}
    assert named == {one.partition("@")[0] for one in VERSIONS}


def test_the_grader_of_ones_own_does_what_the_page_says() -> None:
    source = re.search(r"^```python\n# graders/units.py\n(.+?)^```$", PAGE, re.M | re.DOTALL)
    assert source is not None
    name = "python:graders.units:grade"
    assert f'grader = "{name}"' in PAGE
    own = {name: read(name, source[1], [])}
    scores = [
        grade(name, said, "2 m", own=own).score for said in ("200 cm", "It is 2.5 m", "3 feet")
    ]
    assert scores == [1.0, 0.5, 0.0]
    assert grade(name, "2 m", "two", own=own).error_class == "not_graded"
