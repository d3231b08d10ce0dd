"""The command line: `milepost COMMAND`. Exit codes: 0 well, 1 bad news, 2 usage, 3 broken.

Each command opens what it needs, calls one package, and prints. Heavy imports (torch, streamlit)
stand inside the commands that need them, so that `milepost show` starts at once.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from commands import export as exports
from commands import query as queries
from commands.db import app as db
from commands.encoding import Encoding
from commands.export import Exported, HardType, What
from commands.options import (
    DatabaseOption,
    FormatOption,
    OnceOption,
    PortOption,
    WorkspaceOption,
)
from commands.output import Format
from errors import MilepostError, UsageError
from settings import find_workspace

app = typer.Typer(
    help="Evaluates training checkpoints as they arrive, once each; every view follows the log.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(db, name="db")

errors = Console(stderr=True)


def main() -> None:
    """Runs a command; a MilepostError becomes its message and its exit code.

    Anything else is a fault in Milepost: it keeps its traceback, and must not exit with 1, which
    says that the answer is bad news.
    """
    try:
        app()
    except MilepostError as error:
        message = f"milepost: {error}"
        errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except Exception:  # noqa: BLE001 - see above
        traceback.print_exc()
        sys.exit(MilepostError.exit_code)


@app.command()
def init(
    workspace: WorkspaceOption = None,
    source: Annotated[
        str, typer.Option(help="Where the trainer saves: a folder, or HOST:FOLDER.")
    ] = "",
    database: DatabaseOption = "",
) -> None:
    """Make a workspace: milepost.toml, the database, the folder for checkpoints.

    Example: milepost init --workspace runs --source trainer:/home/me/runs
    """
    from data.workspace import make

    made = make(workspace or Path.cwd(), source=source, database=database, say=print)
    print(
        f"{made.root} is a workspace. Name your suites and the trainer's folder in "
        f"{made.root / 'milepost.toml'}, then run `milepost up`."
    )


@app.command()
def demo(
    workspace: Annotated[
        Path, typer.Option("--workspace", help="The folder to make the demo in.")
    ] = Path("demo-workspace"),
    seed: Annotated[
        int | None, typer.Option(help="The training run's seed. Left out: a new one each time.")
    ] = None,
    serve: Annotated[
        bool | None,
        typer.Option(help="Serve the dashboard at the end. Left out: in a terminal, yes."),
    ] = None,
    port: PortOption = 8501,
    database: DatabaseOption = "",
) -> None:
    """Train a small model, evaluate its checkpoints as they arrive, and show what came out.

    Example: milepost demo
    """
    from data.demo import run_demo

    good = run_demo(workspace, seed=seed, database=database)
    if sys.stdout.isatty() if serve is None else serve:
        dashboard(workspace=workspace, port=port)
    raise typer.Exit(0 if good else 1)


@app.command()
def up(workspace: WorkspaceOption = None, port: PortOption = 8501) -> None:
    """Run sync, watch, evaluate and the dashboard together, until Ctrl-C.

    Example: milepost up --port 8600
    """
    from commands import services

    services.up(find_workspace(workspace), port)


@app.command()
def sync(workspace: WorkspaceOption = None, once: OnceOption = False) -> None:
    """Pull new checkpoints from the trainer's folder with rsync.

    Example: milepost sync --once
    """
    from commands import services

    services.sync(find_workspace(workspace), once=once)


@app.command()
def watch(workspace: WorkspaceOption = None, once: OnceOption = False) -> None:
    """Notice complete checkpoints in the watched folder and put their arrival in the log.

    Example: milepost watch
    """
    from commands import services

    services.watch(find_workspace(workspace), once=once)


@app.command()
def evaluate(
    workspace: WorkspaceOption = None,
    once: OnceOption = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Only this one, and then end: its step, folder or id (6 digits or more)."
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only checkpoints of this run.")] = None,
    suite: Annotated[
        list[str] | None, typer.Option(help="Only on this suite; may be given several times.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Once more, beside the evaluation that is there.")
    ] = False,
) -> None:
    """Evaluate every checkpoint that waits, newest first, each in one model load.

    Example: milepost evaluate --once
    Example: milepost evaluate --checkpoint 400 --again
    """
    from commands import services

    services.evaluate(
        find_workspace(workspace),
        once=once,
        checkpoint=checkpoint,
        run=run,
        names=suite or [],
        again=again,
    )


@app.command()
def notify(
    workspace: WorkspaceOption = None,
    once: OnceOption = False,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test to every place, and end.")
    ] = False,
) -> None:
    """Tell the places of [notify.to] of alerts, each alert once. `milepost up` runs it too.

    Exit code 3: with --test or --once, a message was not taken.

    Example: milepost notify --test
    """
    from commands import notify as command

    command.notify(find_workspace(workspace), once=once, test=test)


@app.command()
def acknowledge(
    alert: Annotated[str, typer.Argument(help="Its id in `milepost show alerts`, or 4 digits.")],
    note: Annotated[str, typer.Option(help="What comes of it, for those who read it later.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Say that you have seen an alert. It stays in the list, with your note, and is not sent again.

    Example: milepost acknowledge 5d0c9a1e --note "the learning rate was wrong; restarted"
    """
    from commands import acknowledge as command

    command.acknowledge(find_workspace(workspace), alert, note)


