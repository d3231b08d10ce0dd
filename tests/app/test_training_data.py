"""The pages that data to train on is taken from: files to download, and whether they helped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from commands import examples
from settings import load_workspace
from store.records import Example
from tests import logs
from tests.app.conftest import Show
from tests.app.story import derive, make_workspace
from tests.app.test_pages import said
from tests.logs import Seen
from views.pages.downloads import readable

POOL = logs.questions("pool", 24, "easy")
HELD_OUT = logs.questions("held-out", 12, "easy")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_workspace(tmp_path)
    logs.register_suite(engine, POOL, suite_id="pool", role="mining")
    logs.register_suite(engine, HELD_OUT, suite_id="held-out")
    yield engine
    engine.dispose()


def checkpoint(engine: Engine, step: int, right: list[Example]) -> None:
    known = {one.example_id for one in right}
    seen = [
        (one, Seen(one.target if one.example_id in known else "no")) for one in (*POOL, *HELD_OUT)
    ]
    logs.evaluate(engine, logs.arrive(engine, step), ["pool", "held-out"], seen)


def test_what_was_exported_can_be_downloaded_and_is_followed(
    show: Show, tmp_path: Path, engine: Engine
) -> None:
    checkpoint(engine, 100, POOL[12:])
    workspace = load_workspace(tmp_path)
    (file,) = examples.export(workspace, "corrections", str(tmp_path / "exports"))
    checkpoint(engine, 200, [*POOL, *HELD_OUT[:9]])
    derive(tmp_path, engine)
    app = show(tmp_path, "corrections")
    (button,) = app.get("download_button")
    assert button.proto.label == "Download"
    words = said(app)
    assert f"{file.name}: 12 examples of step 100" in words
    assert "Exported at step 100, looked at in step 200." in words
    assert (
        "Exported examples: 12 of 12 solved; others that were wrong then: 9 of 12 (+25 points, "
        "95 % interval −4.1 points to +53 points): no difference shown."
    ) in words
    assert (
        "Wrong validation answers of exported patterns: 9 of 12 solved; of other patterns: 0 of 0: "
        "too few to tell."
    ) in words
    assert f"milepost export corrections --out {tmp_path}/exports --run run" in words


def test_what_is_not_in_the_workspace_or_not_the_same_is_not_given_out(
    show: Show, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, engine: Engine
) -> None:
    checkpoint(engine, 100, [])
    workspace = load_workspace(tmp_path)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (outside,) = examples.export(workspace, "hard-examples", str(elsewhere))
    (changed,) = examples.export(workspace, "hard-examples", str(tmp_path / "exports"))
    changed.write_text("{}\n")
    derive(tmp_path, engine)
    app = show(tmp_path, "hard-examples", role="mining")
    assert not app.get("download_button")
    words = said(app)
    assert f"{outside}: 24 examples" in words
    assert "It is not in the workspace." in words
    assert "It is another file by now." in words


def test_a_link_out_of_the_workspace_leads_nowhere(tmp_path: Path) -> None:
    root, secret = tmp_path / "workspace", tmp_path / "secret.jsonl"
    root.mkdir()
    secret.write_text("{}")
    link = root / "link.jsonl"
    link.symlink_to(secret)
    assert readable(root, str(link)) is None
    assert readable(root, str(root / ".." / "secret.jsonl")) is None
    assert readable(root, str(root / "milepost.db")) is None


def test_hard_examples_are_chosen_by_skill_and_mistake(
    show: Show, tmp_path: Path, engine: Engine
) -> None:
    more = [
        logs.example("more", f"{skill} {k}", "x", k, "easy", skill)
        for skill, n in (("sort", 3), ("sum", 2))
        for k in range(1, n + 1)
    ]
    logs.register_suite(engine, more, suite_id="more", role="mining")
    seen = [(one, Seen("no" if one.skill == "sort" else "")) for one in more]
    logs.evaluate(engine, logs.arrive(engine, 100), ["more"], seen)
    derive(tmp_path, engine)
    app = show(tmp_path, "hard-examples")
    skills = next(one for one in app.multiselect if one.label == "Skill")
    assert skills.options == ["sort (3)", "sum (2)"]
    mistakes = next(one for one in app.multiselect if one.label == "Mistake")
    assert mistakes.options == ["wrong answer (3)", "empty (2)"]
    app = skills.set_value(["sum"]).run()
    assert len(app.dataframe[0].value) == 2
    assert "--skill sum" in said(app)


def test_answers_that_are_wrong_in_the_same_way_stand_together(
    show: Show, tmp_path: Path, engine: Engine
) -> None:
    seen = [(one, Seen("" if k < 8 else f"{one.target} <b>!</b>")) for k, one in enumerate(POOL)]
    logs.evaluate(engine, logs.arrive(engine, 100), ["pool"], seen)
    derive(tmp_path, engine)
    app = show(tmp_path, "corrections")
    titles = [one.label.replace("\\", "") for one in app.expander]
    assert "Right, and then goes on: 16 answers, 67 % (the name fits 16)" in titles
    assert "Says nothing: 8 answers, 33 % (the name fits 8)" in titles
    assert "24 of 24 wrong answers are like others" in said(app)
