"""Takes the README's picture of the overview: python -m tests.app.screenshots WORKSPACE."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize

from tests.app.browser import ROOT, launched, served, settle

SIZE: ViewportSize = {"width": 1280, "height": 960}
CHARTS = '[data-testid="stVegaLiteChart"] svg'


def take(workspace: Path, picture: Path) -> None:
    """Writes the overview of `workspace`, in the light theme, to the PNG file `picture`."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with served(workspace, log) as address, launched() as browser:
            page = browser.new_page(viewport=SIZE, color_scheme="light")
            page.goto(address)
            settle(page)
            for chart in (0, 1):
                page.locator(CHARTS).nth(chart).wait_for()
            page.wait_for_function("document.fonts.status === 'loaded'")
            page.screenshot(path=picture, animations="disabled")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "overview.png")
    given = parser.parse_args()
    take(given.workspace.absolute(), given.out)
    print(given.out)