@app.command()
def pin(
    checkpoint: Annotated[
        str | None, typer.Argument(help="Its step, folder or id. Left out: list the pinned ones.")
    ] = None,
    workspace: WorkspaceOption = None,
    run: Annotated[str | None, typer.Option(help="Only checkpoints of this run.")] = None,
    note: Annotated[str | None, typer.Option(help="Why, for those who read it later.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the run's pin back.")] = False,
) -> None:
    """Pin the checkpoint that its run is held against. It is never pruned.

    Example: milepost pin 400 --note "the one that is served"
    Example: milepost pin --remove --run my-run
    """
    from commands import retention

    place = find_workspace(workspace)
    if not remove:
        retention.pin(place, checkpoint, run, note)
    elif checkpoint is None:
        retention.unpin(place, run)
    else:
        raise UsageError("--remove takes a --run, and no checkpoint.")


@app.command()
def prune(
    workspace: WorkspaceOption = None,
    form: FormatOption = Format.table,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete. Left out: only say what would go.")
    ] = False,
) -> None:
    """Delete checkpoints beyond the limits of [retention]. Left alone, it only says which.

    The newest, the best, pinned and unevaluated ones always stay, and so do all predictions.

    Example: milepost prune
    Example: milepost prune --yes
    """
    from commands import retention

    retention.report(find_workspace(workspace), form, yes=yes)


@app.command()
def dashboard(workspace: WorkspaceOption = None, port: PortOption = 8501) -> None:
    """Serve the dashboard on this machine until Ctrl-C.

    Example: milepost dashboard --port 8600
    """
    from commands import services

    services.dashboard(find_workspace(workspace), port)


@app.command()
def status(workspace: WorkspaceOption = None, form: FormatOption = Format.table) -> None:
    """Say what runs, what waits and what went wrong. Exit code 1: something is wrong.

    For sync, watch, evaluate and the dashboard: since when, what it does, its memory, its last
    error, and when it is started again; then the disks.

    Example: milepost status --format json
    """
    from commands.status import report

    raise typer.Exit(report(find_workspace(workspace), form))


@app.command()
def show(
    view: Annotated[str, typer.Argument(help="checkpoints, results, regression, ranking …")],
    workspace: WorkspaceOption = None,
    form: FormatOption = Format.table,
    run: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    as_of: Annotated[
        str, typer.Option(help="What it said when the log ended at this position or time (UTC).")
    ] = "",
) -> None:
    """Print a view of what the log holds.

    Views: checkpoints, results, regression, flips, ranking, calibration, confidences, temperature,
    curriculum, skills, data-map, hard-examples, corrections, effects, tests, failed-examples,
    alerts, events.

    Example: milepost show regression --format json
    Example: milepost show ranking --as-of 2026-11-24T10:30
    """
    from commands.show import report

    report(find_workspace(workspace), view, form, run, as_of)


@app.command()
def gate(
    checkpoint: Annotated[str, typer.Argument(help="Its step, folder or id (6 digits or more).")],
    workspace: WorkspaceOption = None,
    form: FormatOption = Format.table,
    run: Annotated[str | None, typer.Option(help="Only checkpoints of this run.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Take only PASS: WARN is exit code 1, too.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for its evaluation to end.")
    ] = 0.0,
) -> None:
    """Say whether a checkpoint may be deployed: PASS, WARN, BLOCK or INCONCLUSIVE, and why.

    It goes by the tests, by the comparison with the checkpoint before and the pinned one, and by
    whether it was evaluated at all. Exit code: 0 for PASS and WARN, 1 for BLOCK and INCONCLUSIVE.

    Example: milepost gate 400
    Example: milepost gate 400 --run my-run --wait 600 && ./deploy.sh
    """
    from commands import gate as command

    place = find_workspace(workspace)
    raise typer.Exit(command.gate(place, checkpoint, run, form, strict=strict, wait=wait))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over the read-only views.")],
    workspace: WorkspaceOption = None,
    form: FormatOption = Format.table,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10**9, help="How many rows to print at most.")
    ] = queries.ROWS,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, max=86_400, help="Seconds it may take.")
    ] = queries.SECONDS,
) -> None:
    """Ask the database one question. It can only read; docs/sql.md has many to start from.

    Example: milepost sql "SELECT step, loss FROM results WHERE suite = 'easy_50'"
    """
    queries.answer(find_workspace(workspace), query, form, limit=limit, seconds=timeout)


