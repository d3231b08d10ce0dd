"""A user's own grader: a function in a Python file of the workspace, python:MODULE:FUNCTION.

    def grade(generated: str, target: str) -> float | bool | tuple[float, str, str | None] | None

Its version is the digest of the file, so a changed file is another version. The file is code that
milepost.toml names; a name that stands in the log alone is never run.
"""

from __future__ import annotations

import ast
import hashlib
import math
import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import PurePosixPath
from typing import Any, get_args

from errors import GraderFault, SettingsError
from views.graders.verdict import ErrorClass, Judge, Verdict
from views.likeness import tidy

PREFIX = "python:"
MISTAKES = {*get_args(ErrorClass)} - {"not_scored", "not_graded", "grader_failed"}

_NAME = re.compile(r"python:([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
_DIGITS = 12


@dataclass(frozen=True)
class OwnGrader:
    """A function in a file; `file` is relative to the workspace, `source` what the file holds."""

    name: str
    file: str
    source: str

    @property
    def version(self) -> str:
        """The digest of the file's text."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:_DIGITS]

    @property
    def full_name(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"

    def ready(self) -> str:
        """The full name, once the file could be run. Raises SettingsError where it cannot."""
        self.function  # noqa: B018 - runs the file
        return self.full_name

    @cached_property
    def function(self) -> Callable[[str, str], Any]:
        """The function, once the file has been run. Raises SettingsError where that fails."""
        namespace: dict[str, Any] = {"__name__": PurePosixPath(self.file).stem}
        try:
            exec(compile(self.source, self.file, "exec"), namespace)
        except (Exception, SystemExit) as error:
            raise SettingsError(f"grader {self.name}: {self._words(error)}") from error
        function = namespace[self.name.rpartition(":")[2]]
        if not callable(function):
            raise SettingsError(f"grader {self.name}: it is no function in {self.file}")
        found: Callable[[str, str], Any] = function
        return found

    def grader(self, target: str) -> Judge:
        """Asks the function. The judge raises GraderFault where it raises or returns no grade."""
        function = self.function

        def judge(generated: str) -> Verdict | None:
            try:
                return _verdict(function(generated, target), generated, target)
            except GraderFault as fault:
                raise GraderFault(f"{fault} ({self.file})") from fault
            except (Exception, SystemExit) as error:
                raise GraderFault(self._words(error)) from error

        return judge

    def _words(self, error: BaseException) -> str:
        """The error and where in the file it came up, as text that a database can hold."""
        line, trace = None, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file:
                line = trace.tb_lineno
            trace = trace.tb_next
        where = f" ({self.file}, line {line})" if line else f" ({self.file})"
        said = f"{type(error).__name__}: {error}".replace("\0", "")
        return said.encode(errors="replace").decode()[:300] + where


def file_of(name: str) -> PurePosixPath:
    """The file that a name means, from the workspace. Raises SettingsError for another form."""
    found = _NAME.fullmatch(name.partition("@")[0])
    if found is None:
        raise SettingsError(
            f"{name!r} is not python:MODULE:FUNCTION, such as python:graders.units:grade for the "
            "function `grade` in graders/units.py of the workspace"
        )
    return PurePosixPath(*found[1].split(".")).with_suffix(".py")


def read(name: str, source: str, neighbours: Collection[str]) -> OwnGrader:
    """The grader that `source` holds. `neighbours` are the modules that stand in the workspace.

    Raises SettingsError where it is no Python, has no such function, or imports a neighbour: what
    stands in another file is not part of the digest that is the version.
    """
    name = name.partition("@")[0]
    file = str(file_of(name))
    function = name.rpartition(":")[2]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise SettingsError(f"grader {name}: {file} is not Python: {error}") from error
    imported = sorted(_imports(tree) & {*neighbours, ""} - sys.stdlib_module_names)
    if imported:
        raise SettingsError(
            f"grader {name}: {file} imports {imported[0] or 'what stands beside it'} of the "
            "workspace. A grader is one file, whose digest is its version: put it all in there."
        )
    defined = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
    if function not in defined:
        there = ", ".join(sorted(defined)) or "none"
        raise SettingsError(f"grader {name}: {file} has no function {function!r}. It has: {there}.")
    return OwnGrader(name, file, source)


def _imports(tree: ast.Module) -> set[str]:
    """The first part of every module that is imported; empty for a relative import."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found.update(one.name.partition(".")[0] for one in node.names)
            case ast.ImportFrom():
                found.add("" if node.level else (node.module or "").partition(".")[0])
    return found


def _verdict(returned: Any, generated: str, target: str) -> Verdict | None:
    if returned is None:
        return None
    score, parsed, fault = (
        returned
        if isinstance(returned, tuple) and len(returned) == 3
        else (returned, tidy(generated), None)
    )
    number = float(score) if isinstance(score, Real) else math.nan
    if not 0 <= number <= 1:
        raise GraderFault(f"it returned {_brief(returned)}: a score is a number from 0 to 1")
    if parsed is not None and not _is_text(parsed):
        raise GraderFault(f"it returned {_brief(parsed)} as the answer found: that is no text")
    if fault is not None and (fault not in MISTAKES or number == 1):
        raise GraderFault(
            f"it returned {_brief(fault)} as the mistake of a score of {number:g}; below 1 there "
            f"are {', '.join(sorted(MISTAKES))}"
        )
    return Verdict(number, parsed, tidy(target), fault)


def _is_text(value: object) -> bool:
    """Whether a database can hold it as text."""
    if not isinstance(value, str) or "\0" in value:
        return False
    return value == value.encode(errors="replace").decode()


def _brief(value: object) -> str:
    return ascii(value)[:80]
