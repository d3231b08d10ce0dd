"""`milepost status`: what runs, what waits and what went wrong, on one screen."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from commands.bootstrap import opened
from commands.output import Format, as_json, emit
from settings import Workspace
from store.engine import reading
from store.health import Health, health
from store.projections import bring_up_to_date
from views import registry
from views.words import ago, size


def report(workspace: Workspace, form: Format) -> int:
    """Prints the state. Returns 0 when all is well and 1 when something is wrong."""
    projections = registry.projections(workspace.settings)
    with opened(workspace) as engine:
        bring_up_to_date(engine, projections)
        with reading(engine) as connection:
            state = health(connection, projections)
    match form:
        case Format.json:
            print(as_json(as_dict(state)))
        case Format.csv:
            values = as_dict(state)
            emit([values], list(values), Format.csv, empty="")
        case Format.table:
            _print(state)
    return 1 if state.troubles else 0


def as_dict(state: Health) -> dict[str, Any]:
    """The state as plain values; `troubles` is empty when all is well."""
    values = {
        name: [one._asdict() if hasattr(one, "_asdict") else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in state._asdict().items()
    }
    values["processes"] = [{**beat._asdict(), "alive": beat.alive} for beat in state.processes]
    values["troubles"] = state.troubles
    return values


def _print(state: Health) -> None:
    console = Console(highlight=False)
    counts = f"{state.arrived} arrived, {state.evaluated} evaluated, {state.waiting} waiting"
    lines = [
        ("checkpoints", counts),
        ("last arrival", _ago(state.last_arrival)),
        ("last evaluation", _ago(state.last_evaluation)),
        ("last sync", _ago(state.last_sync)),
        ("evaluator's peak memory", size(state.peak_bytes)),
        ("log", f"{state.position} events"),
    ]
    if state.peak_device_bytes is not None:
        lines.append(("its peak on the device", size(state.peak_device_bytes)))
    for name, value in lines:
        console.print(f"{name:<24} {value}")
    if not state.processes:
        console.print(f"{'running':<24} nothing. `milepost up` starts everything.")
    for beat in state.processes:
        word = "running" if beat.alive else "dead"
        console.print(f"{beat.process:<24} {word}, process {beat.pid}: {beat.doing}", markup=False)
    for name in state.behind:
        console.print(f"view {name} is behind the log")
    for trouble in state.troubles:
        console.print(f"! {trouble}", style="red", markup=False)
    if not state.troubles:
        console.print("Nothing is wrong.", style="green")


def _ago(when: str | None) -> str:
    return "never" if when is None else ago(when)