@app.command()
def export(
    what: Annotated[Exported, typer.Argument(help="What to write.")],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            help="The file; - for standard output. For status, hard-examples and corrections: the "
            "folder.",
        ),
    ],
    workspace: WorkspaceOption = None,
    encoding: Annotated[
        Encoding | None,
        typer.Option("--format", help="Left out: what the file's name ends in; JSONL for a pipe."),
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="For junit and corrections: its step, folder or id. Left out: the newest."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    kind: Annotated[
        list[HardType] | None, typer.Option("--type", help="Of hard-examples: only this type.")
    ] = None,
    difficulty: Annotated[
        list[str] | None, typer.Option(help="Of examples: only this difficulty.")
    ] = None,
    skill: Annotated[list[str] | None, typer.Option(help="Of examples: only this skill.")] = None,
    error_class: Annotated[
        list[str] | None, typer.Option(help="Of examples: only this kind of mistake.")
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option(help="Of examples: only this mining suite.")
    ] = None,
) -> None:
    """Write every prediction, result or event to a file: JSON lines, CSV or Parquet.

    Or the tests of a checkpoint, as JUnit XML for a CI system. Or data to train on, into a folder:
    hard-examples and corrections, from suites with the role mining alone, as JSON lines. Or the
    status files, into a folder: the newest of each view as JSON, each file replaced at once.

    Example: milepost export predictions --out predictions.parquet
    Example: milepost export junit --out tests.xml --checkpoint 400
    Example: milepost export corrections --out exports --skill sort
    Example: milepost export status --out status
    """
    place = find_workspace(workspace)
    only = {
        "type": [str(one) for one in kind or ()],
        "difficulty": difficulty or [],
        "skill": skill or [],
        "error_class": error_class or [],
        "suite": suite or [],
    }
    if what in (Exported.hard_examples, Exported.corrections):
        from commands import examples

        if encoding not in (None, Encoding.jsonl):
            raise UsageError(f"{what} are JSON lines: leave --format out.")
        examples.export(
            place,
            "corrections" if what is Exported.corrections else "hard-examples",
            out,
            run=run,
            checkpoint=checkpoint,
            only=only,
            force=force,
        )
    elif any(only.values()):
        named = next(name for name, values in only.items() if values).replace("_", "-")
        raise UsageError(f"--{named} goes with hard-examples and corrections.")
    elif what is Exported.junit:
        from commands import junit

        junit.export(place, out, encoding=encoding, run=run, checkpoint=checkpoint, force=force)
    elif checkpoint is not None:
        raise UsageError("--checkpoint goes with junit and corrections. Take --run for the others.")
    elif what is Exported.status:
        from commands import status_files

        if encoding is not None:
            raise UsageError("the status files are JSON: leave --format out.")
        status_files.export(place, out, run=run)
    else:
        exports.export(place, What(what), out, encoding=encoding, run=run, force=force)


@app.command()
def replay(
    names: Annotated[list[str] | None, typer.Argument(help="Which views; left out: all.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Derive the views anew from the log, without the model. Killed, it goes on at the next run.

    Example: milepost replay regression
    """
    from commands.replay import report

    report(find_workspace(workspace), names or [])


@app.command()
def regrade(
    grader: Annotated[
        str,
        typer.Option("--grader", help="NAME@VERSION chooses; a NAME alone takes that back."),
    ],
    workspace: WorkspaceOption = None,
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", help="Only this suite. Left out: those that have this grader."),
    ] = None,
) -> None:
    """Grade the stored answers anew by a grader version of your choice, without the model.

    Example: milepost regrade --grader numeric@1 --suite easy_50
    """
    from commands import regrade as command

    command.regrade(find_workspace(workspace), grader, suite or [])


if __name__ == "__main__":
    main()
