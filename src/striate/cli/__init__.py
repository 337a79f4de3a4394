"""The command line: arguments to the same public functions."""

from __future__ import annotations

import codecs
import contextlib
import io
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from striate.cli.clock import begin
from striate.cli.ranks import leads, rank

INTERRUPTED = 130  # exit status: 128 and the number of the signal
NO_MEMORY = "not enough memory; use smaller images (--size) or batches (--set batch=N)"
REFUSED_MEMORY = ("DefaultCPUAllocator", "CUDA out of memory")  # what torch calls it


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 the work failed, 2 the arguments were wrong."""
    begin()
    interrupts: list[int] = []
    try:
        with _noting(interrupts):
            _run(arguments)
    except (KeyboardInterrupt, Exception) as error:  # at any moment, of an import too
        # NumPy puts an error of its own in the place of an interrupt, such as "structured arrays cannot be compared".
        if not (interrupts or isinstance(error, KeyboardInterrupt)):
            raise
        if leads():
            print("striate: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


@contextlib.contextmanager
def _noting(interrupts: list[int]) -> Iterator[None]:
    """Note the signals that raise KeyboardInterrupt, for the duration of a `with`; outside of the main thread none does."""

    def interrupt(number: int, frame: Any) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    main_thread = threading.current_thread() is threading.main_thread()
    if before is not signal.default_int_handler or not main_thread:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run(arguments: Sequence[str] | None) -> None:
    from striate.cli.app import command
    from striate.errors import StriateError, WeightsWarning
    from striate.wording import one_line, printable

    _print_any_name()
    warnings.simplefilter("ignore", WeightsWarning)  # a training says it itself, once
    plain = warnings.formatwarning

    def worded(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:  # fmt: skip
        if category.__module__ == StriateError.__module__:
            return f"striate: {one_line(str(message))}\n"
        return plain(message, category, filename, lineno, line)

    warnings.formatwarning = worded
    try:
        status = command()(
            args=list(arguments) if arguments is not None else None,
            prog_name="striate",
            standalone_mode=False,
        )
        if status == INTERRUPTED:  # typer's word for KeyboardInterrupt
            raise KeyboardInterrupt
        raise SystemExit(status if isinstance(status, int) else 0)
    except StriateError as error:
        who = "striate" if leads() else f"striate, process {rank()}"
        if leads() or not error.everywhere:
            print(f"{who}: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None
    except BrokenPipeError:  # the reader, such as `head`, has what it wanted
        sys.stderr.close()
        raise SystemExit(0) from None
    except MemoryError:
        print(f"striate: {NO_MEMORY}", file=sys.stderr)
        raise SystemExit(1) from None
    except RuntimeError as error:
        if not any(words in str(error) for words in REFUSED_MEMORY):
            raise
        print(f"striate: {NO_MEMORY}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        where = f" {one_line(str(error.filename))}" if error.filename else ""
        print(
            f"striate: {error.strerror or error}{where}; check the disk and its permissions",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    except Exception as error:
        if not hasattr(error, "show"):
            raise
        error.message = one_line(error.message)  # type: ignore[attr-defined]
        error.show()
        raise SystemExit(error.exit_code) from None  # type: ignore[attr-defined]


def _print_any_name() -> None:
    """Let standard output take file names that are no text, as bytes, and characters that a terminal lacks, escaped."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        text = codecs.lookup(stream.encoding).name.startswith("utf")
        stream.reconfigure(errors="surrogateescape" if text else "backslashreplace")
