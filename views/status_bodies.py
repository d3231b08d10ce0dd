"""What the status files say: rows of the views, chosen and named, and nothing computed.

What was not measured is None and stands beside a `reason`. Each list is bounded, and its total
stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from settings import DIFFICULTIES
from views.judging import ALL
from views.view import View

Row = dict[str, Any]

NEWEST = 50  # checkpoints, and syncs
RANKED = 50
OF_EACH_TYPE = 50
FAILED_EXAMPLES = 100
PATTERNS = 100

NOTHING = "nothing was evaluated yet"
NO_NUMBERS = "no evaluation has given numbers for it yet"

GRAVEST_FIRST = ("REGRESSED", "FAILED", "SUSPECT", "INCONCLUSIVE", "OK")
# Of a part, the others say only that it has few examples.
TELLING_OF_A_PART = ("REGRESSED", "FAILED", "SUSPECT")

SUBJECT = ("run", "checkpoint_id", "step")
OF_A_MIX = ("strategy", "strategies")
BIN = ("bin_low", "bin_high", "n", "confidence", "accuracy", "accuracy_low", "accuracy_high")
RENAMED = {"loss_before": "baseline_loss", "accuracy_before": "baseline_accuracy"}

# Which run was evaluated last, or has the newest checkpoint if none was?
LAST_RUN = (
    text(
        "SELECT run FROM evaluations WHERE coalesce(finished_at, quick_at) IS NOT NULL "
        "ORDER BY coalesce(finished_at, quick_at) DESC, run LIMIT 1"
    ),
    text("SELECT run FROM checkpoints ORDER BY arrived_at DESC, run LIMIT 1"),
)
# Which are the newest checkpoints of a run whose evaluation has begun, and how many are there?
EVALUATED = text(
    "SELECT checkpoint_id FROM checkpoints WHERE run = :run AND evaluation_id IS NOT NULL "
    "ORDER BY step DESC, checkpoint_id DESC LIMIT :limit"
)
EVALUATED_TOTAL = text(
    "SELECT count(*) FROM checkpoints WHERE run = :run AND evaluation_id IS NOT NULL"
)
# Which syncs were there last?
SYNCS = text(
    "SELECT position, recorded_at, type, payload FROM event "
    "WHERE type IN ('SyncCompleted', 'SyncFailed') ORDER BY position DESC LIMIT :limit"
)
SYNCS_TOTAL = text("SELECT count(*) FROM event WHERE type IN ('SyncCompleted', 'SyncFailed')")


class Body(NamedTuple):
    """What a file says beside its head. `reason` is why something is missing, or None."""

    values: dict[str, Any]
    reason: str | None = None


@dataclass(frozen=True)
class Source:
    """Where the files come from: the views at one moment, and the run that is told of.

    `newest` are the run's newest checkpoints whose evaluation has begun, oldest first, and `total`
    is how many there are in all.
    """

    connection: Connection
    views: Mapping[str, View]
    run: str | None
    newest: tuple[str, ...]
    total: int

    def of_newest(self, view: str) -> list[Row]:
        """The rows of a view about the newest checkpoints."""
        return self.views[view].rows(
            self.connection, run=self.run, only={"checkpoint_id": self.newest}
        )

    def of_last(self, view: str, *, limit: int) -> tuple[list[Row], int]:
        """The first rows about the newest checkpoint that a view has any of, and how many it has.

        Ordered as the view is.
        """
        one = self.views[view]
        counts = {
            row["checkpoint_id"]: row["rows"]
            for row in one.counts(
                self.connection,
                ["checkpoint_id"],
                run=self.run,
                only={"checkpoint_id": self.newest},
            )
        }
        for checkpoint_id in reversed(self.newest):
            if checkpoint_id in counts:
                only = {"checkpoint_id": (checkpoint_id,)}
                rows = one.rows(self.connection, run=self.run, only=only, limit=limit)
                return rows, counts[checkpoint_id]
        return [], 0

    @property
    def nothing(self) -> str:
        """Why a view has no rows."""
        return NO_NUMBERS if self.total else NOTHING


def source_of(connection: Connection, views: Sequence[View], run: str | None = None) -> Source:
    """What the files of a run are made from; of the run that was evaluated last if none is named.

    `views` are all of them, and are up to date.
    """
    chosen = run or next(
        (found for query in LAST_RUN if (found := connection.execute(query).scalar())), None
    )
    newest = connection.execute(EVALUATED, {"run": chosen, "limit": NEWEST}).scalars().all()
    total = connection.execute(EVALUATED_TOTAL, {"run": chosen}).scalar_one()
    return Source(
        connection, {one.name: one for one in views}, chosen, tuple(reversed(newest)), total
    )


def sync(source: Source) -> Body:
    """The syncs, and the checkpoints that came."""
    newest_first = source.connection.execute(SYNCS, {"limit": NEWEST}).all()
    syncs = [_sync_row(*row) for row in reversed(newest_first)]
    view = source.views["checkpoints"]
    total = sum(row["rows"] for row in view.counts(source.connection, ["run"], run=source.run))
    checkpoints = view.rows(
        source.connection, run=source.run, limit=NEWEST, offset=max(0, total - NEWEST)
    )
    missing = [
        *([] if syncs else ["nothing was synced yet"]),
        *([] if checkpoints else ["no checkpoint has arrived yet"]),
    ]
    return Body(
        {
            "syncs": syncs,
            "syncs_total": source.connection.execute(SYNCS_TOTAL).scalar_one(),
            "last_sync": syncs[-1] if syncs else None,
            "checkpoints": checkpoints,
            "checkpoints_total": total,
        },
        "; ".join(missing) or None,
    )


def _sync_row(position: int, recorded_at: str, kind: str, payload: str) -> Row:
    fields = json.loads(payload)
    failed = kind == "SyncFailed"
    idle = "nothing new, after a sync that failed" if fields["name"] is None else None
    return {
        "position": position,
        "recorded_at": recorded_at,
        "status": "failed" if failed else "completed",
        "source": fields["source"],
        "run": fields["run"],
        "name": fields["name"],
        "path": fields.get("path"),
        "files": fields.get("files"),
        "bytes": fields.get("bytes"),
        "seconds": fields["seconds"],
        "rsync_exit_code": fields.get("rsync_exit_code"),
        "reason": fields["message"] if failed else idle,
    }


def curriculum(source: Source) -> Body:
    """How each difficulty goes, and the next data mix."""
    evaluations = []
    for rows in _by_checkpoint(source.of_newest("curriculum")):
        difficulties = {
            row["difficulty"]: _without(row, *SUBJECT, *OF_A_MIX, "difficulty") for row in rows
        }
        first = rows[0]
        evaluations.append(
            {
                **{name: first[name] for name in SUBJECT},
                "strategy": first["strategy"],
                "strategies": first["strategies"],
                "reason": first["reason"],
                "difficulties": difficulties,
            }
        )
    newest = evaluations[-1] if evaluations else None
    return Body(
        {
            "evaluations": evaluations,
            "checkpoints_total": source.total,
            "recommendation": None if newest is None else _recommendation(newest),
        },
        None if evaluations else source.nothing,
    )


def _recommendation(newest: Row) -> Row:
    shares: Row = {
        name: newest["difficulties"].get(name, {}).get("recommended_share") for name in DIFFICULTIES
    }
    return {**{name: newest[name] for name in (*SUBJECT, "strategy", "reason")}, **shares}


def mining(source: Source) -> Body:
    """The hard examples of the run, by type."""
    view = source.views["hard-examples"]
    counts = _counts_by_type(source, view)
    missing = view.rows(source.connection, run=source.run, only={"type": (None,)}, limit=1)
    examples = {
        kind: view.rows(
            source.connection, run=source.run, only={"type": (kind,)}, limit=OF_EACH_TYPE
        )
        for kind in counts
    }
    if missing:
        reason = missing[0]["reason"]
    elif not source.total:
        reason = NOTHING
    else:
        reason = None if counts else "no example is hard"
    return Body(
        {"examples": examples, "counts": counts, "examples_total": sum(counts.values())}, reason
    )


def _counts_by_type(source: Source, view: View) -> dict[str, int]:
    found = view.counts(source.connection, ["type"], run=source.run)
    counts = {row["type"]: row["rows"] for row in found if row["type"] is not None}
    return dict(sorted(counts.items()))


def regression(source: Source) -> Body:
    """The comparisons with earlier checkpoints, and the gravest of the newest one."""
    # The view has the whole first, and the checkpoint before ahead of the baseline: the last check
    # is then what most people ask for.
    by_checkpoint = [
        [_check(row) for row in reversed(rows)]
        for rows in _by_checkpoint(source.of_newest("regression"))
    ]
    return Body(
        {
            "checks": [row for rows in by_checkpoint for row in rows],
            "checkpoints_total": source.total,
            "latest": _gravest(by_checkpoint[-1]) if by_checkpoint else None,
        },
        None if by_checkpoint else source.nothing,
    )


def _check(row: Row) -> Row:
    return {RENAMED.get(name, name): value for name, value in row.items()}


def _gravest(checks: Sequence[Row]) -> Row:
    """The check with the gravest verdict; the later one of equals."""
    telling = [row for row in checks if row["suite"] == ALL or row["verdict"] in TELLING_OF_A_PART]
    return min(reversed(telling or checks), key=lambda row: GRAVEST_FIRST.index(row["verdict"]))


def comparisons(source: Source) -> Body:
    """The checkpoints, best first."""
    view = source.views["ranking"]
    rankings = view.rows(source.connection, run=source.run, limit=RANKED)
    counted = view.counts(source.connection, ["run"], run=source.run)
    best = rankings[0] if rankings and rankings[0]["rank"] is not None else None
    reason = None
    if not rankings:
        reason = source.nothing
    elif best is None:
        reason = f"no checkpoint has a rank: {rankings[0]['reason']}"
    return Body(
        {
            "rankings": rankings,
            "rankings_total": sum(row["rows"] for row in counted),
            "best": best,
        },
        reason,
    )


def calibration(source: Source) -> Body:
    """How well confidence fits, by checkpoint and difficulty."""
    evaluations = []
    for rows in _by_checkpoint(source.of_newest("calibration")):
        difficulties = {
            name: _binned(list(its)) for name, its in groupby(rows, lambda row: row["difficulty"])
        }
        evaluations.append(
            {
                **{name: rows[0][name] for name in SUBJECT},
                **difficulties.pop(ALL, {}),
                "difficulties": difficulties,
            }
        )
    return Body(
        {"evaluations": evaluations, "checkpoints_total": source.total},
        None if evaluations else source.nothing,
    )


def _binned(rows: Sequence[Row]) -> Row:
    bins = [{name: row[name] for name in BIN} for row in rows if row["bin_low"] is not None]
    return {**_without(rows[0], *SUBJECT, "difficulty", *BIN), "bins": bins}


def testing(source: Source) -> Body:
    """The tests, and what the newest checkpoint got wrong in them."""
    results = source.of_newest("tests")
    failed, total = source.of_last("failed-examples", limit=FAILED_EXAMPLES)
    newest = _by_checkpoint(results)[-1] if results else []
    if newest and failed and failed[0]["checkpoint_id"] != newest[0]["checkpoint_id"]:
        failed, total = [], 0
    return Body(
        {
            "results": results,
            "checkpoints_total": source.total,
            "summary": _summary(newest) if newest else None,
            "failed_examples": failed,
            "failed_examples_total": total,
        },
        None if results else source.nothing,
    )


def _summary(rows: Sequence[Row]) -> Row:
    statuses = [row["status"] for row in rows]
    tested = len(rows) - statuses.count("UNTESTED")
    return {
        **{name: rows[0][name] for name in SUBJECT},
        "suites": len(rows),
        "passed": statuses.count("PASS"),
        "failed": statuses.count("FAIL"),
        "not_measured": statuses.count("FAILED"),
        "untested": statuses.count("UNTESTED"),
        "reason": None if tested else "no suite has a pass_threshold in milepost.toml",
    }


def corrections(source: Source) -> Body:
    """The kinds of error of the newest checkpoint, the most frequent first."""
    patterns, total = source.of_last("corrections", limit=PATTERNS)
    reason = None
    if not patterns:
        reason = "no answer was wrong" if source.total else NOTHING
    elif patterns[0]["n"] is None:  # the row says why there are none
        reason, patterns, total = patterns[0]["reason"], [], 0
    return Body({"patterns": patterns, "patterns_total": total}, reason)


def _by_checkpoint(rows: Sequence[Row]) -> list[list[Row]]:
    return [list(its) for _, its in groupby(rows, lambda row: row["checkpoint_id"])]


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}
