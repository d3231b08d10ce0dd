"""Writes docs/events.md, sql.md and status-files.md from the code: `python -m docs.make`.

A test fails when the committed files differ from what this writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

from docs.queries import GROUPS, Group
from docs.status_files import status_files_page
from settings import Settings
from store.events import TYPES, Event
from views import registry
from views.relations import RELATIONS, Relation
from views.view import Column, View

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

`milepost sql "…"` asks the database one question. It can only read: anything else is refused by
name. It prints 10,000 rows at most (`--limit`), stops after 30 seconds (`--timeout`), and takes
`--format table`, `json` or `csv`. To get all predictions, results or events into a file, take
`milepost export`.

`milepost.db` is a plain SQLite file, so any client that reads SQLite does as well:
[Datasette](#in-datasette), [DuckDB](#in-duckdb), [sqlite3](#with-sqlite3), [pandas](#with-pandas).
`milepost sql`, `show` and `export` bring the views up to date first. Other clients read them as the
last Milepost process left them.

What was not measured is NULL, and `reason` says why. Losses are in nats a token, shares between 0
and 1, flags 0 or 1, times UTC in ISO 8601, JSON is text. `run` and `step` say which checkpoint a
row is about.

First come [questions](#questions) with the query that answers each, then every
[view, column by column](#views).
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
        "Which checkpoints are worse than the one before or the pinned one, and where?",
        "SELECT run, step, against, suite, difficulty, reason FROM regressions\n"
        "WHERE verdict = 'REGRESSED' ORDER BY run, step, against, suite",
    ),
    "flips": (
        "Which answers turned wrong at a step where some suite was worse beyond chance?",
        "SELECT flips.step, flips.suite, prompt, target, answer_before, answer FROM flips\n"
        "JOIN regressions USING (run, checkpoint_id, against, suite)\n"
        "WHERE flip = 'to wrong' AND accuracy_change < 0 AND accuracy_p_holm < 0.05",
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
    "confidences": (
        "Which kind of confidence is the closest to how often it is right, at each step?",
        "SELECT run, step, kind, smooth_ece, brier, log_score, verdict FROM confidences\n"
        "WHERE difficulty = 'all' ORDER BY run, step, smooth_ece",
    ),
    "temperature": (
        "What would a temperature change, on examples that it was not fitted on?",
        "SELECT run, step, what, temperature, nll_before, nll_after, ece_before, ece_after\n"
        "FROM temperatures ORDER BY run, step, what",
    ),
    "curriculum": (
        "What mix does the newest checkpoint ask for?",
        "SELECT difficulty, recommended_share, share_low, share_high, reason FROM curriculum\n"
        "WHERE step = (SELECT max(step) FROM curriculum)",
    ),
    "skills": (
        "Which skills do not move any more, and are not learned?",
        "SELECT run, step, skill, accuracy, trend, trend_low, trend_high FROM skills\n"
        "WHERE step = (SELECT max(step) FROM skills) AND accuracy < 0.8 AND trend_low <= 0\n"
        "ORDER BY run, accuracy",
    ),
    "data-map": (
        "Which mining examples are forgotten again and again?",
        "SELECT difficulty, skill, prompt, target, times_right, times_seen, forgetting_events\n"
        "FROM data_map WHERE role = 'mining' AND forgetting_events > 1\n"
        "ORDER BY forgetting_events DESC, spread DESC",
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
    "effects": (
        "Did what was exported help on validation, by the newest checkpoint?",
        "SELECT run, exported_step, n_exported, solved_exported, n_other, solved_other, verdict\n"
        "FROM effects WHERE measured = 'answers'\n"
        "AND step = (SELECT max(step) FROM effects AS one WHERE one.run = effects.run)",
    ),
    "tests": (
        "Which suites fail their threshold?",
        "SELECT run, step, suite, accuracy, threshold FROM test_results WHERE passed = 0",
    ),
    "failed-examples": (
        "What did the newest checkpoint say in place of the right answer?",
        "SELECT suite, prompt, target, generated_text, error_class FROM failed_examples",
    ),
    "alerts": (
        "What needs a look, newest first?",
        "SELECT raised_at, severity, title FROM alerts WHERE status = 'open'\n"
        "ORDER BY raised_at DESC",
    ),
}

CLIENTS = """\

## In Datasette

