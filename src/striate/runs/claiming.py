"""Claiming: a training takes its folder for itself, at its beginning and for as long as it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from striate.errors import RunError

try:
    import fcntl
except ImportError:  # Windows: two trainings of one folder are told apart only when it is made
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # in a run's folder while it is trained


class Claim:
    """A folder that one training holds; the system lets go of it when the process ends, however it does.

    made: the folders above it that were made for it, the nearest first.
    """

    def __init__(self, path: Path, handle: int, made: tuple[Path, ...] = ()) -> None:
        self.path, self.handle, self.made = path, handle, made

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for the duration of a `with`; the lock file is gone afterwards."""
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (self.path / LOCK).unlink()
            os.close(self.handle)


def claim_new(wanted: Path, *, numbered: bool) -> Claim:
    """Make and claim `wanted`, or the first of `wanted-2`, `wanted-3`, ... that is free or empty.

    numbered: begin with `wanted-1` instead of `wanted`. Of two that ask at one moment each gets a folder of its own.
    Raises RunError when it cannot be made.
    """
    number = 1 if numbered else 0
    made = tuple(p for p in wanted.parents if not p.exists())
    while True:
        path = wanted.with_name(f"{wanted.name}-{number}") if number else wanted
        try:
            if not path.is_dir() or _is_free(path):
                path.mkdir(parents=True, exist_ok=True)
                handle = _lock(path)
                if handle is not None and _is_free(path):
                    return Claim(path, handle, made)
                if handle is not None:
                    os.close(handle)
        except FileExistsError:  # a file of that name
            pass
        except OSError as error:
            raise RunError(
                f"cannot make the folder {path}: {error.strerror}; choose another with --out"
            ) from error
        number += 1 if number else 2


def claim_again(path: Path) -> Claim:
    """Claim the folder of a run that was stopped. Raises RunError while another process trains it."""
    try:
        handle = _lock(path)
    except OSError as error:
        raise RunError(
            f"cannot write into {path}: {error.strerror}; choose a run in a folder that you may write to"
        ) from error
    if handle is None:
        raise RunError(
            f"{path} is being trained by another process; wait for its end, or train into another folder with --out"
        )
    return Claim(path, handle)


def _is_free(path: Path) -> bool:
    """Whether a folder holds nothing but, at most, a lock."""
    return all(name == LOCK for name in os.listdir(path))


def _lock(path: Path) -> int | None:
    """The handle of the folder's lock, locked; None where another process has it."""
    while True:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is None:
            return handle
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:  # a file system without locks
            return handle
        with contextlib.suppress(FileNotFoundError):
            # Whoever had it before may have deleted the file between the two calls.
            if os.stat(path / LOCK).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)
