"""`milepost regrade` grades anew from the log alone, and a replay comes to the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, Engine, select

import cli
from data.workspace import make
from settings import load_workspace, parse
from store import log
from store.engine import connect
from store.events import PredictionsRecorded, SuiteRegistered
from store.log import Recorded, Rows
from store.projections import Derive, Projection, bring_up_to_date, replay
from store.records import Example, Prediction, example_id_of
from tests import logs
from tests.logs import Seen
from tests.views.deriving import eventful, stored
from views import registry
from views.tallies import GRADE, RESULT

TOML = """
[[suite]]
name = "easy"
path = "easy.jsonl"
pass_threshold = 0.5
"""


class Ran(NamedTuple):
    code: int
    out: list[str]
    err: str


class Desk:
    """A workspace whose log one can fill, and `milepost regrade …` on it."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.root = make(root, text=TOML).root
        self.engine = connect(load_workspace(self.root).database_url)
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    @property
    def projections(self) -> list[Projection]:
        return registry.projections(load_workspace(self.root).settings)

    def regrade(self, *arguments: str) -> Ran:
        words = ["milepost", "regrade", *arguments, "--workspace", str(self.root)]
        self._monkeypatch.setattr(sys, "argv", words)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = self._capsys.readouterr()
        return Ran(int(caught.value.code or 0), out.splitlines(), " ".join(err.split()))

    def registered(self) -> list[tuple[str, int, str | None]]:
        """(name, revision, chosen grader) of every registration."""
        with self.engine.connect() as connection:
            events = [one.event for one in log.read(connection, types=(SuiteRegistered,))]
        return [
            (one.name, one.revision, one.graded_by)
            for one in events
            if isinstance(one, SuiteRegistered)
        ]

    def accuracies(self) -> list[tuple[str, str | None, float | None]]:
        """(suite, grader, accuracy), of the newest step, as views show them."""
        assert bring_up_to_date(self.engine, self.projections) == []
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT suite, grader, accuracy FROM results "
                "WHERE step = (SELECT max(step) FROM results) ORDER BY suite"
            )
            return [tuple(row) for row in rows]


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    desk = Desk(tmp_path / "workspace", monkeypatch, capsys)
    yield desk
    desk.engine.dispose()


def fill(engine: Engine, suite: str = "easy", grader: str = "exact") -> None:
    """Two checkpoints on four questions: the first has none right, whatever the grader.

    The second has two, and one more after thinking, which `exact@2` alone leaves out.
    """
    examples = logs.questions(suite, 4)
    logs.register_suite(engine, examples, suite_id=suite, grader=grader)
    said = ["answer 0", "<think>1?</think>answer 1", "answer 2", "no"]
    wrong = [(one, Seen("no")) for one in examples]
    partly = [(one, Seen(text)) for one, text in zip(examples, said, strict=True)]
    logs.evaluate(engine, logs.arrive(engine, 100), [suite], wrong)
    logs.evaluate(engine, logs.arrive(engine, 200), [suite], partly)


def test_the_chosen_version_grades_and_says_what_changed(desk: Desk) -> None:
    fill(desk.engine)
    assert desk.accuracies() == [("easy", "exact@2", 0.75)]
    ran = desk.regrade("--grader", "exact@1")
    assert (ran.code, ran.out) == (
        0,
        [
            "easy: exact@2 → exact@1",
            "  1 of 8 answers changed sides: 0 to right, 1 to wrong",
            "  accuracy of run step 200: 75 % of 4 answers → 50 % of 4 answers",
        ],
    )
    assert desk.accuracies() == [("easy", "exact@1", 0.5)]
    assert desk.registered() == [("easy", 1, None), ("easy", 2, "exact@1")]


def test_a_name_alone_takes_the_choice_back(desk: Desk) -> None:
    fill(desk.engine)
    desk.regrade("--grader", "exact@1")
    ran = desk.regrade("--grader", "exact")
    assert ran.out == [
        "easy: exact@1 → exact@2",
        "  1 of 8 answers changed sides: 1 to right, 0 to wrong",
        "  accuracy of run step 200: 50 % of 4 answers → 75 % of 4 answers",
    ]
    assert desk.registered()[-1] == ("easy", 3, None)


def test_the_same_choice_twice_is_one_fact(desk: Desk) -> None:
    fill(desk.engine)
    desk.regrade("--grader", "exact@1")
    ran = desk.regrade("--grader", "exact@1")
    assert (ran.code, ran.out[:2]) == (
        0,
        ["easy: exact@1 as before", "  0 of 8 answers changed sides: 0 to right, 0 to wrong"],
    )
    assert len(desk.registered()) == 2


def test_a_replay_comes_to_the_same_rows(desk: Desk) -> None:
    for _ in eventful(desk.engine):
        pass
    assert desk.regrade("--grader", "exact@1").code == 0
    assert desk.regrade("--grader", "numeric@1", "--suite", "medium").code == 0
    followed = stored(desk.engine, desk.projections)
    assert {row[4] for row in followed["grade"]} == {"exact@1", "numeric@1"}
    assert replay(desk.engine, desk.projections) == []
    assert stored(desk.engine, desk.projections) == followed


