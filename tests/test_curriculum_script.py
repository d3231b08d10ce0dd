"""A training script takes its mix from `milepost show`, as docs/views.md says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store.engine import connect
from tests import logs
from tests.views.deriving import answered

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "views.md").read_text(encoding="utf-8")
(SECTION,) = re.findall(r"^## Curriculum:.*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path) -> Path:
    """A run of two checkpoints, and a third whose evaluation failed."""
    (tmp_path / "milepost.toml").write_text("")
    shutil.copy(empty_database, tmp_path / "milepost.db")
    engine = connect(f"sqlite:///{tmp_path / 'milepost.db'}")
    suites = {name: logs.questions(name, 20, name) for name in ("easy", "medium", "hard")}
    for name, examples in suites.items():
        logs.register_suite(engine, examples, suite_id=name, difficulty=name)
    for step, right in ((100, 8), (600, 10)):
        seen = [
            *answered(suites["easy"], right),
            *answered(suites["medium"], 0),
            *answered(suites["hard"], 0),
        ]
        checkpoint = logs.arrive(engine, step, run="demo-1")
        logs.evaluate(engine, checkpoint, list(suites), seen)
    failed = logs.arrive(engine, 700, run="demo-1")
    logs.fail(engine, "failed", failed, list(suites))
    engine.dispose()
    return tmp_path


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def test_the_documented_object_is_what_is_printed(workspace: Path) -> None:
    command = [sys.executable, "cli.py", "show", "curriculum", "--format", "json"]
    command += ["--workspace", str(workspace)]
    rows = json.loads(subprocess.check_output(command, cwd=ROOT))
    (easy,) = (row for row in rows if (row["step"], row["difficulty"]) == (600, "easy"))
    (block,) = re.findall(r"^```json\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
    documented = json.loads(block)
    assert list(easy) == list(documented)
    del easy["checkpoint_id"], documented["checkpoint_id"]
    assert rounded(easy) == rounded(documented)


def test_the_documented_script_gets_a_mix_of_100(workspace: Path) -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
    commands = workspace / "bin"
    commands.mkdir()
    milepost = commands / "milepost"
    milepost.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "cli.py"} "$@"\n')
    milepost.chmod(0o755)
    printed = subprocess.check_output(
        [sys.executable, "-c", f"{script}\nprint(json.dumps(mix))"],
        cwd=workspace,
        env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
    )
    mix = json.loads(printed)
    # Nothing was measured at step 700, so it is the mix of step 600.
    assert mix == {"easy": 44, "medium": 46, "hard": 10}
    assert sum(mix.values()) == 100
