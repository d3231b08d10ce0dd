"""The benchmark on a small log: it must go on working, and its log must be like a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from benchmarks import growth
from benchmarks.growth import Costs
from settings import load_workspace
from store.engine import connect, reading
from views.pages.contents import SECTIONS

SIZES = (4, 10)
EXAMPLES = 150


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def costs(root: Path) -> list[Costs]:
    return list(growth.measure(root, SIZES, EXAMPLES))


@pytest.fixture
def connection(root: Path, costs: list[Costs]) -> Iterator[Connection]:
    assert len(costs) == len(SIZES)
    engine = connect(load_workspace(root).database_url, read_only=True)
    with reading(engine) as opened:
        yield opened
    engine.dispose()


def test_every_page_and_every_size_is_measured(costs: list[Costs]) -> None:
    paths = {page.path for pages in SECTIONS.values() for page in pages}
    assert [one.predictions for one in costs] == [size * EXAMPLES for size in SIZES]
    assert [set(one.pages) for one in costs] == [paths] * len(SIZES)
    assert all(seconds > 0 for one in costs for seconds in one.pages.values())


def test_the_replay_is_timed_projection_by_projection(costs: list[Costs]) -> None:
    assert {"lifecycle", "results", "regression", "alerts"} <= set(costs[-1].replay_seconds)


def test_the_log_holds_what_was_asked_for(connection: Connection) -> None:
    count = text("SELECT count(*), count(DISTINCT evaluation_id), count(error) FROM prediction")
    rows, evaluations, errors = connection.execute(count).one()
    assert (rows, evaluations) == (SIZES[-1] * EXAMPLES, SIZES[-1])
    assert 0 < errors < 0.02 * rows


def test_accuracy_rises_over_the_run_and_easy_is_ahead_of_hard(connection: Connection) -> None:
    query = text("SELECT difficulty, step, accuracy FROM results WHERE step IN (100, 500, 1000)")
    accuracy = {(row.difficulty, row.step): row.accuracy for row in connection.execute(query)}
    for difficulty in ("easy", "medium", "hard"):
        assert accuracy[difficulty, 1000] > accuracy[difficulty, 100] + 0.2
    assert accuracy["easy", 500] > accuracy["medium", 500] > accuracy["hard", 500]


def test_mistakes_are_of_many_kinds_and_differ_by_checkpoint(connection: Connection) -> None:
    kinds = connection.scalars(text("SELECT DISTINCT error_class FROM corrections")).all()
    assert {"near_miss", "format_only", "repetition", "empty", "wrong_answer"} <= set(kinds)
    texts = text(
        "SELECT count(DISTINCT generated_text) FROM prediction GROUP BY example_id "
        "ORDER BY 1 DESC LIMIT 1"
    )
    assert connection.execute(texts).scalar_one() >= 5


def test_the_damaged_checkpoint_is_found(connection: Connection) -> None:
    query = text("SELECT DISTINCT step FROM regressions WHERE verdict = 'REGRESSED'")
    assert 700 in connection.scalars(query).all()
