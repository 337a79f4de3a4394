"""The gate: whoever is not the page that was opened with the token gets nothing, each in its way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from striate.studio.gate import HEADERS, Gate

PORT = 8123


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


def asked(
    gate: Gate, path: str = "/", *, kind: str = "http", method: str = "GET", query: str = "", headers: Any = ()
) -> list[dict[str, Any]]:  # fmt: skip
    """What the gate sends. headers: pairs of texts."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect" if kind == "websocket" else "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": kind, "method": method, "path": path, "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers],
    }  # fmt: skip
    asyncio.run(gate(scope, receive, send))
    return sent


def cookie_of(gate: Gate) -> str:
    (start, _) = asked(gate, query=f"token={gate.token}", headers=[HOST])
    return dict(start["headers"])[b"set-cookie"].decode().split(";")[0]


HOST = ("host", f"127.0.0.1:{PORT}")
OWN = ("origin", f"http://127.0.0.1:{PORT}")


def test_the_token_opens_once_and_its_cookie_is_for_this_page_alone() -> None:
    gate = Gate(inner, PORT)
    query = f"token={gate.token}"
    start, _ = asked(gate, query=query, headers=[HOST])
    headers = dict(start["headers"])
    assert start["status"] == 303 and headers[b"location"] == b"/"
    given = headers[b"set-cookie"].decode()
    assert given.startswith(f"striate-studio-{PORT}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(given.split("; "))
    again, _ = asked(gate, query=query, headers=[HOST])
    assert again["status"] == 403
    start, body = asked(gate, headers=[HOST, ("cookie", given.split(";")[0])])
    assert start["status"] == 200 and body["body"] == b"secret"
    shown = dict(start["headers"])
    assert all(shown[name.encode()] == value.encode() for name, value in HEADERS.items())


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:80", f"[::1]evil:{PORT}", f"127.0.0.1:{PORT}.evil",
     f"127.0.0.1.evil:{PORT}", f"user@127.0.0.1:{PORT}", "", f"127.0.0.2:{PORT}", f"[::ffff:127.0.0.1]:{PORT}"],
)  # fmt: skip
def test_another_host_is_refused_whatever_it_brings(host: str) -> None:
    gate = Gate(inner, PORT)
    cookie = cookie_of(gate)
    start, body = asked(gate, headers=[("host", host), ("cookie", cookie), OWN])
    assert start["status"] == 421 and b"secret" not in body["body"]


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}"])
def test_its_own_names_are_taken(host: str) -> None:
    gate = Gate(inner, PORT)
    cookie = cookie_of(gate)
    start, _ = asked(gate, headers=[("host", host), ("cookie", cookie)])
    assert start["status"] == 200


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", f"http://localhost:{PORT}", f"https://127.0.0.1:{PORT}", "http://127.0.0.1",
     f"http://127.0.0.1:{PORT}.evil", f"http://127.0.0.1:{PORT}/"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_what_writes_comes_from_the_page_itself(origin: str | None, kind: str) -> None:
    gate = Gate(inner, PORT)
    headers = [HOST, ("cookie", cookie_of(gate))]
    headers += [] if origin is None else [("origin", origin)]
    first = asked(gate, "/live", kind=kind, method="POST", headers=headers)[0]
    assert first["type"] == "websocket.close" or first.get("status") == 403
    first = asked(gate, "/live", kind=kind, method="POST", headers=[*headers[:2], OWN])[0]
    assert first["type"] == "websocket.accept" or first.get("status") == 200


COOKIES = (None, "", "striate-studio-8123=", "striate-studio-8123=x", "a=b; =", "\x00", "x" * 9000)


@pytest.mark.parametrize("cookie", COOKIES)
def test_without_the_cookie_nothing_is_given(cookie: str | None) -> None:
    gate = Gate(inner, PORT)
    cookie_of(gate)
    headers = [HOST] if cookie is None else [HOST, ("cookie", cookie)]
    for path in ("/", "/studio.js", "/drop/n0", "/nowhere"):
        start, body = asked(gate, path, headers=headers)
        assert start["status"] == 403 and b"secret" not in body["body"]
    first = asked(gate, "/live", kind="websocket", headers=[*headers, OWN])[0]
    assert first["type"] == "websocket.close"


@pytest.mark.parametrize("name", ["host", "origin", "cookie"])
def test_a_header_that_stands_twice_decides_nothing(name: str) -> None:
    gate = Gate(inner, PORT)
    headers = [HOST, OWN, ("cookie", cookie_of(gate))]
    twice = dict(headers)[name]
    start, _ = asked(gate, headers=[*headers, (name, twice)])
    assert start["status"] == 421


def test_the_policy_lets_nothing_in_but_its_own_files() -> None:
    policy = HEADERS["content-security-policy"]
    begin = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'"
    assert policy.startswith(begin)
    assert "unsafe" not in policy and "*" not in policy
