"""One rule for every hostile trial: a command ends in time with exit status 0, 1 or 2, says what is wrong in a sentence that
names it, prints valid output, and changes nothing on disk but what it was asked to write.

    outcome = run_here(["summary", "lenet5", "--classes", "0"], home)
    judge(outcome, names=["classes"])

`run_here` runs in this process (fast), `run_apart` in one of its own (what kills, hangs or fills a process); both look at
the whole of `home` before and after.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from striate.cli import main

FORGED = "forged: "  # hostile names put it behind a line feed; no line of an output begins with it
WORK = 0.01  # seconds of work from one alarm on, below which a command waits
WHOLE = 1 << 20  # bytes up to which a file is compared by its contents too


@dataclass(frozen=True)
class Outcome:
    """How a command ended. status: None where it did not end in time. changed: paths below `home` that were made, altered
    or removed."""

    arguments: tuple[str, ...]
    status: int | None
    out: str
    err: str
    seconds: float
    changed: tuple[str, ...]

    def __str__(self) -> str:
        text = (
            f"striate {' '.join(map(repr, self.arguments))}\nstatus {self.status} after {self.seconds:.1f} s, "
            f"changed {list(self.changed)}\n{self.out[-1000:]}\n{self.err[-3000:]}"
        )
        return text.encode(errors="backslashreplace").decode()


def fault(outcome: Outcome, *, names: Sequence[str] = (), writes: Sequence[str] = ()) -> str | None:
    """What breaks the rule, or None.

    names: words of which an error message must have one, whatever the case. writes: paths below `home` where files may
    appear or change, themselves or below them. Nothing at all may change where the arguments were wrong (status 2).
    """
    if outcome.status is None:
        return "did not end in time"
    if outcome.status not in (0, 1, 2):
        return f"exit status {outcome.status}"
    for text, stream in ((outcome.out, "output"), (outcome.err, "error")):
        if "Traceback (most recent call last)" in text:
            return f"a traceback on standard {stream}"
        if any(c in text for c in "\x1b\x07\x9b"):
            return f"an escape code on standard {stream}"
        if any(line.lstrip(' "').startswith(FORGED) for line in text.splitlines()):
            return f"a name made a line on standard {stream}"
    message = outcome.err.strip()
    if outcome.status and not message:
        return "fails without a word"
    if outcome.status and names and not any(n.lower() in message.lower() for n in names):
        return f"the message names none of {list(names)}"
    roots = () if outcome.status == 2 else tuple(writes)
    stray = [c for c in outcome.changed if not any(c == r or c.startswith(f"{r}/") for r in roots)]
    if stray:
        return f"changed on disk: {stray[:5]}"
    return None if outcome.status == 2 else _output_fault(outcome)


def judge(outcome: Outcome, *, names: Sequence[str] = (), writes: Sequence[str] = ()) -> Outcome:
    """The outcome, where it keeps the rule; see `fault`. Fails with the whole of it otherwise."""
    found = fault(outcome, names=names, writes=writes)
    assert found is None, f"{found}\n{outcome}"
    return outcome


def run_here(arguments: Sequence[str | Path], home: Path, *, limit: float = 30) -> Outcome:
    """Run a command in this process, in the folder `home`; whatever it raises counts as its traceback.

    limit: seconds of work, or of waiting without any, so that a machine that does much else at once makes no fault; kept by
    an alarm of the main thread.
    """
    texts = tuple(str(a) for a in arguments)
    before, began = contents(home), time.monotonic()
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in "oe"]
    status: int | None
    with _inside(home, streams):
        try:
            with _alarm(limit):
                main(texts)
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except _Late:
            status = None
            traceback.print_exc(limit=-8)
        except BaseException:
            status = 1
            traceback.print_exc()
    out, err = (s.buffer.getvalue().decode(errors="backslashreplace") for s in streams)  # type: ignore[attr-defined]
    return Outcome(texts, status, out, err, time.monotonic() - began, _changes(before, contents(home)))  # fmt: skip


def run_apart(arguments: Sequence[str | Path], home: Path, *, limit: float = 60, **env: str) -> Outcome:  # fmt: skip
    """Run a command in a process of its own, in the folder `home`, and kill it after `limit` seconds."""
    texts = tuple(str(a) for a in arguments)
    before, began = contents(home), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", *texts], cwd=home, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=limit)
        status: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        status = None
    said = (text.decode(errors="backslashreplace") for text in (out, err))
    return Outcome(texts, status, *said, time.monotonic() - began, _changes(before, contents(home)))  # fmt: skip


def contents(home: Path) -> dict[str, tuple[object, ...]]:
    """What lies below a folder: kind, size, time and, of small files, a digest, by path; links are not followed."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(folder, name)
            about = path.lstat()
            regular = stat.S_ISREG(about.st_mode)
            told: tuple[object, ...] = (stat.S_IFMT(about.st_mode),)
            if regular:
                told += (about.st_size, about.st_mtime_ns)
                if about.st_size <= WHOLE and os.access(path, os.R_OK):
                    told += (hashlib.sha256(path.read_bytes()).digest(),)
            found[str(path.relative_to(home))] = told
    return found


def _changes(
    before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]
) -> tuple[str, ...]:
    return tuple(sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p)))


def _output_fault(outcome: Outcome) -> str | None:
    """Where JSON was asked for and nothing failed before it, standard output is one valid document."""
    if "json" not in outcome.arguments or not outcome.out.strip():
        return "no output" if outcome.status == 0 and not outcome.out.strip() else None
    try:
        json.loads(outcome.out, parse_constant=_refuse)
    except ValueError as error:
        return f"standard output is no JSON: {error}"
    return None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class _Late(BaseException):
    """The time is over; no `except Exception` on the way holds it."""


@contextlib.contextmanager
def _alarm(limit: float) -> Iterator[None]:
    began = seen = time.process_time()
    moved = time.monotonic()

    def late(number: int, frame: FrameType | None) -> None:
        nonlocal seen, moved
        work, now = time.process_time(), time.monotonic()
        if work - seen >= WORK:
            seen, moved = work, now
        if work - began >= limit or now - moved >= limit:
            raise _Late

    old = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit / 10, limit / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@contextlib.contextmanager
def _inside(home: Path, streams: Sequence[io.TextIOWrapper]) -> Iterator[None]:
    """In the folder, with streams of our own; what the command line sets for its process is set back."""
    here, format_of = Path.cwd(), warnings.formatwarning
    os.chdir(home)
    try:
        with (
            contextlib.redirect_stdout(streams[0]),
            contextlib.redirect_stderr(streams[1]),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            yield
    finally:
        warnings.formatwarning = format_of
        os.chdir(here)
