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

from tests_of_pages import Open, fill, opened, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("no Chromium, or no playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        found = playwright.chromium.launch(executable_path=chromium, args=camera)
        yield found
        found.close()


@pytest.fixture(scope="module")
def studio(browser: Any) -> Iterator[Open]:
    """The page, opened with its token."""
    with serving(fill) as address, opened(browser, address) as found:
        found.page.wait_for_selector("#maps canvas")
        yield found