def test_only_the_suites_with_that_grader_are_graded_anew(desk: Desk) -> None:
    fill(desk.engine, "easy", "exact")
    fill(desk.engine, "exactly", "exact@2")
    fill(desk.engine, "loose", "contains")
    desk.regrade("--grader", "exact@1")
    assert [one[0] for one in desk.registered() if one[2]] == ["easy", "exactly"]
    desk.regrade("--grader", "json@1", "--suite", "loose")
    assert desk.registered()[-1] == ("loose", 2, "json@1")


def test_every_content_that_a_suite_has_had_follows_the_choice(desk: Desk) -> None:
    fill(desk.engine)
    with desk.engine.connect() as connection:
        old = next(one.event for one in log.read(connection, types=(SuiteRegistered,)))
    log.append(desk.engine, old.model_copy(update={"suite_id": "easy with more rows"}))
    desk.regrade("--grader", "exact@1", "--suite", "easy")
    assert [one[1:] for one in desk.registered()] == [
        (1, None),
        (1, None),
        (2, "exact@1"),
        (2, "exact@1"),
    ]


def test_a_grader_of_ones_own_is_chosen_in_a_version_and_ends_with_it(desk: Desk) -> None:
    fill(desk.engine)
    name = "python:lenient:grade"
    file = desk.root / "lenient.py"
    file.write_text("def grade(generated, target): return generated != 'no'\n", encoding="utf-8")
    refused = desk.regrade("--grader", name, "--suite", "easy")
    assert refused.code == 2
    assert f"no suite in milepost.toml has the grader '{name}'" in refused.err
    # Named there for another suite, it is known.
    other = f'[[suite]]\nname = "other"\npath = "other.jsonl"\ngrader = "{name}"\n'
    (desk.root / "milepost.toml").write_text(TOML + other, encoding="utf-8")
    full = load_workspace(desk.root).settings.own_graders[name].full_name
    ran = desk.regrade("--grader", full, "--suite", "easy")
    assert (ran.code, ran.out) == (
        0,
        [
            f"easy: exact@2 → {full}",
            "  0 of 8 answers changed sides: 0 to right, 0 to wrong",
            "  accuracy of run step 200: 75 % of 4 answers → 75 % of 4 answers",
        ],
    )
    assert desk.accuracies() == [("easy", full, 0.75)]
    file.write_text("def grade(generated, target): return 1\n", encoding="utf-8")
    # That version is gone: nothing is graded by another one in its place.
    assert desk.accuracies() == [("easy", None, None)]
    assert "lenient.py has changed: it is" in desk.regrade("--grader", full).err
    assert desk.regrade("--grader", "exact", "--suite", "easy").code == 0
    assert desk.accuracies() == [("easy", "exact@2", 0.75)]


def test_choices_are_graded_anew_by_the_byte(desk: Desk) -> None:
    choices, messages = ("no", "certainly"), ({"role": "user", "content": "Sure?"},)
    row = Example(
        suite_id="easy",
        example_id=example_id_of("choice", messages, "certainly", choices),
        line=1,
        kind="choice",
        messages=messages,
        target="certainly",
        choices=choices,
    )
    logs.register_suite(desk.engine, [row], suite_id="easy")
    checkpoint = logs.arrive(desk.engine, 100)
    evaluation = logs.start(desk.engine, checkpoint, ["easy"], examples=1)
    seen = Prediction(evaluation, row.example_id, choice_logprobs=(-4.0, -9.0))
    recorded = PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=1, failed=0)
    log.append(desk.engine, recorded, rows=Rows(predictions=[seen]))
    logs.complete(desk.engine, evaluation, checkpoint, scored=1)
    assert desk.accuracies() == [("easy", "choice@1", 0.0)]
    ran = desk.regrade("--grader", "choice_norm@1", "--suite", "easy")
    assert ran.out[1:] == [
        "  1 of 1 answer changed sides: 1 to right, 0 to wrong",
        "  accuracy of run step 100: 0 % of 1 answer → 100 % of 1 answer",
    ]
    assert desk.accuracies() == [("easy", "choice_norm@1", 1.0)]


def test_what_was_not_graded_is_no_number(desk: Desk) -> None:
    examples = [logs.example("easy", f"question {k}", word) for k, word in enumerate("abc")]
    logs.register_suite(desk.engine, examples, suite_id="easy", grader="numeric")
    seen = [(examples[0], Seen("a")), (examples[1], Seen("a")), (examples[2], Seen("", error="!"))]
    logs.evaluate(desk.engine, logs.arrive(desk.engine, 100), ["easy"], seen)
    (desk.root / "milepost.toml").write_text(TOML + 'grader = "numeric"\n', encoding="utf-8")
    assert desk.accuracies() == [("easy", "numeric@2", None)]
    assert desk.regrade("--grader", "numeric@1").out[1:] == [
        "  no answer was graded both before and after",
        "  accuracy of run step 100: nothing graded → nothing graded",
    ]
    assert desk.regrade("--grader", "exact@1", "--suite", "easy").out == [
        "easy: numeric@1 → exact@1",
        "  no answer was graded both before and after",
        "  2 answers graded that could not be graded before",
        "  accuracy of run step 100: nothing graded → 50 % of 2 answers",
    ]
    assert desk.regrade("--grader", "numeric", "--suite", "easy").out[2:] == [
        "  2 answers not graded any more",
        "  accuracy of run step 100: 50 % of 2 answers → nothing graded",
    ]


