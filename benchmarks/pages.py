"""How long the database takes for what each page of the dashboard asks.

Each page is drawn once by Streamlit's own test runner, which finds out what it asks; those
questions are then asked again and again, without drawing and without a cache.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from streamlit.testing.v1 import AppTest

from settings import load_workspace
from store.engine import connect
from store.engine import reading as reading_from
from views import registry
from views.pages import reading
from views.pages.contents import SECTIONS, Page
from views.pages.reading import Here, Question

TIMES = 20
SCRIPT = 'import streamlit\nstreamlit.session_state["draw"]()'
# What a person may have chosen, beside each page as it opens.
CHOICES: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "checkpoints": ({"step": "100"},),
    "calibration": ({"step": "100"},),
    "corrections": ({"step": "100"},),
    "hard-examples": ({"type": "Never learned"}, {"rows": "2"}),
    "log": ({"newest": "1000"},),
}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Listener(Here):
    """A `Here` that answers without a cache and remembers what it was asked."""

    asked: dict[str, Question[Any]] = field(default_factory=dict)

    def ask(self, question: Question[Answer]) -> Answer:
        """The answer, asked of the database."""
        self.asked[repr(question)] = question
        with reading_from(self.engine) as connection:
            return question.answer(connection)


def slowest(root: Path) -> dict[str, float]:
    """The 95th percentile of each page's queries in milliseconds, at its slowest choice."""
    here = _look(root)
    # The test runner has no browser, and Streamlit would say so for each page.
    logging.disable(logging.WARNING)
    try:
        return {
            page.path: max(
                _p95(here, _questions(here, page, choice))
                for choice in ({}, *CHOICES.get(page.path, ()))
            )
            for pages in SECTIONS.values()
            for page in pages
        }
    finally:
        logging.disable(logging.NOTSET)
        here.engine.dispose()


def _look(root: Path) -> Listener:
    workspace = load_workspace(root)
    engine = connect(workspace.database_url, read_only=True)
    runs = reading.runs(engine)
    return Listener(
        workspace=workspace,
        engine=engine,
        file=reading.file_number(workspace.database_url),
        views=tuple(registry.views(workspace.settings)),
        pulse=reading.pulse(engine),
        runs=runs,
        run=runs[0],
    )


def _questions(here: Listener, page: Page, choice: Mapping[str, str]) -> list[Question[Any]]:
    here.asked.clear()
    app = AppTest.from_string(SCRIPT, default_timeout=120)
    app.session_state["draw"] = partial(page.render, here)
    for name, value in choice.items():
        app.query_params[name] = value
    app.run()
    if app.exception:
        raise RuntimeError(f"the page {page.path} failed: {app.exception[0].value}")
    return list(here.asked.values())


def _p95(here: Listener, questions: list[Question[Any]]) -> float:
    """With what the frame around every page reads: runs, the log's head, who is running."""
    milliseconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        reading.runs(here.engine)
        reading.pulse(here.engine)
        reading.processes(here.engine)
        reading.running(here.engine)
        for question in questions:
            with reading_from(here.engine) as connection:
                question.answer(connection)
        milliseconds.append(1000 * (time.perf_counter() - began))
    return statistics.quantiles(milliseconds, n=20, method="inclusive")[-1]
