"""Networks that are made in a moment, a studio with them, and a page that is open: for the tests in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate

WEB = Path(__file__).parents[2] / "studio" / "web"
SIDE = 32
NAMES = ("ant", "bee", "cat")
INSIDE = "#maps canvas, #maps .vector"
SERVERS: list[Any] = []  # that were started, the latest last
AREAS = ("background", "left", "right")


def classifier(seed: int) -> nn.Sequential:
    """(N, 3, 32, 32) to (N, 3)."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 3),
    ).eval()  # fmt: skip


def segmenter() -> nn.Sequential:
    """(N, 3, 32, 32) to (N, 3, 32, 32)."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1)).eval()


def pictures() -> list[np.ndarray]:
    """Ten pictures (3, 32, 32) uint8: noise of several grains."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(10):
        grain = (2, 4, 8, 16)[i % 4]
        small = rng.integers(0, 256, (3, SIDE // grain, SIDE // grain), dtype=np.uint8)
        made.append(small.repeat(grain, 1).repeat(grain, 2))
    return made


@dataclass
class Open:
    """A page that is open. base: its address. asked: every address that it asked for. wrong: errors and broken policies."""

    page: Any
    base: str
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def go(self, where: str, *, width: int = 1280, ready: str = "") -> Any:
        """The page at a view, as if its address had been opened. ready: what stands there once it is; else what it shows."""
        view = where.partition("view=")[2].partition("&")[0]
        ready = ready or (f"#view-{view} section" if view not in ("", "inside") else INSIDE)
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/#{where}")
        self.page.wait_for_selector(ready, state="attached")
        return self.page

    def until(self, script: str) -> Any:
        """Wait until a script of the page gives something true."""
        end = time.monotonic() + 30
        while not (found := self.page.evaluate(f"() => {script}")):
            assert time.monotonic() < end, (script, self.page.locator("main").inner_text())
            self.page.wait_for_timeout(20)
        return found

    def pixels(self, selector: str) -> np.ndarray:
        """A canvas as it is painted: (H, W, 4) uint8."""
        read = """canvas => [canvas.height, canvas.width,
            Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)]"""
        height, width, flat = self.page.locator(selector).first.evaluate(read)
        return np.array(flat, np.uint8).reshape(height, width, 4)

    def pull(self, selector: str, *steps: tuple[float, float]) -> None:
        """Press the pointer at the first of some places, shares of an element's height and width; draw it to the last."""
        box = self.page.locator(selector).first.bounding_box()
        places = [(box["x"] + c * box["width"], box["y"] + r * box["height"]) for r, c in steps]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for x, y in places[1:]:
            self.page.mouse.move(x, y, steps=4)
        self.page.mouse.up()

    def axe(self) -> None:
        """Fail on what axe finds on the page as it stands, light and dark."""
        source = WEB / "node_modules" / "axe-core" / "axe.min.js"
        if not source.is_file():
            pytest.skip("axe-core is not installed; run npm ci in studio/web")
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.page.wait_for_timeout(200)
            self.page.evaluate(
                source.read_text(encoding="utf-8")
            )  # by the debugger, which no policy stops
            found = self.page.evaluate("axe.run().then(r => r.violations)")
            told = [(v["id"], v["help"], [n["html"] for n in v["nodes"]][:3]) for v in found]
            assert not told, scheme
        self.page.emulate_media(color_scheme="light")


@contextlib.contextmanager
def serving(change: Callable[[Any], None]) -> Iterator[str]:
    """The address, with its token, of a studio whose shelf `change` has filled. Skips where it is not built."""
    pytest.importorskip("uvicorn")
    from striate.studio import server
    from striate.studio.shelf import Shelf

    if not (server.PAGE / "studio.js").is_file():
        pytest.skip("the page is not built")
    made: list[Any] = []

    class Quiet(server.Telling):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)
            SERVERS.append(self)

        async def startup(self, sockets: Any = None) -> None:
            self.loop = asyncio.get_running_loop()
            await super().startup(sockets)

        def capture_signals(self) -> Any:  # none reach a thread
            return contextlib.nullcontext()

    def filled(targets: Any, factory: Any) -> Shelf:
        shelf = Shelf(targets, factory)
        change(shelf)
        return shelf

    addresses: list[str] = []
    ready = threading.Event()

    def opened(address: str) -> None:
        addresses.append(address)
        ready.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "Telling", Quiet)
        patch.setattr(server, "Shelf", filled)
        thread = threading.Thread(
            target=lambda: server.serve(["efficientnet-lite0"], opened=opened)
        )
        thread.start()
        try:
            assert ready.wait(60)
            yield addresses[0]
        finally:
            made[0].should_exit = True
            thread.join(30)
        assert not thread.is_alive()


def cut() -> None:
    """Break every connection of the latest server, as a computer does that sleeps."""
    one = SERVERS[-1]
    for held in list(one.server_state.connections):
        one.loop.call_soon_threadsafe(held.transport.abort)


def fill(shelf: Any) -> None:
    """Two classifiers and a segmenter."""
    from striate.studio.shelf import Network, Picture

    several = {
        "n0": ("first", classifier(0), NAMES, "classify"),
        "n1": ("second", classifier(1), NAMES, "classify"),
        "n2": ("areas", segmenter(), AREAS, "segment"),
    }
    shelf.networks = {}
    for number, (name, module, classes, task) in several.items():
        one = Network(name)
        one.__dict__["trained"] = striate.wrap(
            module, classes=classes, preprocessing=(SIDE, 0.5, 0.25), task=task, name=name
        )
        truth = NAMES if task == "classify" else (None,)
        one.__dict__["samples"] = {
            f"s{i}": Picture(f"noise {i + 1}", pixels, truth[i % len(truth)])
            for i, pixels in enumerate(pictures())
        }
        if task == "segment":  # one that is seen at its own size
            large = np.pad(pictures()[3], ((0, 0), (0, 12), (0, 20)), mode="edge")
            one.__dict__["samples"]["s10"] = Picture("larger", large)
        shelf.networks[number] = one


@contextlib.contextmanager
def opened(browser: Any, address: str) -> Iterator[Open]:
    """The page, opened with its token."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)  # another may use the machine
    page = context.new_page()
    found = Open(page, address.split("/?")[0])
    context.on("request", lambda request: found.asked.append(request.url))
    page.on("websocket", lambda socket: found.asked.append(socket.url))
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    page.on("console", lambda said: found.wrong.append(said.text) if said.type == "error" else None)
    page.goto(address)
    yield found
    context.close()
