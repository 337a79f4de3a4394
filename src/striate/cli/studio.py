"""`striate studio`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Annotated

import typer

from striate.cli.options import app
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
    port: Annotated[int, typer.Option(help="Where the page is served; 0 takes a free port.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Look inside a network, live, in the browser: what its parts see, and what changes when the picture does."""
    refuse_missing()
    from striate.studio.server import serve

    serve(targets or [], port, opened=announce("studio", browser))


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


def announce(what: str, browser: bool) -> Callable[[str], None]:
    """A function that says at which address the page is open, and opens it."""

    def opened(address: str) -> None:
        import webbrowser

        print(f"Striate's {what} is open at {address}")
        print("The address works once and on this machine alone. Ctrl-C ends it.", flush=True)
        if browser:
            webbrowser.open(address)

    return opened
