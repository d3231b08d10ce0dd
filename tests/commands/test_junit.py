"""`milepost export junit`, read back by a parser of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from sqlalchemy import Engine

import cli
from data.workspace import make
from settings import load_workspace
from store.engine import connect
from tests import logs
from tests.logs import Seen
from tests.views.deriving import answered

TOML = "".join(
    f'[[suite]]\nname = "{name}"\npath = "{name}.jsonl"\n{line}\n'
    for name, line in (
        ("easy", "pass_threshold = 0.7"),
        ("hard", "pass_threshold = 0.7"),
        ("open", ""),
    )
)
# junit-10.xsd of Jenkins: what an element holds, and its attributes, the needed ones in capitals.
SHAPE = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "disabled", "errors"}),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        {"NAME", "TESTS", "failures", "errors", "time", "disabled", "skipped", "timestamp"},
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"NAME", "VALUE"}),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"NAME", "classname", "time", "assertions", "status"},
    ),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "skipped": (set(), {"type", "message"}),
    "system-out": (set(), set()),
}

Export = Callable[..., int]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "workspace", text=TOML).root


@pytest.fixture
def engine(root: Path) -> Iterator[Engine]:
    engine = connect(load_workspace(root).database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def export(root: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """`milepost export junit --out …/tests.xml ARGUMENTS`; returns the exit code."""

    def run(*arguments: str) -> int:
        words = ["milepost", "export", "junit", "--out", str(root / "tests.xml"), *arguments]
        monkeypatch.setattr(sys, "argv", [*words, "--workspace", str(root), "--force"])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    return run


def read(root: Path) -> Element:
    """The report, of which every element has the shape of the schema."""
    found = ElementTree.parse(root / "tests.xml").getroot()
    assert found.tag == "testsuites"
    for element in found.iter():
        children, attributes = SHAPE[element.tag]
        assert {child.tag for child in element} <= children
        assert {*element.keys()} <= {name.lower() for name in attributes}
        assert {name.lower() for name in attributes if name.isupper()} <= {*element.keys()}
        if element.tag == "testsuite":
            cases = element.findall("testcase")
            assert int(element.get("tests", "")) == len(cases)
            for name, tag in (("failures", "failure"), ("errors", "error")):
                assert int(element.get(name, "")) == len(element.findall(f"testcase/{tag}"))
    return found


def fill(engine: Engine) -> None:
    """Step 100 passes both tests. Step 200 fails `hard`, and is the newest with results."""
    suites = {
        "easy": logs.questions("easy", 20, "easy"),
        "hard": logs.questions("hard", 20, "hard"),
        "open": logs.questions("open", 2),
    }
    for name, examples in suites.items():
        logs.register_suite(engine, examples, suite_id=name)
    for step, right in ((100, 18), (200, 6)):
        hard = answered(suites["hard"], right)
        hard[right] = (suites["hard"][right], Seen("<b>\x1b[31m & \ufffe \U0001f642"))
        seen = [*answered(suites["easy"], 19), *hard, *answered(suites["open"], 1)]
        logs.evaluate(engine, logs.arrive(engine, step), [*suites], seen)
    logs.arrive(engine, 300)


def test_a_report_has_a_case_for_every_suite(engine: Engine, root: Path, export: Export) -> None:
    fill(engine)
    assert export() == 0
    report = read(root)
    assert {name: report.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
    }
    (suite,) = report
    assert (suite.get("name"), suite.get("time")) == ("run step 200", "2.000")
    assert (suite.get("timestamp") or "")[10] == "T"
    easy, hard, untested = suite.findall("testcase")
    assert [one.get("name") for one in (easy, hard, untested)] == ["easy", "hard", "open"]
    assert {one.get("classname") for one in (easy, hard, untested)} == {"run.step-200"}
    assert [one.tag for one in easy] == ["system-out"]
    assert "easy: 95 % of 20 right." in (easy.findtext("system-out") or "")
    skipped = untested.find("skipped")
    assert skipped is not None
    assert "no pass_threshold" in (skipped.get("message") or "")


def test_a_failure_shows_what_was_wrong(engine: Engine, root: Path, export: Export) -> None:
    fill(engine)
    export()
    (failure,) = read(root).iter("failure")
    assert failure.get("type") == "threshold"
    message = failure.get("message") or ""
    assert message.startswith("30 % right, and at least 70 % must be.")
    assert message.endswith("60 points less than at step 100.")
    lines = (failure.text or "").splitlines()
    assert len(lines) == 10
    assert lines[0] == (
        "line 7: wrong_answer: '<b>\\x1b[31m & \\ufffe \U0001f642', and not 'answer 6'"
    )
    assert lines[1] == "line 8: wrong_answer: 'something else', and not 'answer 7'"


def test_what_was_not_measured_is_an_error(engine: Engine, root: Path, export: Export) -> None:
    fill(engine)
    broken = logs.arrive(engine, 400)
    evaluation = logs.start(engine, broken, ["easy"], examples=20)
    logs.fail(engine, evaluation, broken, ["easy"], message="\x1b[31mno room\uffff")
    assert export() == 0
    (suite,) = read(root)
    assert (suite.get("name"), suite.get("time"), suite.get("errors")) == (
        "run step 400",
        None,
        "2",
    )
    errors = {case.get("name"): case.find("error") for case in suite.findall("testcase")}
    assert [one.get("type") if one is not None else None for one in errors.values()] == [
        "not-measured",
        "not-evaluated",
    ]
    (first, _) = errors.values()
    assert first is not None
    assert first.get("message") == "NothingScored: \ufffd[31mno room\ufffd"


def test_one_checkpoint_can_be_named(engine: Engine, root: Path, export: Export) -> None:
    fill(engine)
    assert export("--checkpoint", "100") == 0
    assert [one.get("name") for one in read(root)] == ["run step 100"]
    assert read(root).get("failures") == "0"
    # Not evaluated, and so not passed.
    assert export("--checkpoint", "300", "--run", "run") == 0
    (suite,) = read(root)
    assert (suite.get("tests"), suite.get("errors")) == ("2", "2")


def test_each_run_has_its_newest_checkpoint(engine: Engine, root: Path, export: Export) -> None:
    fill(engine)
    examples = logs.questions("easy", 20, "easy")
    logs.evaluate(engine, logs.arrive(engine, 50, run="a"), ["easy"], answered(examples, 20))
    export()
    assert [one.get("name") for one in read(root)] == ["a step 50", "run step 200"]
    export("--run", "a")
    assert [one.get("name") for one in read(root)] == ["a step 50"]


def test_nothing_tested_is_no_report(
    engine: Engine, root: Path, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.arrive(engine, 100)
    assert export() == 3
    assert "an empty report would read as all well" in " ".join(capsys.readouterr().err.split())
    assert not (root / "tests.xml").exists()


@pytest.mark.parametrize(
    "arguments", [["--format", "csv"], ["--run", "nobody"], ["--checkpoint", "700"]]
)
def test_what_does_not_fit_is_refused(engine: Engine, export: Export, arguments: list[str]) -> None:
    fill(engine)
    assert export(*arguments) == 2


def test_a_checkpoint_goes_with_junit_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["milepost", "export", "results", "--out", "-", "--checkpoint", "100"]
    monkeypatch.setattr(sys, "argv", [*words, "--workspace", str(root)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
