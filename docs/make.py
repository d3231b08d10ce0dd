"""Writes docs/events.md and docs/sql.md from the code: `python -m docs.make`.

A test fails when the committed files differ from what this writes.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from settings import Settings
from store.events import TYPES, Event
from views import registry
from views.view import View

FOLDER = Path(__file__).resolve().parent

EVENTS_HEAD = """\
# The events in the log

The log is the table `event`: `position` orders everything, `stream` and `version` order the facts
about one subject, `event_id` is derived from what makes the fact unique, `payload` is JSON. Rows
are never changed or deleted; SQLite itself refuses it. `milepost show events` prints them.

A prediction's numbers stand in the table `prediction`, one row an example, its per-token arrays in
`token_trace`, a suite's rows in `example`; each names the position of its event.
"""

SQL_HEAD = """\
# SQL on the results

`milepost sql "…"` asks the database one question on a read-only connection. `milepost.db` is a
plain SQLite file, so any client that reads SQLite does as well. These read-only views are for
people and scripts; `milepost show NAME` prints the same columns.

What was not measured is NULL, and `reason` says why. Losses are in nats a token, shares between 0
and 1, times UTC in ISO 8601. `run` and `step` say which checkpoint a row is about.
"""

# One question a view, with the query that answers it. Each runs in a test.
QUERIES = {
    "checkpoints": (
        "Which checkpoints are not evaluated, and why?",
        "SELECT run, step, status, reason FROM checkpoints WHERE status <> 'evaluated'",
    ),
    "results": (
        "How do loss and accuracy move on the easy suite?",
        "SELECT run, step, loss, accuracy, n FROM results\n"
        "WHERE suite = 'easy_50' ORDER BY run, step",
    ),
    "regression": (
        "Which checkpoints are worse than the one before, and where?",
        "SELECT run, step, suite, reason FROM regressions\n"
        "WHERE verdict = 'REGRESSED' ORDER BY run, step, suite",
    ),
    "ranking": (
        "Which three checkpoints are best?",
        "SELECT run, step, score, loss, accuracy FROM rankings\n"
        "WHERE rank IS NOT NULL ORDER BY run, rank LIMIT 3",
    ),
    "calibration": (
        "How well does the confidence fit, over the steps?",
        "SELECT DISTINCT run, step, ece, brier, verdict FROM calibration\n"
        "WHERE difficulty = 'all' ORDER BY run, step",
    ),
    "curriculum": (
        "What mix does the newest checkpoint ask for?",
        "SELECT difficulty, recommended_share, reason FROM curriculum\n"
        "WHERE step = (SELECT max(step) FROM curriculum)",
    ),
    "hard-examples": (
        "Which examples were learned and then forgotten?",
        "SELECT prompt, target, generated_text, last_right_step FROM hard_examples\n"
        "WHERE type = 'forgotten'",
    ),
    "corrections": (
        "Which kinds of error are the most frequent at each step?",
        "SELECT run, step, error_class, sum(n) AS errors FROM corrections\n"
        "GROUP BY run, step, error_class ORDER BY run, step, errors DESC",
    ),
    "tests": (
        "Which suites fail their threshold?",
        "SELECT run, step, suite, accuracy, threshold FROM test_results WHERE passed = 0",
    ),
    "alerts": (
        "What needs a look, newest first?",
        "SELECT raised_at, severity, title FROM alerts ORDER BY raised_at DESC",
    ),
}

MORE_QUERIES = [
    (
        "What did two checkpoints answer to the same example?",
        "SELECT a.prompt, a.target, a.generated_text, b.generated_text\n"
        "FROM predictions AS a JOIN predictions AS b USING (example_id, suite, sample)\n"
        "WHERE a.step = 100 AND b.step = 200 AND a.generated_text <> b.generated_text",
    ),
    (
        "How long did each evaluation take, and how much memory?",
        "SELECT run, step, status, seconds, peak_bytes FROM evaluations ORDER BY run, step",
    ),
]


def events_page() -> str:
    """docs/events.md."""
    return EVENTS_HEAD + "".join(_event(model) for model in TYPES.values())


def sql_page() -> str:
    """docs/sql.md."""
    views = registry.views(Settings())
    more = "".join(f"\n{question}\n\n{_query(query)}" for question, query in MORE_QUERIES)
    tail = "\n## predictions and evaluations\n\nEvery prediction, and every evaluation.\n"
    return SQL_HEAD + "".join(_view(view) for view in views) + tail + more


def _event(model: type[Event]) -> str:
    text = inspect.getdoc(model) or ""
    lines = [
        f"- `{name}`: {_type(str(field.annotation))}" for name, field in model.model_fields.items()
    ]
    return f"\n## {model.__name__}\n\n{text}\n\n" + "\n".join(lines) + "\n"


def _type(annotation: str) -> str:
    text = annotation.removeprefix("<class '").removesuffix("'>")
    return text.replace("typing.", "").replace("store.events.", "").replace("NoneType", "None")


def _view(view: View) -> str:
    question, query = QUERIES[view.name]
    rows = "\n".join(
        f"| `{column.name}` | {column.unit} | {column.help} |" for column in view.columns
    )
    return (
        f"\n## {view.sql_view}\n\n{view.question} `milepost show {view.name}` prints it.\n\n"
        f"| column | unit | meaning |\n|---|---|---|\n{rows}\n\n{question}\n\n{_query(query)}"
    )


def _query(query: str) -> str:
    return f"```sql\n{query}\n```\n"


if __name__ == "__main__":
    (FOLDER / "events.md").write_text(events_page(), encoding="utf-8")
    (FOLDER / "sql.md").write_text(sql_page(), encoding="utf-8")
