"""The page on the curriculum: the answer first, and the map from which examples are picked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.conftest import Show
from tests.app.story import Story
from tests.app.test_pages import said
from views.pages import curriculum, data_map
from views.pages.reading import Row


def point(**changes: Any) -> Row:
    """A point of the map."""
    plain: Row = {
        "example_id": "e",
        "difficulty": "easy",
        "skill": None,
        "region": "ambiguous",
        "probability": 0.5,
        "spread": 0.25,
        "times_measured": 3,
        "times_right": 2,
        "times_seen": 3,
        "forgetting_events": 0,
        "never_learned": 0,
        "prompt": "2 + 2",
        "target": "4",
        "answer": "4",
    }
    return {**plain, **changes}


def test_the_answer_comes_first_with_how_sure_it_is(show: Show, told: Story) -> None:
    words = said(show(told.workspace, "curriculum"))
    assert words.index("train on") < words.index("With other examples the shares would be")
    assert "95 % intervals from" in words
    assert "the strategy the same in" in words
    assert "Trends are over the last" in words


def test_the_map_counts_its_examples(show: Show, told: Story) -> None:
    app = show(told.workspace, "curriculum")
    words = said(app)
    assert "easy-to-learn" in words
    assert "Never right at any checkpoint" in words
    assert "is drawn" not in words  # all of them fit


@pytest.mark.parametrize(
    ("changes", "meaning"),
    [
        ({}, "good"),
        ({"forgetting_events": 2}, "warning"),
        ({"times_right": 0, "never_learned": 1}, "bad"),
        ({"times_seen": 1, "never_learned": None}, "neutral"),
    ],
)
def test_a_colour_says_how_an_example_was_learned(changes: Row, meaning: str) -> None:
    assert data_map.meaning_of(point(**changes)) == meaning


def test_a_point_says_what_was_asked_and_answered() -> None:
    drawn = data_map.chart([point(forgetting_events=1)]).to_dict()
    (data,) = drawn["datasets"].values()
    assert data[0]["mean"] == "50 %"
    assert data[0]["deviation"] == "25.0 points"
    assert data[0]["right"] == "2 of 3 checkpoints"
    assert data[0]["forgotten"] == "1 time"
    (param,) = drawn["params"]
    assert (param["name"], param["select"]["fields"]) == ("picked", ["example_id"])


def test_a_click_names_the_example() -> None:
    assert data_map.picked_id({"selection": {"picked": [{"example_id": "e"}]}}) == "e"
    assert data_map.picked_id({"selection": {"picked": []}}) is None
    assert data_map.picked_id({"selection": {}}) is None


def test_strategies_stand_by_their_scores() -> None:
    plans = {
        "mixed": {"score": 0.3, "shares": {"easy": 34, "medium": 33, "hard": 33}},
        "adaptive": {"score": 0.4, "shares": {"easy": 44, "medium": 46, "hard": 10}},
    }
    (bars,) = curriculum.strategies(plans, "adaptive").to_dict()["datasets"].values()
    assert [(bar["name"], bar["mix"], bar["chosen"]) for bar in bars] == [
        ("adaptive", "44 / 46 / 10 %", "yes"),
        ("mixed", "34 / 33 / 33 %", "no"),
    ]
