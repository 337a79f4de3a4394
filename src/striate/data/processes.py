"""Processes that describe image files. They read paths and write records, as lines of JSON, and know nothing else.

They are started as programs of their own rather than by `multiprocessing`, which runs a person's script again where that
does not guard against it. One that ends early is done without: its files are read here.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from striate.data.described import record_of_row, row_of
from striate.data.pool import ordered, workers
from striate.data.records import Record, inspect
from striate.images import quiet

PIECE = 64  # files a message
CODE = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from striate.data.processes import serve; serve()"

Helper = subprocess.Popen[bytes]


def described_apart(paths: Sequence[str], *, count: int = 0) -> Iterator[Record | str]:
    """The record of each file, or what is wrong with it, in order. count: of processes; one a processor if not given."""
    count = count or workers()
    free: queue.SimpleQueue[Helper | None] = queue.SimpleQueue()
    helpers = [started() for _ in range(count)]
    for helper in helpers:
        free.put(helper)
    pieces = [list(paths[i : i + PIECE]) for i in range(0, len(paths), PIECE)]

    def described(piece: list[str]) -> list[Record | str]:
        helper = free.get()
        found = None if helper is None else asked(helper, piece)
        free.put(None if found is None else helper)
        return [inspect(Path(path)) for path in piece] if found is None else found

    try:
        for found in ordered(described, pieces, threads=count):
            yield from found
    finally:
        for one in helpers:
            if one is not None:
                one.kill()
                one.communicate()


def started() -> Helper | None:
    """A helper; None where no process can be started."""
    try:
        return subprocess.Popen(
            [sys.executable, "-c", CODE, json.dumps(sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None


def asked(helper: Helper, paths: Sequence[str]) -> list[Record | str] | None:
    """What a helper says of files; None where it has ended, or says what is no description of them."""
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        helper.stdin.write(json.dumps(paths).encode() + b"\n")
        helper.stdin.flush()
        rows = json.loads(helper.stdout.readline())
    except (OSError, ValueError):
        return None
    found = [row if isinstance(row, str) else record_of_row(row) for row in rows]
    whole = [one for one in found if one is not None]
    return whole if len(whole) == len(paths) else None


def serve() -> None:
    """Answer lines of paths by lines of records until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # what a decoder prints is no answer
    for line in sys.stdin.buffer:
        with quiet():
            found = [inspect(Path(path)) for path in json.loads(line)]
        rows = [one if isinstance(one, str) else row_of(one) for one in found]
        out.write(json.dumps(rows).encode() + b"\n")
        out.flush()
