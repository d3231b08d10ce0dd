"""Writes docs/status-files.md from what views/status_files.py declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from views.status_bodies import RENAMED
from views.status_files import FILES, HEAD, Key, StatusFile
from views.view import View

INTRO = """\
# Status files

For scripts that read files and ask no database: the newest of each view, as one JSON object a file.

```sh
milepost export status --out status
jq '.checks[-1].verdict' status/regression_monitoring.json
```

With a folder named in `milepost.toml`, `milepost evaluate` keeps them up to date, and so does `up`:

```toml
[export]
status = "status"   # starts at the workspace when relative
```

It writes them when it starts, and whenever an evaluation completes, fails, is given up, or has its
first examples in. If they cannot be written, it says so and goes on evaluating. Syncs between two
evaluations are in the file after the second one; `milepost export status` brings all up to date at
any time. It exits with 3 when a file cannot be written, or when a view stands still.

- A reader finds a whole file or none: each is written beside its place, brought
  to the disk, and renamed.
- A file whose content is the same is left alone, with its time, `generated_at` and `position`:
  these say when the content last changed, and so does a watch on the file.
- It is strict JSON. What was not measured is `null`, with a `reason` beside it, never 0, and there
  is no NaN or Infinity. An empty list was looked up, and has nothing in it.
- A view that stands still makes every key of its file `null`, with the error as the `reason`.
- Numbers are those of `milepost show`. Losses are in nats a token, shares between 0 and 1, times
  UTC in ISO 8601. Lists are bounded, and the total stands beside each.

The files tell of one run: the one evaluated last, or the one named with `--run`. Where several runs
train at a time, export each into a folder of its own.

## Every file

"""


def status_files_page(views: Iterable[View]) -> str:
    """docs/status-files.md."""
    known = {view.name: view for view in views}
    return f"{INTRO}{_table(HEAD)}" + "".join(_file(one, known) for one in FILES)


def _file(file: StatusFile, views: Mapping[str, View]) -> str:
    made_of = " and ".join(f"`milepost show {name}`" for name in file.views)
    asks = "\n".join(f"# {question}\njq '{asked}' {file.name}" for question, asked in file.asks)
    return (
        f"\n## {file.name}\n\n{file.about} From {made_of}.\n\n"
        f"{_table(file.keys)}{''.join(_inside(key, views) for key in file.keys)}"
        f"\n```sh\n{asks}\n```\n"
    )


def _table(keys: Iterable[Key]) -> str:
    rows = "".join(f"| `{key.name}` | {key.help} |\n" for key in keys)
    return f"| key | holds |\n|---|---|\n{rows}"


def _inside(key: Key, views: Mapping[str, View], path: str = "") -> str:
    """What the objects of a key hold, and what is in those."""
    place = f"{path}{key.name}"
    found = ""
    if key.view and not key.inside:
        found = f"\n`{place}`: {_columns(key, views[key.view])}.\n"
    elif key.inside:
        also = f", {_columns(key, views[key.view])}" if key.view else ""
        found = f"\n`{place}`{also}:\n\n{_table(key.inside)}"
    return found + "".join(_inside(one, views, f"{place}.") for one in key.inside)


def _columns(key: Key, view: View) -> str:
    names = [
        f"`{RENAMED.get(one.name, one.name)}`"
        for one in view.columns
        if one.name not in key.without and (not key.only or one.name in key.only)
    ]
    return f"the columns of [{view.sql_view}](sql.md#{view.sql_view}): {', '.join(names)}"