[Datasette](https://datasette.io) shows every view in the browser, with filters and facets, and
gives each page an address to come back to. It opens the file read-only:

```sh
pip install datasette
datasette milepost.db
```

`http://127.0.0.1:8001/milepost/results.json?_shape=objects` is the same as JSON.

## In DuckDB

[DuckDB](https://duckdb.org) reads the file in place, next to Parquet files and data frames:

```sql
INSTALL sqlite;
LOAD sqlite;
ATTACH 'milepost.db' AS milepost (TYPE sqlite, READ_ONLY);

SELECT run, step, avg(loss) AS loss FROM milepost.results GROUP BY run, step ORDER BY run, step;
```

Where there is no internet, `pip install duckdb-extension-sqlite-scanner` in the version of duckdb
brings the file that `INSTALL` would fetch, and `LOAD '…/sqlite_scanner.duckdb_extension'` takes it.

DuckDB runs a view's own SQL, and those that show prompts use functions that only SQLite has:
`predictions`, `flips`, `data_map`, `hard_examples`, `corrections` and `failed_examples`.
`sqlite_query` hands a query to SQLite itself. All columns of its answer are text, so numbers want a
CAST:

```sql
SELECT difficulty, count(*) AS n, avg(CAST(loss AS DOUBLE)) AS loss
FROM sqlite_query('milepost', 'SELECT difficulty, loss FROM predictions')
GROUP BY difficulty ORDER BY difficulty;
```

For many questions, `milepost export predictions --out predictions.parquet` is simpler: DuckDB reads
that file with its types. Tables such as `milepost.prediction` have no row ids: there,
`count(example_id)` works and `count(*)` does not.

## With sqlite3

```sh
sqlite3 -readonly -header -column milepost.db "SELECT run, step, score FROM rankings ORDER BY rank"
```

While Milepost runs, its newest lines stand in `milepost.db-wal` beside the file: copy the database
with `milepost db backup`, never with `cp`.

## With pandas

```python
import sqlite3
import pandas

connection = sqlite3.connect("file:milepost.db?mode=ro", uri=True)
results = pandas.read_sql_query("SELECT run, step, suite, loss FROM results", connection)
losses = results.pivot_table(index="step", columns="suite", values="loss")
```
"""


def events_page() -> str:
    """docs/events.md."""
    return EVENTS_HEAD + "".join(_event(model) for model in TYPES.values())


def sql_page() -> str:
    """docs/sql.md."""
    views = "".join(_view(view) for view in registry.views(Settings()))
    relations = "".join(_relation(relation) for relation in RELATIONS)
    questions = "".join(_group(group) for group in GROUPS)
    return f"{SQL_HEAD}\n## Questions\n{questions}\n## Views\n{views}{relations}{CLIENTS}"


def _event(model: type[Event]) -> str:
    text = inspect.getdoc(model) or ""
    lines = [
        f"- `{name}`: {_type(str(field.annotation))}" for name, field in model.model_fields.items()
    ]
    return f"\n## {model.__name__}\n\n{text}\n\n" + "\n".join(lines) + "\n"


def _type(annotation: str) -> str:
    text = annotation.removeprefix("<class '").removesuffix("'>")
    return text.replace("typing.", "").replace("store.events.", "").replace("NoneType", "None")


def _group(group: Group) -> str:
    return f"\n### {group.title}\n" + "".join(
        f"\n{one.question}\n\n{_query(one.sql.strip())}"
        + (f"\n{one.sqlite}\n" if one.sqlite else "")
        for one in group.queries
    )


def _view(view: View) -> str:
    question, query = QUERIES[view.name]
    return (
        f"\n### {view.sql_view}\n\n{view.question} `milepost show {view.name}` prints it.\n\n"
        f"{_columns(view.columns)}\n{question}\n\n{_query(query)}"
    )


def _relation(relation: Relation) -> str:
    return f"\n### {relation.name}\n\n{relation.about}\n\n{_columns(relation.columns)}"


def _columns(columns: Sequence[Column]) -> str:
    rows = "".join(f"| `{one.name}` | {one.unit} | {one.help} |\n" for one in columns)
    return f"| column | unit | meaning |\n|---|---|---|\n{rows}"


def _query(query: str) -> str:
    return f"```sql\n{query}\n```\n"


if __name__ == "__main__":
    (FOLDER / "events.md").write_text(events_page(), encoding="utf-8")
    (FOLDER / "sql.md").write_text(sql_page(), encoding="utf-8")
    status_files = status_files_page(registry.views(Settings()))
    (FOLDER / "status-files.md").write_text(status_files, encoding="utf-8")