def test_a_suite_without_a_complete_evaluation_says_so(desk: Desk) -> None:
    logs.register_suite(desk.engine, logs.questions("easy", 2), suite_id="easy")
    assert desk.regrade("--grader", "exact@1").out == [
        "easy: exact@2 → exact@1",
        "  no evaluation of it is complete, so there is nothing to grade yet",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exakt"], "no grader 'exakt'. There are: choice, choice_norm,"),
        (["exact@7"], "no grader 'exact@7'. There are: choice, choice_norm,"),
        (["json@1"], "no suite is graded by 'json' in milepost.toml. The log has: easy (exact)."),
        (["exact@1", "--suite", "hard"], "no suite 'hard'. It has: easy (exact)."),
        (["json", "--suite", "easy"], "suite 'easy' is graded by 'exact'"),
        (["json", "--suite", "easy"], "name a version: json@2."),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(
    desk: Desk, arguments: list[str], words: str
) -> None:
    fill(desk.engine)
    ran = desk.regrade("--grader", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert len(desk.registered()) == 1


def test_an_empty_log_says_what_brings_suites_there(desk: Desk) -> None:
    ran = desk.regrade("--grader", "exact@1")
    assert ran.code == 2
    assert "`milepost evaluate` brings those of milepost.toml there" in ran.err


@pytest.mark.parametrize(
    "arguments", [["exact@1"], ["contains@1"], ["exact@1", "--suite", "easy"], ["contains"]]
)
def test_a_choice_that_the_next_evaluation_would_end_is_refused(
    desk: Desk, arguments: list[str]
) -> None:
    fill(desk.engine)
    fill(desk.engine, "loose", "contains")
    (desk.root / "milepost.toml").write_text(TOML + 'grader = "contains"\n', encoding="utf-8")
    ran = desk.regrade("--grader", *arguments)
    assert ran.code == 2
    assert "names the grader 'contains' for suite 'easy' now, and the log still 'exact'" in ran.err
    assert "`milepost evaluate --once` first" in ran.err
    assert [one[2] for one in desk.registered()] == [None, None]


def counted(projections: Sequence[Projection], ran: list[str]) -> list[Projection]:
    """The same projections, which note their names in `ran` whenever they derive."""

    def noting(name: str, derive: Derive) -> Derive:
        def noted(connection: Connection, events: Sequence[Recorded]) -> None:
            ran.append(name)
            derive(connection, events)

        return noted

    return [replace(one, derive=noting(one.name, one.derive)) for one in projections]


@pytest.mark.parametrize(
    ("section", "derived"),
    [
        ("[regression]\nloss_increase = 0.3", {"regression", "alerts"}),
        ("[regression]\naccuracy_drop = 0.3", {"regression", "alerts"}),
        ("[regression]\nmin_examples = 3", {"regression", "alerts"}),
        ("[regression]\nfalse_alarms = 0.2", {"regression", "alerts"}),
        ("[regression]\ncheckpoints = 9", {"regression", "alerts"}),
        ('[regression]\ncluster_by = "book"', {"regression", "alerts"}),
        ("[ranking]\nloss_weight = 0.1", {"ranking"}),
        (
            "[calibration]\nedges = [0.0, 0.5, 1.0]",
            {
                "calibration",
                "confidences",
                "temperature",
                "ranking",
                "alerts",
            },
        ),
        ("[curriculum]\nmastered_accuracy = 0.9", {"curriculum"}),
        ("[data_map]\nambiguous_spread = 0.3", {"data_map"}),
        ("[tests]\ndrop = 0.01", {"test_results", "alerts"}),
        ("[hard_examples]\nlow_confidence = 0.9", {"hard_examples"}),
        (
            "[[suite]]\nname = 'easy'\npath = 'easy.jsonl'\npass_threshold = 0.9",
            {"test_results", "alerts"},
        ),
        ("[evaluation]\nbatch_tokens = 64", set()),
    ],
)
def test_a_changed_setting_derives_what_depends_on_it_and_grades_nothing(
    engine: Engine, section: str, derived: set[str]
) -> None:
    def projections(text: str) -> list[Projection]:
        return registry.projections(parse(text, Path("milepost.toml")))

    def graded() -> list[Any]:
        with engine.connect() as connection:
            return [list(connection.execute(select(table)).all()) for table in (GRADE, RESULT)]

    for _ in eventful(engine):
        pass
    assert bring_up_to_date(engine, projections("")) == []
    before = graded()
    ran: list[str] = []
    assert bring_up_to_date(engine, counted(projections(section), ran)) == []
    assert set(ran) == derived
    assert graded() == before
    ran.clear()
    assert bring_up_to_date(engine, counted(projections(section), ran)) == []
    assert ran == []
