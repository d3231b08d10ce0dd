"""`milepost status`: what runs, what waits and what went wrong, on one screen.

As JSON it has the keys of `store.health.Health`, and `services` (see `commands.standing`), `disks`
(see `commands.disks`) and `troubles`: a sentence for each thing that is wrong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.console import Console

from commands import roster
from commands.bootstrap import opened
from commands.disks import Disk, disks
from commands.output import Format, as_json, emit
from commands.standing import NAMES, NOTIFY, Standing, missing, standings
from settings import Workspace
from store.engine import reading
from store.health import Health, health
from store.projections import bring_up_to_date
from views import registry
from views.words import ago, count, size


class State(NamedTuple):
    """All that is reported."""

    health: Health
    services: list[Standing]
    disks: list[Disk]

    @property
    def troubles(self) -> list[str]:
        """What is wrong, a sentence each; empty when all is well."""
        down = [one.trouble for one in self.services if one.trouble is not None]
        full = dict.fromkeys(one.trouble for one in self.disks if one.full)
        return [*down, *missing(self.services), *self.health.troubles, *full]


def report(workspace: Workspace, form: Format) -> int:
    """Prints the state. Returns 0 when all is well and 1 when something is wrong."""
    projections = registry.projections(workspace.settings)
    with opened(workspace) as engine:
        bring_up_to_date(engine, projections)
        with reading(engine) as connection:
            found = health(connection, projections)
    state = State(
        found,
        standings(
            found.processes,
            roster.read(workspace.logs),
            syncs=bool(workspace.settings.sync.source),
            notifies=bool(workspace.settings.notify.to),
        ),
        disks({"workspace": workspace.root, "checkpoints": workspace.checkpoints}),
    )
    match form:
        case Format.json:
            print(as_json(as_dict(state)))
        case Format.csv:
            values = as_dict(state)
            emit([values], list(values), Format.csv, empty="")
        case Format.table:
            _print(state)
    return 1 if state.troubles else 0


def as_dict(state: State) -> dict[str, Any]:
    """The state as plain values; `troubles` is empty when all is well."""
    values = {
        name: [one._asdict() if hasattr(one, "_asdict") else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in state.health._asdict().items()
    }
    beats = state.health.processes
    values["processes"] = [{**beat._asdict(), "alive": beat.alive} for beat in beats]
    values["services"] = [one._asdict() for one in state.services]
    values["disks"] = [{**one._asdict(), "full": one.full} for one in state.disks]
    values["troubles"] = state.troubles
    return values


def _print(state: State) -> None:
    console = Console(highlight=False)
    found = state.health
    counts = f"{found.arrived} arrived, {found.evaluated} evaluated, {found.waiting} waiting"
    lines = [
        ("checkpoints", counts),
        ("last arrival", _ago(found.last_arrival)),
        ("last evaluation", _ago(found.last_evaluation)),
        ("last sync", _ago(found.last_sync)),
        ("evaluator's peak memory", size(found.peak_bytes)),
        ("log", f"{found.position} events"),
        *((f"disk of the {disk.name}", disk.words) for disk in state.disks),
    ]
    if found.peak_device_bytes is not None:
        lines.append(("its peak on the device", size(found.peak_device_bytes)))
    for name, value in lines:
        console.print(f"{name:<24} {value}", markup=False)
    if not any(beat.alive for beat in found.processes):
        console.print(f"{'running':<24} nothing. `milepost up` starts everything.")
    for one in state.services:
        console.print(f"{one.name:<24} {_standing(one)}", markup=False)
        if one.last_error is not None and one.trouble is None:
            when = "" if one.last_error_at is None else f", {ago(one.last_error_at)}"
            console.print(f"{'':<24} its last error{when}: {one.last_error}", markup=False)
    for beat in found.processes:
        if beat.process not in (*NAMES, NOTIFY):
            word = "running" if beat.alive else "dead"
            line = f"{beat.process:<24} {word}, process {beat.pid}: {beat.doing}"
            console.print(line, markup=False)
    for name in found.behind:
        console.print(f"view {name} is behind the log")
    for trouble in state.troubles:
        console.print(f"! {trouble}", style="red", markup=False)
    if not state.troubles:
        console.print("Nothing is wrong.", style="green")


def _standing(one: Standing) -> str:
    words = [one.state]
    if one.since is not None:
        words.append(f"since {one.since[:19].replace('T', ' ')} UTC")
    if one.pid is not None:
        words.append(f"process {one.pid} on {one.host}")
    if one.memory_bytes is not None:
        words.append(f"{size(one.memory_bytes)} of memory")
    if one.restarts:
        words.append(f"restarted {count(one.restarts, 'time')}")
    return ", ".join(words) + ("" if one.doing is None else f": {one.doing}")


def _ago(when: str | None) -> str:
    return "never" if when is None else ago(when)
