"""milepost.toml is read strictly: what is wrong is named, with the nearest right word."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from data.workspace import TEMPLATE, make
from errors import SettingsError
from settings import Settings, Workspace, find_workspace, load_workspace, parse
from store.engine import connect, name_of

FILE = Path("/workspace/milepost.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[regresion]\nloss_increase = 0.2", ["regresion", "did you mean 'regression'?"]),
        ("[regression]\nloss_incr = 0.2", ["regression.loss_incr", "'loss_increase'"]),
        ("[[suite]]\nname = 'a'\npath = 'a'\ngradr = 'x'", ["suite.0.gradr", "'grader'"]),
        (
            "[[suite]]\nname = 'a'\npath = 'a'\ngrader = 'exakt'",
            ["suite.0.grader: there is no grader 'exakt'", "The nearest is 'exact'."],
        ),
        ("[watch]\nxyz = 1", ["watch.xyz", "known keys: allow_pickle"]),
        ("[regression]\nloss_increase = -1", ["regression.loss_increase", "greater than 0"]),
        ("[[suite]]\nname = 'a'", ["suite.0.path", "Field required"]),
        ("[calibration]\nedges = [0.0, 0.5]", ["calibration.edges", "rise from 0.0 to 1.0"]),
        ("[[suite]]\nname='a'\npath='x'\n[[suite]]\nname='a'\npath='y'", ["two suites", "'a'"]),
        ("[evaluation]\ntrust_remote_code = ['.']", ["evaluation.trust_remote_code", "one run"]),
        ("[evaluation]\ntrust_remote_code = ['a/../..']", ["'a/../..' must name one run"]),
        ("[watch", ["is not TOML"]),
    ],
)
def test_what_does_not_fit_is_named_with_its_remedy(text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text, FILE)
    for word in [str(FILE), *words]:
        assert word in str(caught.value)


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_EVALUATION__MAX_NEW_TOKENS", "7")
    assert parse("[evaluation]\nmax_new_tokens = 5", FILE).evaluation.max_new_tokens == 7


def test_the_template_states_every_key_with_its_default() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert parse(text, TEMPLATE) == Settings()
    stated = tomllib.loads(text)
    for name, field in Settings.model_fields.items():
        if name == "suite":
            assert all(f"# {key} = " in text for key in ("name", "path", "difficulty", "role"))
            continue
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, BaseModel)
        keys = set(field.annotation.model_fields)
        assert stated[name].keys() | {key for key in keys if f"# {key} = " in text} == keys


def test_the_workspace_is_the_nearest_upward(tmp_path: Path) -> None:
    (tmp_path / "milepost.toml").write_text("[watch]\npath = 'arrivals'")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    workspace = find_workspace(start=inner)
    assert workspace.root == tmp_path
    assert workspace.checkpoints == tmp_path / "arrivals"
    assert workspace.database_url == f"sqlite:///{tmp_path / 'milepost.db'}"


def test_what_is_trusted_has_whole_paths(tmp_path: Path) -> None:
    text = """
        [watch]
        allow_pickle = true
        base_models = {"org/base" = "models/base", "other" = "/models/other"}
        [evaluation]
        trust_remote_code = ["run-a", "run-b/checkpoint-10", "/models/other"]
    """
    trust = Workspace(tmp_path, parse(text, FILE)).trust
    assert trust.allow_pickle
    assert trust.base_models == {
        "org/base": tmp_path / "models" / "base",
        "other": Path("/models/other"),
    }
    checkpoints = tmp_path / "checkpoints"
    assert trust.runs_code_of(checkpoints / "run-a" / "checkpoint-10")
    assert trust.runs_code_of(checkpoints / "run-b" / "checkpoint-10")
    assert trust.runs_code_of(Path("/models/other"))
    assert not trust.runs_code_of(checkpoints / "run-b" / "checkpoint-100")
    assert not trust.runs_code_of(checkpoints / "run-ab" / "checkpoint-10")


def test_the_environment_names_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "milepost.toml").write_text("")
    monkeypatch.setenv("MILEPOST_WORKSPACE", str(tmp_path))
    assert find_workspace(start=Path("/")).root == tmp_path


def test_without_a_workspace_the_error_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="milepost init"):
        find_workspace(start=tmp_path)
    with pytest.raises(SettingsError, match="milepost init"):
        load_workspace(tmp_path)


def test_a_folder_of_any_name_may_hold_a_workspace(tmp_path: Path) -> None:
    workspace = make(tmp_path / "50%20 #1? ü")
    for read_only in (False, True):
        engine = connect(workspace.database_url, read_only=read_only)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one() == 0
        assert name_of(engine) == str(workspace.root / "milepost.db")
        engine.dispose()
    assert (workspace.root / "milepost.db").is_file()
