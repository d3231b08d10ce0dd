"""Whatever happens, in any order and derived at any moments, replay ends in the same rows.

The suites have what is hard to follow: an example in two of them, in one of which only training
data is looked for; bare text, a choice, an error, several samples.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from store import log
from store.engine import connect
from store.events import PredictionsRecorded
from store.lifecycle import LIFECYCLE
from store.log import Rows
from store.projections import bring_up_to_date, replay
from store.records import Example, Prediction, example_id_of
from tests import logs
from tests.logs import Seen
from tests.views.deriving import settings_with_tests, stored
from views import registry

PROJECTIONS = registry.projections(settings_with_tests())
# In a long log the results are derived some events at a time.
IN_STRIDES = [replace(one, stride=3) if one.name == "results" else one for one in PROJECTIONS]

TEXT = Example("easy", example_id_of("text", (), "some text"), 23, "text", (), "some text")
CHOICE = Example(
    suite_id="hard",
    example_id=example_id_of("choice", ({"role": "user", "content": "2 + 2"},), "4", ("3", "4")),
    line=23,
    kind="choice",
    messages=({"role": "user", "content": "2 + 2"},),
    target="4",
    choices=("3", "4"),
    difficulty="hard",
)
EASY, HARD = logs.questions("easy", 22, "easy"), logs.questions("hard", 22, "hard")
POOL = [
    *(replace(one, suite_id="pool", difficulty=None) for one in EASY[:3]),
    *logs.questions("pool", 3),
]
SUITES = {"easy": [*EASY, TEXT], "hard": [*HARD, CHOICE], "pool": POOL}
EXAMPLES = len(EASY) + len(HARD) + 5  # the text, the choice, and three of the pool's own


class Step(NamedTuple):
    """One thing that happens to checkpoint `which`, and what is derived right after it."""

    does: Literal["evaluate", "start", "quick", "fail", "register"]
    which: int
    right: int
    variant: int
    derives: Literal["nothing", "lifecycle", "all"]


steps = st.builds(
    Step,
    does=st.sampled_from(["evaluate", "evaluate", "start", "quick", "fail", "register"]),
    which=st.integers(0, 4),
    right=st.integers(0, 22),
    variant=st.integers(0, 2),
    derives=st.sampled_from(["nothing", "lifecycle", "all"]),
)


class Story:
    """Carries out steps: each evaluation goes from start through failures to completion once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.checkpoints: dict[int, str] = {}
        self.attempts: dict[str, int] = {}
        self.completed: set[str] = set()
        self.quick: set[str] = set()
        self.revisions = dict.fromkeys(SUITES, 1)
        for name, examples in SUITES.items():
            logs.register_suite(
                engine,
                examples,
                suite_id=name,
                difficulty=name,
                role="mining" if name == "pool" else "validation",
            )

    def tell(self, step: Step) -> None:
        if step.does == "register":
            self._register(step)
            return
        if step.which not in self.checkpoints:
            # 200, 100, 100, 300, 200: late arrivals, and two checkpoints of one step.
            at = (200, 100, 100, 300, 200)[step.which]
            self.checkpoints[step.which] = logs.arrive(self.engine, at, content=str(step.which))
        checkpoint = self.checkpoints[step.which]
        key = f"{step.which}/{step.variant}"
        if key in self.completed:
            return
        attempt = self.attempts[key] = self.attempts.get(key, 0) + 1
        evaluation = logs.start(
            self.engine,
            checkpoint,
            list(SUITES),
            examples=EXAMPLES,
            attempt=attempt,
            settings={"variant": step.variant},
        )
        if step.does == "fail":
            logs.fail(self.engine, evaluation, checkpoint, list(SUITES), attempt=attempt)
        elif step.does == "quick" and key not in self.quick:
            made = self._made(evaluation, step.right)[::3]
            self._record(evaluation, made, batch="quick")
            logs.finish_quick_tier(
                self.engine,
                evaluation,
                checkpoint,
                list(SUITES),
                examples=EXAMPLES,
                scored=len(made) - 1,
                failed=1,
            )
            self.quick.add(key)
        elif step.does == "evaluate":
            made = self._made(evaluation, step.right)
            if key in self.quick:
                made = [one for k, one in enumerate(made) if k % 3]
            self._record(evaluation, made, batch="rest")
            logs.complete(self.engine, evaluation, checkpoint, scored=EXAMPLES - 1, failed=1)
            self.completed.add(key)

    def _made(self, evaluation: str, right: int) -> list[Prediction]:
        """What it predicts, the one example that fails first."""
        seen = [
            (one, Seen(one.target if k < right else "no", target_logprob=-0.5 - abs(right - k) / 7))
            for examples in (EASY, HARD, POOL[3:])
            for k, one in enumerate(examples)
        ]
        seen[0] = (seen[0][0], Seen("", error="too long"))
        made = [logs.prediction(evaluation, example, what) for example, what in seen]
        made += [replace(one, sample=1) for one in made[1:9]]
        text = logs.prediction(evaluation, TEXT, Seen("", target_logprob=-right - 0.5))
        choice = Prediction(evaluation, CHOICE.example_id, choice_logprobs=(-1.5, -right / 10))
        return [*made, text, choice]

    def _record(self, evaluation: str, made: Sequence[Prediction], batch: str) -> None:
        failed = sum(one.error is not None for one in made)
        event = PredictionsRecorded(
            evaluation_id=evaluation, batch=batch, scored=len(made) - failed, failed=failed
        )
        log.append(self.engine, event, rows=Rows(predictions=made))

    def _register(self, step: Step) -> None:
        name = list(SUITES)[step.which % 3]
        self.revisions[name] += 1
        logs.register_suite(
            self.engine,
            SUITES[name],
            suite_id=name,
            difficulty=(name, "medium", None)[step.variant],
            role="mining" if step.right % 2 else "validation",
            grader=("exact", "contains", "exakt")[step.right % 3],
            revision=self.revisions[name],
        )


@settings(deadline=None, max_examples=10)
@given(story=st.lists(steps, min_size=4, max_size=10))
def test_replay_equals_incremental(empty_database: Path, story: Sequence[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "milepost.db"
        shutil.copy(empty_database, file)
        engine = connect(f"sqlite:///{file}")
        teller = Story(engine)
        for step in story:
            teller.tell(step)
            if step.derives == "lifecycle":
                assert bring_up_to_date(engine, [LIFECYCLE]) == []
            elif step.derives == "all":
                assert bring_up_to_date(engine, PROJECTIONS) == []
        assert bring_up_to_date(engine, PROJECTIONS) == []
        step_by_step = stored(engine, PROJECTIONS)
        for projections in (PROJECTIONS, IN_STRIDES):
            assert replay(engine, projections) == []
            assert stored(engine, projections) == step_by_step
        engine.dispose()
