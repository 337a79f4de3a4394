"""The server as it runs: the page, the socket, a dropped file, what is refused, and what is left when pages go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import importlib.util
import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from torch import nn

import striate
from striate.cli import main
from striate.errors import UsageError
from striate.studio import server
from striate.studio.desk import Desk
from striate.studio.frames import decode
from striate.studio.shelf import Network, Picture

pytest.importorskip("uvicorn")
websockets = pytest.importorskip("websockets.asyncio.client")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed
Served = tuple[str, str]
WEB = Path(__file__).parents[2] / "studio" / "web"

SMALL = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
).eval()  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """(host, cookie) of a studio with one small network."""
    page = tmp_path_factory.mktemp("page")
    for name in server.KINDS:
        (page / name).write_text(f"the {name}")
    patch = pytest.MonkeyPatch()
    patch.setattr(server, "PAGE", page)
    patch.setattr(server, "BYTES", 1 << 20)
    trained = striate.wrap(SMALL, classes=("a", "b"), preprocessing=(8, 0.5, 0.25))
    patch.setattr(Network, "trained", trained)
    patch.setattr(Network, "samples", {"s0": Picture("grey", np.full((3, 8, 8), 99, np.uint8))})
    addresses: list[str] = []
    ready = threading.Event()

    def opened(address: str) -> None:
        addresses.append(address)
        ready.set()

    class Noted(server.Telling):
        made: ClassVar[list[Any]] = []

        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.made.append(self)

        def capture_signals(self) -> Any:  # none reach a thread
            return contextlib.nullcontext()

    patch.setattr(server, "Telling", Noted)
    thread = threading.Thread(target=lambda: server.serve(["efficientnet-lite0"], opened=opened))
    thread.start()
    assert ready.wait(60)
    host, query = addresses[0].removeprefix("http://").split("/", 1)
    with contextlib.closing(http.client.HTTPConnection(host)) as connection:
        connection.request("GET", f"/{query}")
        answer = connection.getresponse()
        yield host, str(answer.getheader("set-cookie")).split(";")[0]
    Noted.made[0].should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    patch.undo()


def got(served: Served, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    host, cookie = served
    with contextlib.closing(http.client.HTTPConnection(host)) as connection:
        connection.request(method, path, body, {"Cookie": cookie, "Origin": f"http://{host}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def connect(served: Served, origin: str | None = None) -> Any:
    host, cookie = served
    return websockets.connect(
        f"ws://{host}/live",
        additional_headers={"Cookie": cookie},
        origin=origin or f"http://{host}",
    )


async def asked(page: Any, kind: str, **question: Any) -> dict[str, Any]:
    """The first frame of an answer."""
    await page.send(json.dumps({"channel": kind, "number": 1, "kind": kind, **question}))
    header, _ = decode(await asyncio.wait_for(page.recv(), 60))
    await page.send(json.dumps({"shown": header["frame"]}))
    return header


def test_the_page_and_its_files_are_served_and_nothing_else(served: Served) -> None:
    for name in server.KINDS:
        path = "/" if name == "index.html" else f"/{name}"
        assert got(served, "GET", path) == (200, f"the {name}".encode())
    others = (
        "/../pyproject.toml",
        "/%2e%2e/x",
        "/studio.js/../x",
        "/page/index.html",
        "/drop/n0",
        "/etc/passwd",
    )
    for path in others:
        assert got(served, "GET", path)[0] in (404, 405)


def test_a_question_is_answered_and_pages_may_come_and_go(served: Served) -> None:
    async def pages() -> dict[str, Any]:
        for _ in range(30):
            async with connect(served) as page:
                await page.send(
                    json.dumps({"channel": "a", "number": 1, "kind": "network", "network": "n0"})
                )
        async with connect(served) as page:
            return await asked(page, "picture", network="n0", picture="s0")

    header = asyncio.run(pages())
    assert sum(score["share"] for score in header["top"]) == pytest.approx(1)


NO_QUESTIONS = (
    "",
    "x",
    "[]",
    "{}",
    '{"channel": 3, "number": 1}',
    '{"channel": "a"}',
    "x" * (1 << 17),
)


@pytest.mark.parametrize("message", NO_QUESTIONS)
def test_what_is_no_question_ends_that_page_and_no_other(served: Served, message: str) -> None:
    async def pages() -> None:
        async with connect(served) as other, connect(served) as page:
            await page.send(message)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(page.recv(), 20)
            assert (await asked(other, "networks"))["networks"]

    asyncio.run(pages())


def test_another_origin_opens_no_socket(served: Served) -> None:
    async def page() -> None:
        async with connect(served, origin="http://evil.example"):
            pass

    with pytest.raises(Exception, match=r"403|rejected"):
        asyncio.run(page())


def test_a_dropped_image_can_be_asked_about_and_others_are_refused(served: Served) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 10, 10)).save(buffer, "PNG")
    status, body = got(served, "POST", "/drop/n0", buffer.getvalue())
    assert status == 200
    number = json.loads(body)["picture"]

    async def page() -> dict[str, Any]:
        async with connect(served) as page:
            return await asked(page, "picture", network="n0", picture=number)

    assert asyncio.run(page())["error"] is None
    refused = {
        ("/drop/n0", b"no image"): "not an image",
        ("/drop/n0", b"x" * (2 << 20)): "more than 1 MB",
        ("/drop/n9", b""): "not one of",
    }
    for (path, data), words in refused.items():
        status, body = got(served, "POST", path, data)
        assert status == 422 and words in json.loads(body)["error"], body


def held() -> tuple[int, int, int]:
    """Open files, threads, and desks of pages."""
    gc.collect()
    desks = sum(type(o) is Desk for o in gc.get_objects())
    return len(os.listdir("/proc/self/fd")), threading.active_count(), desks


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files")
def test_requests_and_pages_that_break_off_leave_nothing_behind(served: Served) -> None:
    """The short form of `benchmarks/studio_soak.py`."""
    question = {
        "kind": "occlude",
        "network": "n0",
        "picture": "s0",
        "box": [[0, 3], [0, 3]],
        "fill": "grey",
    }

    async def come_and_go(times: int) -> None:
        for number in range(times):
            async with connect(served) as page:
                await asked(page, "networks")
                await page.send(json.dumps({"channel": "a", "number": number, **question}))
                page.transport.abort()  # in the middle of a drag

    def once(times: int) -> None:
        for _ in range(4 * times):
            assert got(served, "GET", "/studio.js")[0] == 200
        asyncio.run(come_and_go(times))

    once(3)
    before = held()
    once(25)
    end = time.monotonic() + 20
    while any(a > b for a, b in zip(held(), before, strict=True)):  # the last ones are being closed
        assert time.monotonic() < end, (before, held())
        time.sleep(0.1)

    async def page() -> dict[str, Any]:
        async with connect(served) as page:
            return await asked(page, "picture", network="n0", picture="s0")

    assert asyncio.run(page())["error"] is None


def test_no_other_address_of_this_machine_answers() -> None:
    with server.listen(0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 5)


def test_nothing_that_is_named_becomes_markup_or_code() -> None:
    """Names, labels and words of files are set as text: the page's source has no other way to set them."""
    source = "".join(p.read_text() for p in sorted((WEB / "src").rglob("*.ts")))
    assert "textContent" in source
    ways = "innerHTML outerHTML insertAdjacentHTML document.write DOMParser srcdoc eval( Function("
    for way in ways.split():
        assert way not in source, way


