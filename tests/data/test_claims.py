"""The demo's claims hold for numbers that show them, and fail for any that do not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import Engine

from data.claims import FEWEST_CHECKPOINTS, Measured, claims, measured
from settings import Settings
from store.engine import reading
from store.projections import bring_up_to_date
from tests import logs
from views import registry

EASY = [0.1, 0.3, 0.5, 0.6, 0.7, 0.2, 0.7, 0.8, 0.9]
VERDICTS = ["INCONCLUSIVE", "OK", "OK", "OK", "OK", "REGRESSED", "OK", "OK", "OK"]
COUNT, RISE, ORDER, REGRESSED, RECOVERY = range(5)


@dataclass
class Run:
    easy: list[float | None]
    verdicts: list[str]
    medium: float | None = 0.4
    hard: float | None = 0.05

    def hold(self) -> list[bool]:
        found = [
            Measured(
                step=100 * (index + 1),
                loss={"easy": 1.0, "medium": 2.0, "hard": 3.0},
                accuracy={"easy": easy, "medium": self.medium, "hard": self.hard},
                verdict=verdict,
                reason="",
            )
            for index, (easy, verdict) in enumerate(zip(self.easy, self.verdicts, strict=True))
        ]
        return [claim.holds for claim in claims(found)]


def test_a_run_that_learns_regresses_once_and_recovers_holds_all() -> None:
    assert Run([*EASY], VERDICTS).hold() == [True] * 5


@pytest.mark.parametrize(
    ("run", "broken"),
    [
        (Run([*EASY[-4:]], VERDICTS[-4:]), {COUNT}),
        (Run([*EASY[:-1], 0.25], VERDICTS), {RISE, ORDER}),
        (Run([*EASY[:-1], None], VERDICTS), {RISE, ORDER}),
        (Run([*EASY], VERDICTS, medium=0.95), {ORDER}),
        (Run([*EASY], VERDICTS, hard=None), {ORDER}),
        (Run([*EASY], ["OK"] * 9), {REGRESSED, RECOVERY}),
        (Run([*EASY], [*VERDICTS[:7], "REGRESSED", "OK"]), {REGRESSED}),
        (Run([*EASY], [*VERDICTS[:6], "SUSPECT", "OK", "OK"]), {RECOVERY}),
        (Run([*EASY], ["OK"] * 8 + ["REGRESSED"]), {RECOVERY}),
        (Run([], []), {COUNT, RISE, ORDER, REGRESSED, RECOVERY}),
    ],
)
def test_each_claim_fails_by_itself(run: Run, broken: set[int]) -> None:
    failing = {index for index, holds in enumerate(run.hold()) if not holds}
    assert failing == broken


def test_enough_checkpoints_means_at_least_the_fewest() -> None:
    n = FEWEST_CHECKPOINTS
    assert Run([0.5] * n, ["OK"] * n).hold()[COUNT]
    assert not Run([0.5] * (n - 1), ["OK"] * (n - 1)).hold()[COUNT]


def test_a_checkpoint_counts_once_it_is_evaluated_whole(engine: Engine) -> None:
    examples = logs.questions("suite", 120, "easy")
    seen = [(one, logs.Seen(one.target)) for one in examples]
    logs.register_suite(engine, examples, suite_id="suite", difficulty="easy")
    logs.evaluate(engine, logs.arrive(engine, 100), ["suite"], seen)
    checkpoint = logs.arrive(engine, 200)
    evaluation = logs.start(engine, checkpoint, ["suite"], examples=len(seen))
    logs.record(engine, evaluation, seen[:30])
    logs.finish_quick_tier(engine, evaluation, checkpoint, ["suite"], examples=120, scored=30)
    assert steps(engine) == [100]
    logs.record(engine, evaluation, seen[30:], batch="2")
    logs.complete(engine, evaluation, checkpoint, scored=120)
    assert steps(engine) == [100, 200]


def steps(engine: Engine) -> list[int]:
    settings = Settings()
    assert bring_up_to_date(engine, registry.projections(settings)) == []
    with reading(engine) as connection:
        return [one.step for one in measured(connection, settings, "run")]
