"""One studio and one browser for the tests of a file."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tests_of_pages import Open, fill, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("no Chromium, or no playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium)
        yield found
        found.close()


@pytest.fixture(scope="module")
def studio(browser: Any) -> Iterator[Open]:
    """The page, opened with its token."""
    pytest.importorskip("uvicorn")
    from striate.studio.server import PAGE

    if not (PAGE / "studio.js").is_file():
        pytest.skip("the page is not built")
    with serving(fill) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(120_000)  # another may use the machine
        page = context.new_page()
        opened = Open(page, address.split("/?")[0])
        context.on("request", lambda request: opened.asked.append(request.url))
        page.on("websocket", lambda socket: opened.asked.append(socket.url))
        page.on("pageerror", lambda error: opened.wrong.append(str(error)))
        page.on(
            "console", lambda said: opened.wrong.append(said.text) if said.type == "error" else None
        )
        page.goto(address)
        page.wait_for_selector("#maps canvas")
        yield opened
        context.close()
