"""A real sshd on loopback, with keys of its own: the trainer's host, for as long as a test runs."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.ingest.folders import wait_for

HOST = "127.0.0.1"
PRIVILEGE_SEPARATION = Path("/run/sshd")
NEEDED = ("sshd", "ssh", "ssh-keygen")


def find(command: str) -> str | None:
    """The path of `command`; sshd is where only root looks."""
    return shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin")


# On a machine that must have everything, what is missing fails.
needs_sshd = pytest.mark.skipif(
    os.environ.get("CI") != "true" and not all(find(one) for one in NEEDED),
    reason="no sshd on this machine: apt-get install openssh-server openssh-client",
)


@dataclass
class Sshd:
    """A server that lets in the user who runs the tests, by one key and no other way."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        return f"{getpass.getuser()}@{HOST}"

    @property
    def ssh_options(self) -> tuple[str, ...]:
        """What a client needs to be let in, without a look into the user's own ~/.ssh."""
        return (
            f"Port={self.port}",
            f"IdentityFile={self.folder / 'user'}",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "GlobalKnownHostsFile=/dev/null",
        )

    def connections(self) -> list[psutil.Process]:
        """The processes that serve a connection each."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    def cut(self) -> None:
        """Ends every connection at once, as a host that crashes does."""
        for one in self.connections():
            served = one.children(recursive=True)
            for process in (one, *served):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)

    def end(self) -> None:
        """Nothing listens on the port any more."""
        self.process.terminate()
        self.process.wait()


@contextmanager
def serving(folder: Path, port: int | None = None, more: str = "") -> Iterator[Sshd]:
    """An sshd with its keys and its log in `folder`; `more` goes first in its configuration."""
    folder.mkdir(exist_ok=True)
    for name in ("host", "user"):
        if not (folder / name).exists():
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    port = _free_port() if port is None else port
    host_key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[{HOST}]:{port} {host_key}")
    config = folder / "sshd_config"
    config.write_text(
        # The home is the server's folder: what a person's ~/.bashrc does is no part of a test.
        f"""\
{more}
SetEnv HOME={folder}
ListenAddress {HOST}
Port {port}
HostKey {folder / "host"}
AuthorizedKeysFile {folder / "user.pub"}
PasswordAuthentication no
KbdInteractiveAuthentication no
KexAlgorithms curve25519-sha256
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
"""
    )
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    sshd = find("sshd")
    assert sshd is not None, "apt-get install openssh-server"
    with (folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=log)
    server = Sshd(folder, port, process)
    try:
        wait_for(lambda: _listens(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "sshd.log").read_text()
        yield server
    finally:
        server.cut()
        server.end()


def _run(*command: str) -> None:
    path = find(command[0])
    assert path is not None, "apt-get install openssh-client"
    subprocess.run([path, *command[1:]], check=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
        assert isinstance(port, int)
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
