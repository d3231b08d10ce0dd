"""`milepost export hard-examples` and `corrections`: files to train on, from the mining pool alone.

Each file is on the disk whole before the log says so. A death in between leaves a file that the log
does not know, and the next export writes its examples again, under another name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console
from sqlalchemy import Connection, Engine, select

from commands import destination
from commands.bootstrap import opened
from commands.checkpoints import find, of_run
from commands.encoding import LINE_BREAKS
from errors import ExportFault, MilepostError, ProjectionStopped, UsageError
from settings import ExportSettings, Workspace
from store import log
from store.engine import reading
from store.events import ExamplesExported
from store.lifecycle import EVALUATION, SUITE
from store.projections import bring_up_to_date
from views import mining, registry
from views.scope import EVALUATED, ended_of
from views.training_rows import Answered, LeftOut, Question, Sifted, correction, hard_example, sift
from views.words import count

Kind = Literal["hard-examples", "corrections"]
WHY_NOT = "training on examples that measure would spoil every later number"
SHOWN = 8


class Subject(NamedTuple):
    """A checkpoint that was evaluated; `evaluated_at` is when that ended."""

    run: str
    step: int
    checkpoint_id: str
    evaluation_id: str
    evaluated_at: str


class _File(NamedTuple):
    """A file to write, and what it is about."""

    kind: Kind
    subject: Subject
    sifted: Sifted
    at: str

    @property
    def lines(self) -> bytes:
        """The file's content."""
        step, evaluated_at = self.subject.step, self.subject.evaluated_at
        if self.kind == "hard-examples":
            rows = [hard_example(one, step, evaluated_at) for one in self.sifted.kept]
        else:
            rows = [correction(one, step, self.at) for one in self.sifted.kept]
        return _lines(rows)


def _stem(kind: Kind, subject: Subject) -> str:
    """A file's name without its ending: a run's may hold signs that no file's should."""
    run = re.sub(r"[^\w.-]+", "_", subject.run)
    return f"{kind}-{run}-step-{subject.step}"


def export(
    workspace: Workspace,
    kind: Kind,
    folder: str,
    *,
    run: str | None = None,
    checkpoint: str | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
    force: bool = False,
) -> list[Path]:
    """Writes a file for each run's newest evaluated checkpoint, or for one that is named.

    `only` has the values that a type, difficulty, skill, error_class or suite may have. Returns the
    files; none for a checkpoint that has nothing new to give. Raises UsageError where `only` names
    a validation suite or one that is not there, where nothing of a mining suite was asked, and for
    an unknown run or checkpoint; ProjectionStopped if the answers are not up to date; ExportFault
    when a file cannot be written.
    """
    if checkpoint is not None and kind == "hard-examples":
        raise UsageError("hard examples are those of the newest checkpoint: leave --checkpoint out")
    asked = {name: tuple(values) for name, values in (only or {}).items() if values}
    if kind == "corrections" and "type" in asked:
        raise UsageError("--type goes with hard-examples. Corrections have an --error-class.")
    with opened(workspace) as engine:
        _bring_up_to_date(engine, workspace, kind)
        with reading(engine) as connection:
            _refuse_suites(connection, asked.get("suite", ()))
            subjects = _subjects(connection, workspace, run, checkpoint)
            mined = [one for one in subjects if mining.is_mined(connection, one.evaluation_id)]
        if not mined:
            raise UsageError(_nothing_mined(subjects))
        written = [
            _export(engine, workspace.settings.export, kind, one, Path(folder), asked, force=force)
            for one in mined
        ]
    return [file for file in written if file is not None]


def _export(
    engine: Engine,
    settings: ExportSettings,
    kind: Kind,
    subject: Subject,
    folder: Path,
    asked: Mapping[str, tuple[str, ...]],
    *,
    force: bool,
) -> Path | None:
    """The file of one checkpoint, or None if there is nothing to write.

    With `force` it replaces the one of that name, whose examples count as not exported yet.
    """
    replaced = folder.resolve() / f"{_stem(kind, subject)}.jsonl" if force else None
    with reading(engine) as connection:
        version = log.version_of(connection, f"exports/{kind}")
        found = _candidates(connection, kind, subject)
        chosen = [one for one in found if _fits(one, asked)]
        sifted = sift(
            chosen,
            mining.validation_questions(connection),
            _exported_before(connection, settings, replaced) if kind == "corrections" else [],
            settings.near_duplicate,
            once=kind == "corrections",
        )
    file = _File(kind, subject, sifted, log.now())
    if not sifted.kept:
        _say(_nothing_to_write(file, found, chosen, asked))
        return None
    path, content = _write(folder, file, force=force), file.lines
    event = ExamplesExported(
        kind=kind,
        file=str(path),
        digest=hashlib.sha256(content).hexdigest(),
        run=subject.run,
        checkpoint_id=subject.checkpoint_id,
        step=subject.step,
        evaluation_id=subject.evaluation_id,
        filter=dict(asked),
        examples=tuple(one.example_id for one in sifted.kept),
        left_out=sifted.reasons,
        at=file.at,
    )
    try:
        # Another export in between may have given the same examples out.
        log.append(engine, event, expected_version=version)
    except MilepostError:
        path.unlink(missing_ok=True)
        _beside(path).unlink(missing_ok=True)
        raise
    _say(f"exported {count(len(sifted.kept), 'example')} to {path}{_left_out(path, sifted)}")
    return path


def _candidates(connection: Connection, kind: Kind, subject: Subject) -> list[Answered]:
    if kind == "hard-examples":
        return mining.hard_ones(connection, subject.run, subject.evaluation_id)
    return mining.wrong_ones(connection, subject.evaluation_id)