def test_a_taken_port_and_a_page_that_is_not_built_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.listen(0) as taken:
        taken.listen()
        with pytest.raises(UsageError, match="cannot be used"):
            server.listen(taken.getsockname()[1])
    monkeypatch.setattr(server, "PAGE", tmp_path)
    with pytest.raises(UsageError, match=r"npm ci && npm run build"):
        server.refuse_unbuilt()


def test_the_command_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec

    def found(name: str, *package: str) -> Any:
        return None if name == "uvicorn" else find(name, *package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    with pytest.raises(SystemExit) as stop:
        main(["studio"])
    assert stop.value.code == 2
    assert "pip install 'striate[studio]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "65536"], "port must be a whole number from 0 to 65,535, got 65,536"),
        (["--port", "-1"], "port must be"),
        (["runs/none"], "there is no run at runs/none"),
        (["nothing"], "nothing"),
        (["efficientnet-lite0", "../outside"], "../outside"),
        (["."], "is not a run"),
        (["a\x1b]0;x\x07b"], "is no run and no model"),
        (["x\0"], "zero byte"),
        ([""], "empty"),
        (["~nobody-here/x"], "no home"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_refused_before_anything_is_served(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["studio", "--no-browser", *words])
    shown = capsys.readouterr()
    assert stop.value.code in (1, 2) and not shown.out
    assert message in shown.err and "\x1b" not in shown.err and "Traceback" not in shown.err
