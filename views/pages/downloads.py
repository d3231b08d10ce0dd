"""Files of examples that were exported to be trained on: what there is, and how to make one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from store.events import ExamplesExported
from store.log import Recorded
from views.pages import layout, words
from views.pages.reading import Here, NewestEvents

SHOWN, LOOKED_AT = 3, 50


def downloads(here: Here, kind: str, *options: str) -> None:
    """The newest files of a kind, of the chosen run, and the line that makes the next one."""
    layout.section("To train on")
    found = here.ask(NewestEvents((ExamplesExported,), LOOKED_AT))
    for event in _of(found, kind, here.run)[:SHOWN]:
        _file(here.workspace.root, event)
    folder = str(here.workspace.root / "exports")
    run = () if here.run is None else ("--run", here.run)
    layout.offer(
        layout.Command(
            "Export the mining suites' alone, and record it:",
            words.command(here.workspace, "export", kind, "--out", folder, *run, *options),
        )
    )


def _of(found: Sequence[Recorded], kind: str, run: str | None) -> list[ExamplesExported]:
    events = [one.event for one in found if isinstance(one.event, ExamplesExported)]
    return [one for one in events if one.kind == kind and one.run == run]


def _file(root: Path, event: ExamplesExported) -> None:
    about = f"{words.count(len(event.examples), 'example')} of step {event.step}, {event.at[:16]}"
    left = sum(event.left_out.values())
    if left:
        about += f"; {left:,} left out"
    path = readable(root, event.file)
    with st.container(horizontal=True, vertical_alignment="center"):
        if path is not None and _unchanged(path, path.stat().st_mtime_ns, event.digest):
            st.download_button(
                "Download",
                partial(path.read_bytes),
                file_name=path.name,
                mime="application/jsonl",
                icon=":material/download:",
                on_click="ignore",
                key=f"download-{event.event_id}",
            )
            st.text(f"{path.name}: {about}")
        else:
            st.text(f"{event.file}: {about}. {_why_not(path)}")


def readable(root: Path, file: str) -> Path | None:
    """The file, if it is there and in the workspace: the page gives out nothing else."""
    path = Path(file).resolve()
    inside = path.is_relative_to(root.resolve())
    return path if inside and path.suffix == ".jsonl" and path.is_file() else None


def _why_not(path: Path | None) -> str:
    return "It is not in the workspace." if path is None else "It is another file by now."


@st.cache_data(max_entries=16, show_spinner=False)
def _unchanged(path: Path, changed: int, digest: str) -> bool:  # noqa: ARG001 - the cache's key
    return hashlib.sha256(path.read_bytes()).hexdigest() == digest
