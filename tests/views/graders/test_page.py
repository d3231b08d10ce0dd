"""docs/graders.md has every grader, with an example that comes out as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from views.graders.verdict import ErrorClass
from views.grading import CHOICE, VERSIONS, grade

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "graders.md").read_text(encoding="utf-8")
TEMPLATE = (ROOT / "data" / "milepost.toml").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(\w+@\d+)` \| [^|]+ \| `(.+)` \| `(.+)` \| ([\d.]+) \|$", PAGE, re.M)


def test_the_page_has_every_grader() -> None:
    named = re.findall(r"^\| `(\w+@\d+)` \|", PAGE, re.M)
    assert sorted(named) == sorted(VERSIONS)
    assert sorted(one[0] for one in EXAMPLES) == sorted({*VERSIONS} - {CHOICE})


@pytest.mark.parametrize(("grader", "target", "answer", "score"), EXAMPLES)
def test_each_example_scores_as_the_page_says(
    grader: str, target: str, answer: str, score: str
) -> None:
    found = grade(grader, answer.replace("⏎", "\n"), target.replace(r"\|", "|"))
    assert found.score == float(score)


def test_the_page_has_every_kind_of_mistake() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    # The other two are of answers that are neither right nor wrong.
    assert {*named} == {*get_args(ErrorClass)} - {"not_scored", "not_graded"}


def test_the_template_names_every_grader_that_can_be_chosen() -> None:
    comment = re.search(r'^# grader = "(\w+)" +# or (.+)$', TEMPLATE, re.M)
    assert comment is not None
    named = {comment[1], *comment[2].split(", ")}
    assert named == {one.partition("@")[0] for one in VERSIONS} - {"choice"}
