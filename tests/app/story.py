"""A made-up history for the dashboard's tests: runs, a regression, failures, one under way.

Run `first` has three checkpoints. Run `second`, the newer one, goes from step 80 to 640: it gets
better up to 560, the evaluation of 400 failed, and at 640 it has unlearned easy. A folder of it was
rejected. 720 is being evaluated and stands at 40 of 120 examples.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from settings import load_workspace
from store import log
from store.engine import connect
from store.events import CheckpointRejected
from store.migrations import upgrade
from store.projections import bring_up_to_date
from store.records import Example
from tests.logs import Seen, arrive, evaluate, fail, questions, record, register_suite, start
from views import registry

TOML = """\
[[suite]]
name = "easy"
path = "easy.jsonl"
difficulty = "easy"
pass_threshold = 0.8

[[suite]]
name = "medium"
path = "medium.jsonl"
difficulty = "medium"
pass_threshold = 0.6

[[suite]]
name = "hard"
path = "hard.jsonl"
difficulty = "hard"
"""
SUITES = ("easy", "medium", "hard")
N = 40
REASON = "suite easy: not one of 40 examples gave a number; the first failed with: field 'messages'"
REJECTION = "config.json is not JSON: line 1 ends after 3 characters"
MARKUP = "**not bold** <b>nor this</b> :red[nor red] $x^2$"


class Skill(NamedTuple):
    """How many of the N examples of easy, medium and hard are right."""

    easy: int
    medium: int
    hard: int


SECOND = {
    80: Skill(14, 3, 0),
    160: Skill(20, 6, 1),
    240: Skill(26, 9, 1),
    320: Skill(30, 14, 2),
    480: Skill(33, 20, 4),
    560: Skill(35, 25, 6),
    640: Skill(16, 25, 6),
}
UNDER_WAY = 720


class Story(NamedTuple):
    """The workspace, and the checkpoint being evaluated; easy is recorded, medium and hard not."""

    workspace: Path
    evaluation_id: str
    checkpoint_id: str


def make_workspace(root: Path, url: str = "sqlite:///milepost.db") -> Engine:
    """An empty workspace with a migrated database; returns a writer's engine on it."""
    root.mkdir(parents=True, exist_ok=True)
    database = f"[database]\nurl = {json.dumps(url)}\n\n"
    (root / "milepost.toml").write_text(database + TOML, encoding="utf-8")
    opened = load_workspace(root).database_url
    upgrade(opened)
    return connect(opened)


def derive(root: Path, engine: Engine) -> None:
    """Brings the views of the workspace at `root` up to date."""
    stopped = bring_up_to_date(engine, registry.projections(load_workspace(root).settings))
    assert stopped == []


def register(engine: Engine) -> dict[str, list[Example]]:
    """The three suites, of which easy has an example whose prompt looks like markup."""
    examples = {suite: questions(suite, N) for suite in SUITES}
    for suite, those in examples.items():
        register_suite(engine, those, suite_id=suite, difficulty=suite)
    return examples


def answers(examples: dict[str, list[Example]], skill: Skill) -> list[tuple[Example, Seen]]:
    """The first `skill` examples of a suite are right and sure, the others wrong and less so."""
    return [
        (example, _right(example, k) if k < right else _wrong(k, right))
        for suite, right in skill._asdict().items()
        for k, example in enumerate(examples[suite])
    ]


def _right(example: Example, k: int) -> Seen:
    return Seen(
        example.target, logprob=-0.05 - 0.01 * (k % 7), target_logprob=-0.5 - 0.02 * (k % 5)
    )


def _wrong(k: int, right: int) -> Seen:
    surprise = 4.0 + 0.1 * (k % 5) - 0.05 * right
    text = MARKUP if k == N - 1 else f"answer {k + 1000}"
    return Seen(text, logprob=-0.9 - 0.1 * (k % 6), target_logprob=-2 * surprise)


def tell(root: Path, url: str = "sqlite:///milepost.db") -> Story:
    """Makes the workspace with the whole story in it."""
    engine = make_workspace(root, url)
    examples = register(engine)
    for step, skill in ((100, Skill(10, 2, 0)), (200, Skill(18, 4, 0)), (300, Skill(22, 5, 1))):
        checkpoint = arrive(engine, step, run="first")
        evaluate(engine, checkpoint, SUITES, answers(examples, skill))
    for step, skill in SECOND.items():
        checkpoint = arrive(engine, step, run="second")
        evaluate(engine, checkpoint, SUITES, answers(examples, skill))
    broken = arrive(engine, 400, run="second")
    attempt = start(engine, broken, SUITES, examples=3 * N)
    fail(engine, attempt, broken, SUITES, error="NothingScored", message=REASON)
    log.append(
        engine,
        CheckpointRejected(
            run="second",
            path="/checkpoints/second/checkpoint-600",
            step=600,
            reason=REJECTION,
            fingerprint="1",
        ),
    )
    newest = arrive(engine, UNDER_WAY, run="second")
    under_way = start(engine, newest, SUITES, examples=3 * N)
    record(engine, under_way, answers(examples, Skill(39, 0, 0))[:N])
    derive(root, engine)
    engine.dispose()
    return Story(root, under_way, newest)
