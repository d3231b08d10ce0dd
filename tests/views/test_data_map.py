"""The data map, from logs to the SQL view: regions, forgetting, what was never learned."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import Engine

from settings import Settings
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import shown
from views import data_map

VIEW = data_map.view(Settings())


def evaluate(engine: Engine, examples: list[Example], *steps: str) -> None:
    """Checkpoints at steps 100, 200 …, a letter an example: R is right, W wrong, E an error."""
    for number, outcomes in enumerate(steps, start=1):
        words = {
            "R": Seen("answer"),
            "W": Seen("no"),
            "E": Seen("", error="too long"),
        }
        seen = [(one, words[outcome]) for one, outcome in zip(examples, outcomes, strict=True)]
        logs.evaluate(engine, logs.arrive(engine, 100 * number), ["suite"], seen)


def register(engine: Engine, n: int) -> list[Example]:
    examples = [
        logs.example("suite", f"question {k}", "answer", k + 1, skill="recall") for k in range(n)
    ]
    logs.register_suite(engine, examples, suite_id="suite", difficulty="easy")
    return examples


def by_prompt(engine: Engine, *columns: str) -> dict[str, tuple[Any, ...]]:
    return {row["prompt"]: tuple(row[name] for name in columns) for row in shown(engine, VIEW)}


@pytest.mark.parametrize(
    ("outcomes", "forgotten", "never"),
    [
        ("R", 0, None),
        ("W", 0, None),
        ("WW", 0, True),
        ("RW", 1, False),
        ("WR", 0, False),
        ("RWR", 1, False),
        ("WRW", 1, False),
        ("RWRWW", 2, False),
        ("WRRWRRW", 2, False),
        ("REW", 1, False),
        ("EEE", None, None),
    ],
)
def test_a_forgetting_event_is_a_turn_from_right_to_wrong(
    engine: Engine, outcomes: str, forgotten: int | None, never: bool | None
) -> None:
    examples = register(engine, 2)
    # Another example, always right, so that there is a row to find it beside.
    evaluate(engine, examples, *(f"{one}R" for one in outcomes))
    found = by_prompt(engine, "forgetting_events", "never_learned")
    if forgotten is None:
        assert "question 0" not in found
    else:
        assert found["question 0"] == (forgotten, never)
    assert found["question 1"][0] == 0


def test_regions_follow_mean_and_spread(engine: Engine) -> None:
    examples = register(engine, 3)
    # The mean token probabilities of each example, at two checkpoints; a target has some tokens.
    for step, probabilities in ((100, (0.9, 0.1, 0.2)), (200, (0.7, 0.3, 0.8))):
        seen = [
            (one, Seen("answer", target_logprob=math.log(p) * tokens_of(one)))
            for one, p in zip(examples, probabilities, strict=True)
        ]
        logs.evaluate(engine, logs.arrive(engine, step), ["suite"], seen)
    found = by_prompt(engine, "region", "probability", "spread", "times_measured")
    assert found == {
        "question 0": ("easy-to-learn", pytest.approx(0.8), pytest.approx(0.1), 2),
        "question 1": ("hard-to-learn", pytest.approx(0.2), pytest.approx(0.1), 2),
        "question 2": ("ambiguous", pytest.approx(0.5), pytest.approx(0.3), 2),
    }


def tokens_of(example: Example) -> int:
    """How many tokens the log that tests write says the target has."""
    return logs.prediction("", example, Seen("")).target_tokens or 0


def test_one_checkpoint_has_no_region_and_no_spread(engine: Engine) -> None:
    evaluate(engine, register(engine, 1), "R")
    (row,) = shown(engine, VIEW)
    assert (row["region"], row["spread"], row["never_learned"]) == (None, None, None)
    assert row["probability"] > 0
    assert (row["suite"], row["difficulty"], row["skill"]) == ("suite", "easy", "recall")
    assert (row["role"], row["target"], row["generated_text"]) == ("validation", "answer", "answer")


def test_the_answer_is_the_newest_checkpoints(engine: Engine) -> None:
    examples = register(engine, 1)
    evaluate(engine, examples, "R", "W")
    assert by_prompt(engine, "generated_text", "was_right") == {"question 0": ("no", False)}


def test_other_limits_make_other_regions(engine: Engine) -> None:
    evaluate(engine, register(engine, 1), "R", "R")
    assert by_prompt(engine, "region") == {"question 0": ("easy-to-learn",)}
    settings = Settings.model_validate(
        {"data_map": {"ambiguous_spread": 0.0, "easy_probability": 0.0}}
    )
    (row,) = shown(engine, data_map.view(settings))
    assert row["region"] == "ambiguous"
