"""`striate studio`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Annotated

import typer

from striate.cli.options import Model, app
from striate.errors import UsageError


@app.command()
def studio(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN|SPEC|IMAGE]...",
            help="Runs and models to look at, and images of any size; the newest runs in runs/ if no network is given, or "
            "efficientnet-lite0.",
        ),
    ] = None,
    model: Model = None,
    port: Annotated[int, typer.Option(help="Where the page is served; 0 takes a free port.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Look inside a network, live, in the browser: what its parts see, and what changes when the picture does."""
    refuse_missing()
    quieten()
    from striate import api
    from striate.studio.server import serve

    factory = None if model is None else api.find_factory(model)
    serve(targets or [], port, opened=announce("studio", browser), factory=factory)


def refuse_missing() -> None:
    """Raise UsageError where the packages that serve the page are not installed."""
    missing = [
        name
        for name in ("starlette", "uvicorn", "websockets")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"the studio needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
            "run: pip install 'striate[studio]'"
        )


def quieten() -> None:
    """Let torch's threads sleep between operations: the browser paints on the same cores. Call it before torch loads."""
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def announce(what: str, browser: bool) -> Callable[[str], None]:
    """A function that says at which address the page is open, and opens it."""

    def opened(address: str) -> None:
        import webbrowser

        print(f"Striate's {what} is open at {address}")
        print("The address works once and on this machine alone. Ctrl-C ends it.", flush=True)
        if browser:
            webbrowser.open(address)

    return opened
