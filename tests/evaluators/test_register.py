"""Suites come into the log once, again when they change, and keep a choice that still holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from errors import SuiteError, UsageError
from evaluators.register import register_suites
from settings import Workspace, parse
from store import log
from store.events import SuiteRegistered
from store.schema import EXAMPLE

ROWS = [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(3)]


def workspace(
    root: Path, grader: str = "exact", rows: int = 3, names: tuple[str, ...] = ("sums",)
) -> Workspace:
    text = ""
    for name in names:
        lines = [json.dumps(row) + "\n" for row in ROWS[:rows]]
        (root / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        text += f"[[suite]]\nname = '{name}'\npath = '{name}.jsonl'\ngrader = '{grader}'\n"
    return Workspace(root, parse(text, root / "milepost.toml"))


def registered(engine: Engine) -> list[SuiteRegistered]:
    with engine.connect() as connection:
        events = [one.event for one in log.read(connection)]
    return [one for one in events if isinstance(one, SuiteRegistered)]


def regrade(engine: Engine, grader: str) -> None:
    """What `milepost regrade` puts into the log."""
    newest = registered(engine)[-1]
    change = {"revision": newest.revision + 1, "graded_by": grader}
    log.append(engine, newest.model_copy(update=change))


def test_a_suite_is_registered_once_and_again_only_when_it_changes(
    engine: Engine, tmp_path: Path
) -> None:
    place = workspace(tmp_path)
    register_suites(engine, place)
    register_suites(engine, place)
    register_suites(engine, workspace(tmp_path, grader="numeric"))
    register_suites(engine, place)
    found = registered(engine)
    assert [(one.revision, one.grader) for one in found] == [
        (1, "exact"),
        (2, "numeric"),
        (3, "exact"),
    ]
    assert len({one.suite_id for one in found}) == 1
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(EXAMPLE)).scalar_one() == 3


def test_a_chosen_grader_stays_while_milepost_toml_names_the_same(
    engine: Engine, tmp_path: Path
) -> None:
    said: list[str] = []
    register_suites(engine, workspace(tmp_path))
    regrade(engine, "exact@1")
    register_suites(engine, workspace(tmp_path), say=said.append)
    assert [one.graded_by for one in registered(engine)] == [None, "exact@1"]
    assert said == []


def test_a_chosen_grader_stays_for_other_examples_of_the_suite(
    engine: Engine, tmp_path: Path
) -> None:
    register_suites(engine, workspace(tmp_path))
    regrade(engine, "exact@1")
    register_suites(engine, workspace(tmp_path, rows=2))
    register_suites(engine, workspace(tmp_path, rows=2))
    found = registered(engine)
    assert [(one.examples, one.revision, one.graded_by) for one in found] == [
        (3, 1, None),
        (3, 2, "exact@1"),
        (2, 1, "exact@1"),
    ]


def test_another_grader_in_milepost_toml_ends_the_choice_and_says_so_once(
    engine: Engine, tmp_path: Path
) -> None:
    said: list[str] = []
    register_suites(engine, workspace(tmp_path))
    regrade(engine, "exact@1")
    for _ in range(2):
        register_suites(engine, workspace(tmp_path, grader="numeric"), say=said.append)
    assert [(one.grader, one.graded_by) for one in registered(engine)] == [
        ("exact", None),
        ("exact", "exact@1"),
        ("numeric", None),
    ]
    assert said == [
        "suite sums: milepost.toml names the grader numeric now, in place of exact, so the choice "
        "of exact@1 ends."
    ]


def test_a_choice_for_one_suite_is_none_for_another(engine: Engine, tmp_path: Path) -> None:
    register_suites(engine, workspace(tmp_path, names=("sums",)))
    regrade(engine, "exact@1")
    register_suites(engine, workspace(tmp_path, names=("sums", "others")))
    newest = {one.name: one.graded_by for one in registered(engine)}
    assert newest == {"sums": "exact@1", "others": None}


def test_only_the_suites_named_are_read(engine: Engine, tmp_path: Path) -> None:
    place = workspace(tmp_path, names=("sums", "others"))
    (tmp_path / "others.jsonl").unlink()
    assert [one.name for one in register_suites(engine, place, ["sums"])] == ["sums"]
    with pytest.raises(SuiteError, match=r"others\.jsonl"):
        register_suites(engine, place)


def test_a_name_that_is_not_in_milepost_toml_is_refused_with_those_that_are(
    engine: Engine, tmp_path: Path
) -> None:
    place = workspace(tmp_path, names=("sums", "others"))
    with pytest.raises(UsageError, match=r"no suite 'sum'\. It names: sums, others\."):
        register_suites(engine, place, ["sum"])
    assert registered(engine) == []
