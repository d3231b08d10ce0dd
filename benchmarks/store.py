"""Appending predictions, beside the bare sqlite3 module doing the same writes.

`python -m benchmarks.store`. The peer writes the same rows into the same columns with the same
durability (WAL, synchronous=FULL) and batch size, without guards, CHECKs, events or ids.
The two take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from store import log
from store.engine import connect
from store.events import PredictionsRecorded
from store.log import Rows
from store.migrations import upgrade
from store.records import Prediction
from store.schema import dumps

BATCH = 64
BATCHES = 100
ROUNDS = 7


def predictions(evaluation_id: str, seed: int) -> list[list[Prediction]]:
    source = random.Random(seed)
    return [
        [prediction(evaluation_id, f"{batch}-{row}", source) for row in range(BATCH)]
        for batch in range(BATCHES)
    ]


def prediction(evaluation_id: str, example_id: str, source: random.Random) -> Prediction:
    return Prediction(
        evaluation_id=evaluation_id,
        example_id=example_id,
        prompt_tokens=40,
        prompt_truncated=False,
        generated_text="the answer is " + str(source.randrange(10**6)),
        finish_reason="eos",
        generated_tokens=12,
        generated_logprob=-source.random(),
        generated_min_logprob=-source.random(),
        generated_entropy=source.random(),
        target_tokens=12,
        target_bytes=24,
        target_logprob=-source.random(),
        target_min_logprob=-source.random(),
        target_entropy=source.random(),
        target_margin=source.random(),
        target_rank=source.random(),
        target_top1=11,
        target_first_miss=3,
        logprob_at_temperature={"0.5": -1.0, "1.0": -2.0},
    )


def append(engine: Engine, evaluation_id: str, batches: list[list[Prediction]]) -> None:
    for number, batch in enumerate(batches):
        event = PredictionsRecorded(
            evaluation_id=evaluation_id, batch=str(number), scored=BATCH, failed=0
        )
        log.append(engine, event, expected_version=number, rows=Rows(predictions=batch))


def bare(client: sqlite3.Connection, batches: list[list[Prediction]]) -> None:
    marks = ", ".join("?" * len(fields(Prediction)))
    for batch in batches:
        rows = [
            tuple(dumps(value) if isinstance(value, dict) else value for value in astuple(one))
            for one in batch
        ]
        client.execute("BEGIN IMMEDIATE")
        client.executemany(f"INSERT INTO prediction VALUES ({marks})", rows)
        client.execute("COMMIT")


def bare_client(file: Path) -> sqlite3.Connection:
    client = sqlite3.connect(file, isolation_level=None)
    client.execute("PRAGMA journal_mode = WAL")
    client.execute("PRAGMA synchronous = FULL")
    columns = ", ".join(field.name for field in fields(Prediction))
    client.execute(
        f"CREATE TABLE prediction ({columns}, PRIMARY KEY (evaluation_id, example_id, sample))"
        " WITHOUT ROWID"
    )
    return client


def rows_per_second(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return BATCH * BATCHES / (time.perf_counter() - began)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/milepost.db"
        upgrade(url)
        engine = connect(url)
        client = bare_client(Path(folder) / "bare.db")
        ours, peers = [], []
        for number in range(ROUNDS + 1):
            name = f"evaluation-{number}"
            batches = predictions(name, number)
            ours.append(rows_per_second(partial(append, engine, name, batches)))
            peers.append(rows_per_second(partial(bare, client, batches)))
        client.close()
        engine.dispose()
    ratios = [our / peer for our, peer in zip(ours[1:], peers[1:], strict=True)]
    print(f"append, {BATCH} predictions a transaction, {ROUNDS} rounds after one to warm up:")
    print(f"  Milepost       {statistics.median(ours[1:]):>9,.0f} rows/s")
    print(f"  bare sqlite3   {statistics.median(peers[1:]):>9,.0f} rows/s")
    print(
        f"  ratio          {statistics.median(ratios):>9.2f} "
        f"(from {min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
