"""Suites: files of examples, one JSON object a line, read row by row.

A row that cannot be used is refused with its line and the reason; nothing is skipped in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import SuiteError
from evaluators.rows import Content, parse_row
from settings import Difficulty, Role
from store.events import Refusal
from store.records import Example

MAX_FILES_NAMED = 12


@dataclass(frozen=True)
class Suite:
    """The usable rows of a file, and what became of the others.

    `rows_read` counts the lines that are not blank: each is an example, a duplicate (the same
    content as an earlier row) or refused.
    """

    suite_id: str
    name: str
    path: Path
    difficulty: Difficulty | None
    role: Role
    grader: str
    examples: tuple[Example, ...]
    refused: tuple[Refusal, ...]
    rows_read: int
    duplicates: int


def read_suite(
    name: str,
    path: Path,
    *,
    difficulty: Difficulty | None = None,
    role: Role = "validation",
    grader: str = "exact",
) -> Suite:
    """Reads a JSONL file (UTF-8, with or without a byte order mark).

    Raises SuiteError for a file that cannot be read as text or has no row at all, and for a folder:
    the files in it often hold the same examples, which would then count many times in one suite.
    A file of which every row is refused is a suite without examples.
    """
    if path.is_dir():
        raise SuiteError(_folder(name, path))
    contents: dict[str, tuple[int, Content]] = {}
    refused: list[Refusal] = []
    rows_read = duplicates = 0
    for line, text in _lines(name, path):
        rows_read += 1
        try:
            content = parse_row(text)
        except SuiteError as refusal:
            refused.append(Refusal(line=line, reason=str(refusal)))
            continue
        if content.example_id in contents:
            duplicates += 1
        else:
            contents[content.example_id] = (line, content)
    if not rows_read:
        raise SuiteError(f"suite {name!r}: {path} is empty. Give it one JSON object a line.")
    suite_id = suite_id_of(name, [content for _, content in contents.values()])
    examples = tuple(
        Example(suite_id=suite_id, example_id=example_id, line=line, **content._asdict())
        for example_id, (line, content) in contents.items()
    )
    return Suite(
        suite_id=suite_id,
        name=name,
        path=path,
        difficulty=difficulty,
        role=role,
        grader=grader,
        examples=examples,
        refused=tuple(refused),
        rows_read=rows_read,
        duplicates=duplicates,
    )


def suite_id_of(name: str, contents: Sequence[Content]) -> str:
    """SHA-256 (first 32 hex digits) of a suite's name and contents, labels included, in order."""
    digest = hashlib.sha256(json.dumps([name, contents], sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _folder(name: str, path: Path) -> str:
    """Why a folder is refused, with the files in it that may be meant."""
    try:
        files = sorted(one.name for one in path.iterdir() if one.is_file())
    except OSError as error:
        return f"suite {name!r}: {path} is a folder that cannot be read: {error.strerror}."
    files = [one for one in files if one.endswith(".jsonl")] or files
    shown = ", ".join(files[:MAX_FILES_NAMED]) or "no file"
    more = len(files) - MAX_FILES_NAMED
    return (
        f"suite {name!r}: {path} is a folder, and a suite is one file. It holds {shown}"
        f"{f' and {more} more' if more > 0 else ''}. Name one of them as this [[suite]]'s path in "
        "milepost.toml, and give each other one that you want a [[suite]] of its own: an example "
        "that stands in several is still run once, and counts once over all of them."
    )


def _lines(name: str, path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers.

    Only a newline ends a line: text may hold the other separators of str.splitlines.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, text
    except OSError as error:
        raise SuiteError(
            f"suite {name!r}: cannot read {path}: {error.strerror}. Mend the path of this "
            "[[suite]] in milepost.toml, or put the file there."
        ) from error
    except UnicodeDecodeError as error:
        raise SuiteError(
            f"suite {name!r}: line {number} of {path} is not UTF-8 ({error.reason}). Save the "
            "file as JSONL in UTF-8."
        ) from error
