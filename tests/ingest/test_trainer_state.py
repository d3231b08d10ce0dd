"""The trainer's numbers are taken as logged, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import Unfinished, Unusable
from ingest.trainer_state import SILENT, read_trainer_state
from tests.ingest.folders import write_json

HISTORY = [
    {"step": 10, "loss": 3.0, "learning_rate": 0.1},
    {"step": 20, "loss": 2.0, "learning_rate": 0.2},
    {"step": 20, "eval_loss": 9.0},
    {"step": 25, "learning_rate": 0.25},
    {"step": 30, "loss": 1.0, "learning_rate": 0.3},
]


def write(folder: Path, **state: object) -> None:
    write_json(folder / "trainer_state.json", state)


@pytest.mark.parametrize(
    ("step", "loss", "rate"),
    [(5, None, None), (10, 3.0, 0.1), (19, 3.0, 0.1), (27, 2.0, 0.25), (30, 1.0, 0.3)],
)
def test_the_last_entry_at_or_before_the_step_counts(
    tmp_path: Path, step: int, loss: float | None, rate: float | None
) -> None:
    write(tmp_path, global_step=30, epoch=1.5, log_history=HISTORY)
    assert read_trainer_state(tmp_path, step) == (30, 1.5, loss, rate)


def test_without_a_step_the_file_gives_it(tmp_path: Path) -> None:
    write(tmp_path, global_step=20, epoch=1, log_history=HISTORY)
    assert read_trainer_state(tmp_path) == (20, 1.0, 2.0, 0.2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "2.0", None, True])
def test_what_is_not_a_finite_number_is_none_and_no_older_one_stands_in(
    tmp_path: Path, value: object
) -> None:
    history = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": value}]
    write(tmp_path, global_step=2, epoch=value, log_history=history)
    assert read_trainer_state(tmp_path, 2) == (2, None, None, None)


@pytest.mark.parametrize("history", [None, "text", [1, "text", {"loss": 3.0}]])
def test_a_history_of_another_form_says_nothing(tmp_path: Path, history: object) -> None:
    write(tmp_path, log_history=history)
    assert read_trainer_state(tmp_path, 5) == SILENT


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_trainer_state(tmp_path, 5) == SILENT


def test_a_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text('{"epoch": ')
    with pytest.raises(Unfinished, match=r"trainer_state.json is not JSON"):
        read_trainer_state(tmp_path)
    (tmp_path / "trainer_state.json").write_text("[]")
    with pytest.raises(Unusable, match=r"trainer_state.json holds a JSON list"):
        read_trainer_state(tmp_path)
