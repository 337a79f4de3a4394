"""Server: the page, its two files, one WebSocket, and the pictures that a person drops, on this machine alone."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from torch import nn

from striate.errors import StriateError, UsageError
from striate.ranges import check_ranges
from striate.studio.answers import Answers
from striate.studio.desk import Desk
from striate.studio.gate import Gate
from striate.studio.shelf import BYTES, Shelf

PAGE = Path(__file__).with_name("page")
KINDS = {
    "index.html": "text/html; charset=utf-8",
    "studio.js": "text/javascript; charset=utf-8",
    "studio.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
MESSAGE = 1 << 16  # bytes of one question, at most
PAGES = 8  # that may be open at once
HOST = "127.0.0.1"


class Studio:
    """The application behind the gate. One worker thread computes for all pages."""

    def __init__(
        self, targets: Sequence[str], factory: Callable[[], nn.Module] | None = None
    ) -> None:
        self.shelf = Shelf(targets, factory)
        refuse_unbuilt()
        self.answers = Answers(self.shelf)
        self.worker = ThreadPoolExecutor(1, "studio")
        self.open = 0
        self._given = 0
        routes = [
            Route("/", self._file("index.html")),
            *(Route(f"/{name}", self._file(name)) for name in KINDS if name != "index.html"),
            Route("/drop/{network}", self.drop, methods=["POST"]),
            WebSocketRoute("/live", self.live),
        ]
        self.application = Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, application: Starlette) -> AsyncIterator[None]:
        yield
        self.worker.shutdown(wait=False, cancel_futures=True)

    def _file(self, name: str) -> Callable[[Request], Any]:
        async def send(request: Request) -> Response:
            return Response((PAGE / name).read_bytes(), media_type=KINDS[name])

        return send

    async def drop(self, request: Request) -> Response:
        """Take the bytes of an image file for a network; the number of the picture as JSON."""
        data = bytearray()
        try:
            one = self.shelf.network(request.path_params["network"])
            async for chunk in request.stream():
                data += chunk
                if len(data) > BYTES:
                    raise UsageError(
                        f"the file holds more than {BYTES >> 20} MB; give `striate tile` large images"
                    )
            self._given += 1
            live = request.query_params.get("live") == "1"
            number = f"{'l' if live else 'd'}{self._given}"
            drop = functools.partial(one.drop, bytes(data), "dropped", number, live=live)
            await asyncio.get_running_loop().run_in_executor(self.worker, drop)
        except ClientDisconnect:
            return Response(status_code=400)
        except StriateError as error:
            return JSONResponse({"error": str(error)}, 422)
        return JSONResponse({"picture": number})

    async def live(self, page: WebSocket) -> None:
        """Questions in, frames out, until the page is closed."""
        await page.accept()
        if self.open >= PAGES:
            await page.close(1013)
            return
        self.open += 1
        desk = Desk(self.answers, page.send_bytes, self.worker)
        work = asyncio.create_task(desk.run())
        try:
            while True:
                _take(desk, await page.receive_text())
        except (WebSocketDisconnect, KeyError, ValueError):  # gone, or no question of ours
            pass
        finally:
            self.open -= 1
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, RuntimeError, WebSocketDisconnect):
                await work
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await page.close(1003)


class Telling(uvicorn.Server):
    """A server that says when it answers: a browser that is opened sooner finds nothing."""

    def __init__(self, config: uvicorn.Config, answers: Callable[[], None]) -> None:
        super().__init__(config)
        self._answers = answers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        if self.started:
            self._answers()


def _take(desk: Desk, text: str) -> None:
    """One message of the page. Raises ValueError for what is none of ours."""
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError
    if isinstance(shown := message.get("shown"), int):
        desk.confirm(shown)
        return
    channel, number = message.get("channel"), message.get("number")
    if not isinstance(channel, str) or not isinstance(number, int) or len(channel) > 40:
        raise ValueError
    if message.get("cancel"):
        desk.cancel(channel)
    else:
        desk.ask(channel, number, message)


def refuse_unbuilt() -> None:
    """Raise UsageError where the page was not built."""
    if not (PAGE / "index.html").is_file() or not (PAGE / "studio.js").is_file():
        raise UsageError(
            "the studio's page is not built in this checkout; run `npm ci && npm run build` in studio/web, or install "
            "Striate from a wheel"
        )


def listen(port: int) -> socket.socket:
    """A socket on this machine's own address; port 0 takes a free one. Raises UsageError for a port that is taken."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
    except OSError as error:
        taken.close()
        raise UsageError(
            f"port {port} cannot be used ({error.strerror}); give another with --port, or --port 0"
        ) from None
    return taken


def serve(
    targets: Sequence[str], port: int = 0, *, opened: Callable[[str], None], view: str = "",
    factory: Callable[[], nn.Module] | None = None,
) -> None:  # fmt: skip
    """Serve the page until interrupted.

    targets: folders of runs and specs with published weights; the newest runs of `runs/` if none, or efficientnet-lite0.
    factory: makes the networks of those runs that keep no code. port: 0 takes a free one. view: which one the page begins
    with. opened: called once with the address, which works once, when it answers. Raises UsageError for a target that does
    not exist, a port that is taken, and where the page is not built.
    """
    check_ranges(port=port)
    studio = Studio(targets, factory)
    with contextlib.closing(listen(port)) as bound:
        gate = Gate(studio.application, bound.getsockname()[1])
        config = uvicorn.Config(
            gate, log_level="error", ws_max_size=MESSAGE, server_header=False, date_header=False, ws="websockets-sansio",
            timeout_graceful_shutdown=1, ws_per_message_deflate=False,
        )  # fmt: skip

        def told() -> None:
            opened(gate.address + (f"#view={view}" if view else ""))
            studio.worker.submit(studio.answers.begin)  # while the browser starts

        Telling(config, told).run([bound])
