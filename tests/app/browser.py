"""A real Chromium on a real dashboard, for the tests and the README's pictures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
GRACE_SECONDS = 10.0
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def chromium() -> str | None:
    """The Chromium of this machine; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def launched() -> Iterator[Browser]:
    """That Chromium, started. Raises FileNotFoundError if there is none."""
    path = chromium()
    if path is None:
        raise FileNotFoundError("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(workspace: Path, log: Path) -> Iterator[str]:
    """The dashboard on a workspace: its address. What the server says goes to the file `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-W", "error", "-m", "streamlit", "run"),
        *(str(ROOT / "streamlit_app.py"), "--server.headless", "true"),
        *("--server.port", str(port), "--server.address", "127.0.0.1"),
        *("--browser.gatherUsageStats", "false"),
    ]
    environment = {**os.environ, "MILEPOST_WORKSPACE": str(workspace)}
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _await(f"{address}/_stcore/health", server, log)
            yield address
        finally:
            _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Asks it to end, and ends it if it does not listen: a signal while it starts can get lost."""
    server.terminate()
    try:
        server.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _await(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the dashboard did not start:\n{log.read_text()}")


def settle(page: Page) -> None:
    """Waits until the page is drawn: its title is there and no script runs."""
    patience = 1000 * PATIENCE_SECONDS
    page.wait_for_selector("h1", timeout=patience)
    page.wait_for_selector(IDLE, timeout=patience)


def complaints(page: Page) -> list[str]:
    """Collects, from now on, what the page's console says of errors."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found
