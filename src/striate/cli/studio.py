"""`striate studio`."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from striate.cli.options import app
from striate.errors import UsageError


@app.command()
def studio(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN|SPEC]...",
            help="Runs and models to look at; the newest runs in runs/ if not given, or efficientnet-lite0.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Where the page is served; 0 takes a free port.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Look inside a network, live, in the browser: what its parts see, and what changes when the picture does."""
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
    import webbrowser

    from striate.studio.server import serve

    def opened(address: str) -> None:
        print(f"Striate's studio is open at {address}")
        print("The address works once and on this machine alone. Ctrl-C ends it.", flush=True)
        if browser:
            webbrowser.open(address)

    serve(targets or [], port, opened=opened)
