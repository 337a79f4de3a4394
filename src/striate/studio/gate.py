"""Gate: who may speak to the studio. Only the browser that was opened with the launch token, from the page itself.

A page of another site may send requests to 127.0.0.1 too, and a name may be made to lead there (DNS rebinding). So the Host
must be one of our own, every write and every WebSocket must come from our own origin, and everything needs a cookie that
is given once, in exchange for a token that stands in the address that the browser is opened with.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=(), camera=(self)",
    "cache-control": "no-store",
}
SAFE = ("GET", "HEAD")
REFUSED = "This page belongs to the person who started the studio; open the address that `striate studio` printed."


class Gate:
    """An ASGI application that lets through to another what comes from the studio's own page.

    inner: that application. port: of the server. token: opens the door once.
    """

    def __init__(self, inner: Application, port: int) -> None:
        self.inner = inner
        self.port = port
        self.token: str | None = secrets.token_urlsafe(32)
        self._secret = secrets.token_urlsafe(32)
        self.hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers keep cookies by host alone, and two studios have two ports."""
        return f"striate-studio-{self.port}"

    @property
    def address(self) -> str:
        """What the browser is opened with."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on what may pass."""
        if scope["type"] == "lifespan":
            return await self.inner(scope, receive, send)
        headers = _single(scope)
        if headers is None or headers.get("host") not in self.hosts:
            return await _refuse(scope, receive, send, 421, "This is not the studio's address.")
        own = f"http://{headers['host']}"
        writes = scope["type"] == "websocket" or scope["method"] not in SAFE
        if writes and headers.get("origin") != own:
            return await _refuse(scope, receive, send, 403, REFUSED)
        if scope["type"] == "http" and scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
            if given is not None:
                return await self._exchange(given[0], scope, receive, send)
        if not _same(_cookie(headers.get("cookie", ""), self.cookie), self._secret):
            return await _refuse(scope, receive, send, 403, REFUSED)

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded(HEADERS)]
            await send(message)

        await self.inner(scope, receive, guarded)

    async def _exchange(self, given: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The token, once, for the cookie; then the same page without the token in its address."""
        if self.token is None or not _same(given, self.token):
            return await _refuse(scope, receive, send, 403, REFUSED)
        self.token = None
        kept = f"{self.cookie}={self._secret}; HttpOnly; SameSite=Strict; Path=/"
        await _answer(send, 303, b"", {**HEADERS, "location": "/", "set-cookie": kept})


def _single(scope: Scope) -> dict[str, str] | None:
    """The headers by name; None where one that is decided by stands there twice."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "cookie"):
            return None
        found[key] = value.decode("latin-1")
    return found


def _cookie(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _same(given: str, kept: str) -> bool:
    return hmac.compare_digest(given.encode(), kept.encode())


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await _answer(
        send, status, why.encode(), {**HEADERS, "content-type": "text/plain; charset=utf-8"}
    )


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})
