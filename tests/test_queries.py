"""Every query of docs/sql.md runs, and finds something in a log that has such a case."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from commands.query import ask
from docs import make, queries
from errors import UsageError
from settings import DIFFICULTIES
from store import log
from store.engine import connect
from store.events import PredictionsRecorded, Refusal, SuiteRegistered
from store.log import Rows
from store.projections import bring_up_to_date
from tests import logs
from tests.conftest import MIGRATED
from tests.logs import Seen
from tests.postgres import Server
from tests.views.deriving import eventful, rejected, settings_with_tests
from views import registry

VIEWS_PAGE = (Path(__file__).resolve().parent.parent / "docs" / "views.md").read_text("utf-8")
QUESTIONS = [query for group in queries.GROUPS for query in group.queries]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def reader(
    request: pytest.FixtureRequest, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A reader's engine on a log in which everything happens that the questions are about."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            file = tmp_path_factory.mktemp("queries") / "milepost.db"
            shutil.copy(empty_database, file)
            url = f"sqlite:///{file}"
        else:
            server: Server = request.getfixturevalue("postgres")
            url = server.url(stack.enter_context(server.copy_of(MIGRATED)))
        writer = connect(url)
        for _ in eventful(writer):
            pass
        _add_odd_answers(writer)
        assert bring_up_to_date(writer, registry.projections(settings_with_tests())) == []
        writer.dispose()
        engine = connect(url, read_only=True)
        yield engine
        engine.dispose()


def _add_odd_answers(engine: Engine) -> None:
    """A suite with a refused row, and a run whose answers are cut, empty, unsure or swapped.

    Of 30 examples, the first 12 are right at step 100 alone, the next 12 from step 200 on, and the
    last 6 never.
    """
    asked = [
        logs.example("odd", f"odd question {k}", f"answer {k}", k + 1, DIFFICULTIES[k % 3])
        for k in range(30)
    ]
    event = SuiteRegistered(
        suite_id="odd",
        revision=1,
        name="odd",
        path="/suites/odd.jsonl",
        difficulty=None,
        role="validation",
        grader="exact",
        graded_by=None,
        rows_read=31,
        examples=30,
        duplicates=0,
        refused=(Refusal(line=31, reason="no target"),),
    )
    log.append(engine, event, rows=Rows(examples=asked))
    log.append(engine, rejected("/checkpoints/odd/checkpoint-900"))
    for step in (100, 200, 300):
        checkpoint = logs.arrive(engine, step, run="odd")
        evaluation = logs.start(engine, checkpoint, ["odd"], examples=30)
        right = range(12) if step == 100 else range(12, 24)
        rows = [
            replace(
                logs.prediction(
                    evaluation, one, Seen(one.target if k in right else "", -1.0, -step / 100)
                ),
                finish_reason="length",
                prompt_truncated=True,
            )
            for k, one in enumerate(asked)
        ]
        recorded = PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=30, failed=0)
        log.append(engine, recorded, rows=Rows(predictions=rows))
        logs.complete(engine, evaluation, checkpoint, scored=30)


@pytest.mark.parametrize("query", QUESTIONS, ids=lambda query: query.question)
def test_every_question_has_an_answer(reader: Engine, query: queries.Query) -> None:
    if query.sqlite and reader.dialect.name != "sqlite":
        with pytest.raises(UsageError, match="does not exist"):
            ask(reader, query.sql)
        return
    assert ask(reader, query.sql, seconds=10).rows


@pytest.mark.parametrize("query", make.QUERIES.values(), ids=lambda query: str(query[0]))
def test_every_query_of_a_view_runs(reader: Engine, query: tuple[str, str]) -> None:
    assert ask(reader, query[1], seconds=10).columns


@pytest.mark.parametrize(
    "sql", re.findall(r"^```sql\n(.*?)^```", VIEWS_PAGE, re.DOTALL | re.MULTILINE)
)
def test_every_query_of_the_page_on_views_has_an_answer(reader: Engine, sql: str) -> None:
    assert ask(reader, sql, seconds=10).rows


def test_questions_and_queries_are_asked_once() -> None:
    assert len({query.question for query in QUESTIONS}) == len(QUESTIONS)
    assert len({query.sql for query in QUESTIONS}) == len(QUESTIONS)


def test_flips_both_ways_are_the_ones_that_were_put_in(reader: Engine) -> None:
    """In the run "odd", between steps 100 and 200."""
    (query,) = (one for one in QUESTIONS if one.question.startswith("How many changed sides"))
    answer = ask(reader, query.sql)
    assert [row for row in answer.rows if row[0] == "odd"] == [("odd", "odd", 12, 12, 30)]