def _fits(one: Answered, asked: Mapping[str, tuple[str, ...]]) -> bool:
    return all(getattr(one, name) in values for name, values in asked.items())


def _exported_before(
    connection: Connection, settings: ExportSettings, replaced: Path | None
) -> list[Question]:
    events = [one.event for one in log.read(connection, types=[ExamplesExported])]
    ids = {
        example_id
        for event in events
        if isinstance(event, ExamplesExported)
        and event.kind in settings.exported_before
        and event.file != str(replaced)
        for example_id in event.examples
    }
    return mining.questions_of(connection, ids)


def _write(folder: Path, file: _File, *, force: bool) -> Path:
    """Writes the file, and beside it what was left out; returns its path."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportFault(
            f"cannot make {folder}: {error.strerror}. Name another folder."
        ) from error
    stem = _stem(file.kind, file.subject)
    path = folder.resolve() / f"{stem}.jsonl"
    number = 2
    while path.exists() and not force:
        path = path.with_name(f"{stem}-{number}.jsonl")
        number += 1
    with destination.opened(str(path), force=force) as out:
        out.write(file.lines)
    beside = _beside(path)
    if file.sifted.left_out:
        with destination.opened(str(beside), force=True) as out:
            out.write(_lines([_reason(one) for one in file.sifted.left_out]))
    else:
        beside.unlink(missing_ok=True)
    return path


def _beside(path: Path) -> Path:
    """The file that says what was left out of `path`."""
    return path.with_suffix(".left-out.jsonl")


def _reason(one: LeftOut) -> dict[str, Any]:
    return {
        "example_id": one.example_id,
        "reason": one.reason,
        "like": one.like,
        "jaccard": one.jaccard,
    }


def _lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON lines, strict: no NaN, and no line break of Unicode within a line."""
    texts = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    return "".join(f"{text.translate(LINE_BREAKS)}\n" for text in texts).encode()


def _subjects(
    connection: Connection, workspace: Workspace, run: str | None, checkpoint: str | None
) -> list[Subject]:
    """The checkpoint that is named, or the newest evaluated one of each run."""
    if checkpoint is not None:
        known = find(connection, workspace, checkpoint, run)
        found = _subject(connection, known.run, known.checkpoint_id)
        if found is None:
            raise UsageError(f"{known.name} is not evaluated: there are no answers to correct.")
        return [found]
    runs = sorted({one.run for one in of_run(connection, run)})
    newest = [_subject(connection, one) for one in runs]
    subjects = [one for one in newest if one is not None]
    if not subjects:
        raise UsageError("no checkpoint is evaluated yet: `milepost evaluate` does that.")
    return subjects


def _subject(connection: Connection, run: str, checkpoint_id: str | None = None) -> Subject | None:
    completed = [
        one
        for one in ended_of(connection, run)
        if one.completed and checkpoint_id in (None, one.checkpoint_id)
    ]
    if not completed:
        return None
    one = completed[-1]
    at = connection.scalars(
        select(EVALUATION.c.finished_at).where(
            EVALUATION.c.evaluation_id == one.evaluation_id, EVALUATION.c.status == EVALUATED
        )
    ).one()
    return Subject(run, one.step, one.checkpoint_id, one.evaluation_id, at)


def _refuse_suites(connection: Connection, names: Sequence[str]) -> None:
    roles: dict[str, set[str]] = {}
    for name, role in connection.execute(select(SUITE.c.name, SUITE.c.role)):
        roles.setdefault(name, set()).add(role)
    for name in names:
        if name not in roles:
            known = ", ".join(sorted(roles)) or "none yet"
            raise UsageError(f"there is no suite {name!r}. There are: {known}.")
        if mining.MINING not in roles[name]:
            raise UsageError(
                f"suite {name!r} has the role validation, and is never exported: {WHY_NOT}. "
                'A [[suite]] with role = "mining" is the pool for new data.'
            )


def _nothing_mined(subjects: Sequence[Subject]) -> str:
    steps = ", ".join(f"step {one.step} of {one.run}" for one in subjects)
    return (
        f"no example of a mining suite was asked at {steps}, and validation is never exported: "
        f'{WHY_NOT}. Give a [[suite]] in milepost.toml role = "mining".'
    )


def _nothing_to_write(
    file: _File,
    found: Sequence[Answered],
    chosen: Sequence[Answered],
    asked: Mapping[str, tuple[str, ...]],
) -> str:
    where = f"step {file.subject.step} of {file.subject.run}"
    if chosen:
        why = _reasons(file.sifted)
    elif found:
        values = {name: sorted({str(getattr(one, name)) for one in found}) for name in asked}
        there = "; ".join(
            f"{name}: {', '.join(known[:SHOWN])}{' …' if len(known) > SHOWN else ''}"
            for name, known in values.items()
        )
        why = f"nothing fits what was asked for. There are: {there}"
    else:
        why = "it has none in the mining pool"
    return f"nothing to export of {file.kind} at {where}: {why}"


def _left_out(path: Path, sifted: Sifted) -> str:
    if not sifted.left_out:
        return ""
    return f"; left out, as {_beside(path).name} lists: {_reasons(sifted)}"


def _reasons(sifted: Sifted) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in sifted.reasons.items())


def _bring_up_to_date(engine: Engine, workspace: Workspace, kind: Kind) -> None:
    known = registry.projections(workspace.settings)
    view = registry.find(kind, registry.views(workspace.settings))
    names = {one.name for one in registry.needed_by(view, known)}
    for state in bring_up_to_date(engine, known):
        if state.name in names:
            raise ProjectionStopped(
                f"nothing is exported: view {state.name} stands still: {state.error}. When it is "
                f"mended, `milepost replay {state.name}` derives it again."
            )


def _say(line: str) -> None:
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(line)
