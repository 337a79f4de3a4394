"""Children: a command in a process of its own that a fault happens to, with all that it prints, and how it ended.

The parent imports whatever commands import, and forks, so that a child costs a command's own work and no imports.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import pkgutil
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import striate
from striate.cli import main
from striate.errors import StriateError

LONGEST = 120.0  # seconds, after which a command hangs
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
ROOM = ("open", "os.mkdir", "os.rename")  # of them those that a full disk refuses


@dataclass(frozen=True)
class Ended:
    """status: as `os.waitstatus_to_exitcode` gives it, None for a command that was stopped because it hung."""

    status: int | None
    said: str


class Child:
    """A command that runs. number: of its process."""

    def __init__(self, number: int, pipe: int) -> None:
        self.number, self.pipe, self.pieces = number, pipe, list[bytes]()

    def wait(self) -> Ended:
        """Take what it prints until it ends."""
        until = time.monotonic() + LONGEST
        status: int | None = None
        while True:
            done, state = os.waitpid(self.number, os.WNOHANG)
            self._take(0.0 if done else 0.02)
            if done:
                status = os.waitstatus_to_exitcode(state)
                break
            if time.monotonic() > until:
                os.kill(self.number, signal.SIGKILL)
                os.waitpid(self.number, 0)
                break
        os.close(self.pipe)
        return Ended(status, b"".join(self.pieces).decode(errors="replace"))

    def _take(self, seconds: float) -> None:
        while select.select([self.pipe], [], [], seconds)[0]:
            piece = os.read(self.pipe, 65_536)
            if not piece:
                time.sleep(seconds)
                return
            self.pieces.append(piece)
            seconds = 0.0


def start(
    work: Sequence[str] | Callable[[], None],
    home: Path,
    *,
    limit: int | None = None,
    first: Callable[[], None] | None = None,
) -> Child:
    """A command, or a function, in a child, in the folder `home`. limit: bytes that a file may have. first: is called in the
    child before."""
    reads, writes = os.pipe()
    child = os.fork()
    if child:
        os.close(writes)
        return Child(child, reads)
    status = 99
    try:
        os.chdir(home)
        os.dup2(writes, 1)
        os.dup2(writes, 2)
        sys.dont_write_bytecode = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if first is not None:
            first()
        if callable(work):
            work()
        else:
            main(work)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except StriateError as error:  # of a function, as `main` reports it
        print(f"striate: {error}", file=sys.stderr)
        status = error.exit_status
    except KeyboardInterrupt:
        print("striate: interrupted", file=sys.stderr)
        status = 130
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(status)


def meddling(home: Path, at: int, act: str) -> Callable[[], None]:
    """What makes the `at`-th change of the files below `home` fatal: act is "kill", "interrupt" or "refuse".

    Python reports each change to its audit hooks before it is made (PEP 578).
    """
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if not is_change(home, event, arguments):
            return
        seen += 1
        if seen != at:
            return
        if act == "refuse":
            code = errno.ENOSPC if event in ROOM else errno.EACCES
            raise OSError(code, os.strerror(code), str(arguments[0]))
        os.kill(os.getpid(), signal.SIGKILL if act == "kill" else signal.SIGINT)

    return lambda: sys.addaudithook(hook)


def counting(home: Path, note: Path) -> Callable[[], None]:
    """What counts the changes of the files below `home`, and keeps in `note` the count and the modules that are imported."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        seen += is_change(home, event, arguments)

    def ended() -> None:
        note.write_text("\n".join([str(seen), *sys.modules]))

    def first() -> None:
        real = os._exit

        def leave(status: int) -> None:
            ended()
            real(status)

        os._exit = leave  # type: ignore[assignment]  # by which a child leaves
        sys.addaudithook(hook)

    return first


def is_change(home: Path, event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event is a change of a file or folder below `home`."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
    elif event in CHANGES:
        path = arguments[0]
    else:
        return False
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    text = os.path.abspath(os.fsdecode(path))
    return text.startswith(f"{home}{os.sep}")


def import_everything() -> None:
    """What commands import when they begin."""
    for module in pkgutil.walk_packages(striate.__path__, "striate."):
        if not module.name.endswith("__main__") and ".lectures.experiments." not in module.name:
            importlib.import_module(module.name)


def import_all(names: Sequence[str]) -> None:
    """What a child has imported beside: other packages import much of themselves late."""
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
