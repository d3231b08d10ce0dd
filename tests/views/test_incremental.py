"""Whatever happens, in any order and derived at any moments, replay ends in the same rows."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from store.engine import connect
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date, replay
from tests import logs
from tests.logs import Seen
from tests.views.deriving import projections_of, settings_with_tests, stored
from views import ranking, regression, test_results

SETTINGS = settings_with_tests()
PROJECTIONS = projections_of(*(one.view(SETTINGS) for one in (regression, ranking, test_results)))
SUITES = {name: logs.questions(name, 22, name) for name in ("easy", "hard")}


class Step(NamedTuple):
    """One thing that happens to checkpoint `which`, and what is derived right after it."""

    does: Literal["evaluate", "start", "fail", "register"]
    which: int
    right: int
    variant: int
    derives: Literal["nothing", "lifecycle", "all"]


steps = st.builds(
    Step,
    does=st.sampled_from(["evaluate", "evaluate", "start", "fail", "register"]),
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
        self.revisions = dict.fromkeys(SUITES, 1)
        for name, examples in SUITES.items():
            logs.register_suite(engine, examples, suite_id=name, difficulty=name)

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
            examples=44,
            attempt=attempt,
            settings={"variant": step.variant},
        )
        if step.does == "fail":
            logs.fail(self.engine, evaluation, checkpoint, list(SUITES), attempt=attempt)
        elif step.does == "evaluate":
            self._finish(evaluation, checkpoint, step.right)
            self.completed.add(key)

    def _finish(self, evaluation: str, checkpoint: str, right: int) -> None:
        seen = [
            (one, Seen(one.target if k < right else "no", target_logprob=-0.5 - abs(right - k) / 7))
            for examples in SUITES.values()
            for k, one in enumerate(examples)
        ]
        seen[0] = (seen[0][0], Seen("", error="too long"))
        logs.record(self.engine, evaluation, seen)
        logs.complete(self.engine, evaluation, checkpoint, scored=43, failed=1)

    def _register(self, step: Step) -> None:
        name = list(SUITES)[step.which % 2]
        self.revisions[name] += 1
        logs.register_suite(
            self.engine,
            SUITES[name],
            suite_id=name,
            difficulty=name,
            role="mining" if step.variant == 2 else "validation",
            grader=("exact", "contains", "exakt")[step.right % 3],
            revision=self.revisions[name],
        )


@settings(deadline=None, max_examples=15)
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
        assert replay(engine, PROJECTIONS) == []
        assert stored(engine, PROJECTIONS) == step_by_step
        engine.dispose()
