"""Appending predictions, beside the bare sqlite3 module doing the same writes.

The peer writes the same rows into the same columns with the same durability (WAL, synchronous=FULL)
and batch size, without guards, CHECKs, events or ids. The two take turns, so that a busy machine
slows both.
"""

from __future__ import annotations

import sqlite3
import statistics
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

from sqlalchemy import Engine

from benchmarks import biglog
from benchmarks.biglog import BATCH
from store import log
from store.engine import connect
from store.events import PredictionsRecorded
from store.log import Rows
from store.migrations import upgrade
from store.records import Prediction, TokenTrace
from store.schema import dumps

BATCHES = 60
TRACED_TOKENS = 12


class Rates(NamedTuple):
    """Predictions a second, of Milepost and of its peer, and the ratio; medians over rounds."""

    ours: float
    peers: float
    ratio: float


def compare(folder: Path, *, traced: bool, rounds: int) -> Rates:
    """Both write the same batches, in turns, after one round to warm up."""
    url = f"sqlite:///{folder}/milepost.db"
    upgrade(url)
    engine = connect(url)
    client = _bare_client(folder / "bare.db")
    ours, peers = [], []
    for number in range(rounds + 1):
        batches = _batches(f"evaluation-{number}", traced=traced)
        ours.append(_rate(partial(_append, engine, f"evaluation-{number}", batches)))
        peers.append(_rate(partial(_bare, client, batches)))
    client.close()
    engine.dispose()
    ratios = [our / peer for our, peer in zip(ours[1:], peers[1:], strict=True)]
    return Rates(*(statistics.median(one) for one in (ours[1:], peers[1:], ratios)))


def _batches(evaluation_id: str, *, traced: bool) -> list[Rows]:
    random = Random(evaluation_id)
    asked = biglog.questions(BATCH * BATCHES)
    made = [biglog.prediction(evaluation_id, one, 0.6, random) for one in asked]
    return [
        Rows(
            predictions=made[start : start + BATCH],
            traces=[
                _trace(one, kind, random)
                for one in made[start : start + BATCH]
                if traced
                for kind in ("target", "generated")
            ],
        )
        for start in range(0, len(made), BATCH)
    ]


def _trace(of: Prediction, kind: Literal["target", "generated"], random: Random) -> TokenTrace:
    arrays = [
        struct.pack(f"<{TRACED_TOKENS}e", *(random.uniform(0, 5) for _ in range(TRACED_TOKENS)))
        for _ in range(3)
    ]
    pieces = tuple(random.choices(biglog.WORDS, k=TRACED_TOKENS))
    return TokenTrace(of.evaluation_id, of.example_id, of.sample, kind, pieces, *arrays)


def _append(engine: Engine, evaluation_id: str, batches: Sequence[Rows]) -> None:
    for number, rows in enumerate(batches):
        failed = sum(one.error is not None for one in rows.predictions)
        event = PredictionsRecorded(
            evaluation_id=evaluation_id,
            batch=str(number),
            scored=len(rows.predictions) - failed,
            failed=failed,
        )
        log.append(engine, event, expected_version=number, rows=rows)


def _bare(client: sqlite3.Connection, batches: Sequence[Rows]) -> None:
    for rows in batches:
        client.execute("BEGIN IMMEDIATE")
        for table, records in (("prediction", rows.predictions), ("token_trace", rows.traces)):
            if records:
                values = [tuple(_text(value) for value in astuple(one)) for one in records]
                marks = ", ".join("?" * len(values[0]))
                client.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        client.execute("COMMIT")


def _text(value: Any) -> Any:
    return dumps(value) if isinstance(value, dict | tuple) else value


def _bare_client(file: Path) -> sqlite3.Connection:
    client = sqlite3.connect(file, isolation_level=None)
    client.execute("PRAGMA journal_mode = WAL")
    client.execute("PRAGMA synchronous = FULL")
    for table, record, key in (
        ("prediction", Prediction, "evaluation_id, example_id, sample"),
        ("token_trace", TokenTrace, "evaluation_id, example_id, sample, kind"),
    ):
        columns = ", ".join(field.name for field in fields(record))
        client.execute(f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
    return client


def _rate(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return BATCH * BATCHES / (time.perf_counter() - began)
