"""However the files of a checkpoint are delivered, it arrives once, whole, after the last byte."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from ingest.trainer_callback import FILE_NAME as MANIFEST
from ingest.trainer_callback import write_manifest
from ingest.watcher import Scan, State, scan
from store import log
from store.engine import connect
from store.events import CheckpointArrived
from tests.evaluators.checkpoints import TEMPLATE, make_model, save
from tests.ingest.folders import write_trainer_state

SETTLE_SECONDS = 10.0
LIMIT_SECONDS = 1e6

WEIGHTS = "model.safetensors"
IDENTITY = (
    "additional_chat_templates/tool.jinja",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
)

TRAINING_ONLY = ("optimizer.pt", "training_args.bin")

# One change of the folder, such as some bytes more or a rename.
Step = Callable[[Path], None]


class Piece(NamedTuple):
    """A file, how it is delivered, and where its content is cut, in thousandths of its length."""

    name: str
    way: str
    cuts: tuple[int, ...]


class Pause(NamedTuple):
    """What happens between two steps: simulated seconds, then some looks."""

    seconds: float
    looks: int


class Clock:
    """The watcher's clock, set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save(tmp_path_factory.mktemp("trainer") / "checkpoint-10", make_model("llama"))
    (folder / "additional_chat_templates").mkdir()
    (folder / IDENTITY[0]).write_text(TEMPLATE)
    (folder / "optimizer.pt").write_bytes(b"moments")
    (folder / "training_args.bin").write_bytes(b"args")
    write_trainer_state(folder)
    write_manifest(folder)
    return folder


def names_of(source: Path) -> list[str]:
    files = [file for file in source.rglob("*") if file.is_file()]
    return sorted(file.relative_to(source).as_posix() for file in files)


def identity_of(source: Path) -> str:
    lines = [
        f"{one}\0{hashlib.sha256((source / one).read_bytes()).hexdigest()}" for one in IDENTITY
    ]
    return hashlib.sha256("".join(f"{one}\n" for one in lines).encode()).hexdigest()[:32]


def steps_of(source: Path, piece: Piece) -> Iterator[Step]:
    """Appends the file's content in pieces where `way` puts it, then moves it into its place."""
    content = (source / piece.name).read_bytes()
    path = Path(piece.name)
    places = {
        "plainly": piece.name,
        "rsync": str(path.with_name(f".{path.name}.Xy12_z")),
        "rsync --delay-updates": str(path.with_name(".~tmp~") / path.name),
        "rsync --partial-dir": str(path.with_name(".rsync-partial") / path.name),
        "safetensors": str(path.with_name(".tmpA1b2C3")),
    }
    place = places[piece.way]
    cuts = sorted({0, len(content), *(len(content) * one // 1000 for one in piece.cuts)})

    def append(begin: int, end: int) -> Step:
        def step(folder: Path) -> None:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            with (folder / place).open("ab") as stream:
                stream.write(content[begin:end])

        return step

    def rename(folder: Path) -> None:
        (folder / place).rename(folder / piece.name)
        # An empty folder that goes is no change of any file.
        if Path(place).parent != path.parent:
            (folder / place).parent.rmdir()

    for begin, end in pairwise(cuts):
        yield append(begin, end)
    if place != piece.name:
        yield rename


def pieces(names: list[str]) -> st.SearchStrategy[list[Piece]]:
    """The files in any order, each in its own way."""
    ways = ["plainly", "rsync", "rsync --delay-updates", "rsync --partial-dir", "safetensors"]
    cuts = st.lists(st.integers(1, 999), max_size=2).map(tuple)
    return st.permutations(names).flatmap(
        lambda order: st.tuples(
            *(st.builds(Piece, st.just(name), st.sampled_from(ways), cuts) for name in order)
        ).map(list)
    )


def pauses(longest: float) -> st.SearchStrategy[list[Pause]]:
    """Drawn from again and again, however many steps there are."""
    one = st.builds(Pause, st.floats(0.0, longest, exclude_max=True), st.integers(0, 2))
    return st.lists(one, min_size=1, max_size=12)


@contextmanager
def watched(empty_database: Path) -> Iterator[tuple[Path, Engine, Clock, Callable[[], Scan]]]:
    """A watched folder, its log, the clock, and a look at the folder."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        shutil.copy(empty_database, Path(place) / "milepost.db")
        engine = connect(f"sqlite:///{place}/milepost.db")
        root, state, clock = Path(place) / "checkpoints", State(), Clock()
        (root / "run" / "checkpoint-10").mkdir(parents=True)
        patch.setattr("ingest.watcher.time", SimpleNamespace(monotonic=clock.monotonic))
        try:
            yield (
                root,
                engine,
                clock,
                lambda: scan(
                    root,
                    engine,
                    state,
                    settle_seconds=SETTLE_SECONDS,
                    limit_seconds=LIMIT_SECONDS,
                ),
            )
        finally:
            engine.dispose()


def deliver(source: Path, order: list[Piece], between: list[Pause], empty_database: Path) -> None:
    steps = [step for piece in order for step in steps_of(source, piece)]
    with watched(empty_database) as (root, engine, clock, look):
        for number, step in enumerate(steps):
            step(root / "run" / "checkpoint-10")
            pause = between[number % len(between)]
            for _ in range(pause.looks if number < len(steps) - 1 else 0):
                clock.now += pause.seconds / pause.looks
                found = look()
                assert (found.arrived, found.rejected) == ((), ())
        look()
        clock.now += 2 * SETTLE_SECONDS
        (arrived,) = look().arrived
        assert arrived.checkpoint_id == identity_of(source)
        assert arrived.bytes == sum((source / one).stat().st_size for one in IDENTITY)
        clock.now += 2 * SETTLE_SECONDS
        assert look().arrived == ()
        with engine.connect() as connection:
            (event,) = [one.event for one in log.read(connection)]
        assert isinstance(event, CheckpointArrived)


QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUICK
@given(data=st.data())
def test_with_pauses_shorter_than_it_takes_to_settle(
    source: Path, empty_database: Path, data: st.DataObject
) -> None:
    names = names_of(source)
    if not data.draw(st.booleans(), label="manifest"):
        names.remove(MANIFEST)
    order = data.draw(pieces(names), label="order")
    between = data.draw(pauses(SETTLE_SECONDS), label="pauses")
    deliver(source, order, between, empty_database)


@QUICK
@given(data=st.data())
def test_with_pauses_of_any_length_when_the_manifest_comes_before_the_weights(
    source: Path, empty_database: Path, data: st.DataObject
) -> None:
    order = data.draw(pieces(names_of(source)), label="order")
    # What training alone needs is not waited for.
    order.sort(key=lambda piece: piece.name not in TRAINING_ONLY)
    by_name = {piece.name: place for place, piece in enumerate(order)}
    first, second = sorted((by_name[MANIFEST], by_name[WEIGHTS]))
    order[first], order[second] = (
        next(piece for piece in order if piece.name == name) for name in (MANIFEST, WEIGHTS)
    )
    between = data.draw(pauses(100 * SETTLE_SECONDS), label="pauses")
    deliver(source, order, between, empty_database)


def test_in_the_order_in_which_rsync_sends_with_a_look_after_every_step(
    source: Path, empty_database: Path
) -> None:
    order = [Piece(name, "rsync", (500,)) for name in names_of(source) if name != MANIFEST]
    deliver(source, order, [Pause(SETTLE_SECONDS / 2, 2)], empty_database)
