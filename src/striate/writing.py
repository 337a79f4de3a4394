"""Writing: a file appears whole under its name or not at all, whatever ends the process or fills the disk.

Everything that Striate writes goes through here (a test holds it). The bytes go into a file of another name beside the
target, `.striate-*.part`, which takes the target's name in one step. A killed process leaves at most that file behind; the
next one that writes into the folder deletes it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from striate.errors import WriteError

try:
    import fcntl
except ImportError:  # Windows: nothing there locks, so leftovers are told by their age
    fcntl = None  # type: ignore[assignment]

BEGIN, END = (
    ".striate-",
    ".part",
)  # fixed, short: the target's name may be as long as a file system allows
OLD = 24 * 3600  # seconds after which a leftover is one even where nothing can be locked

ROOM = "make room there or choose another place"
RIGHTS = "choose a place that you may write to"
REMEDIES = {
    errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EFBIG: ROOM, errno.EACCES: RIGHTS, errno.EPERM: RIGHTS,
    errno.EROFS: RIGHTS, errno.ENAMETOOLONG: "give it a shorter name",
}  # fmt: skip

_swept: set[str] = set()  # folders whose leftovers this process has looked for


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the file `path` by `data` in one step: a crash or a full disk leaves the old file as it was.

    The folder is made. durable: also after a power cut, which takes a moment. Raises WriteError.
    """
    with writing(path, durable=durable) as file:
        file.write(data)


@contextmanager
def writing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write, open for the duration of a `with`, that replaces `path` at its end; after an error it is gone.

    A link is followed; what is no file, such as /dev/stdout, is written as it stands. Raises WriteError where the folder,
    the file or the disk refuses.
    """
    path = Path(path)
    try:
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        known = _status(target)
        if known is not None and not stat.S_ISREG(known.st_mode):
            with _special(target, known) as file:
                yield file
            return
        if known is not None and not os.access(target, os.W_OK):
            raise PermissionError(13, "Permission denied")
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        with _beside(target) as (file, part):
            yield file
            file.flush()
            if known is not None:
                with contextlib.suppress(OSError):
                    os.chmod(part, stat.S_IMODE(known.st_mode))
            if durable:
                os.fsync(file.fileno())
            os.replace(part, target)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def writing_folder(place: Path) -> Iterator[Path]:
    """A new folder to fill, for the duration of a `with`, that takes the name `place` at its end; after an error it is gone.

    Where `place` is, it must be an empty folder. Raises WriteError where the file system refuses.
    """
    place = Path(os.path.realpath(place)) if place.is_symlink() else Path(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        sweep(place.parent)
        with _folder_beside(place) as part:
            try:
                yield part
            except WriteError as error:  # of a file in it, whose folder's name nobody knows
                if error.errno is None or part.name not in error.sentence:
                    raise
                raise OSError(error.errno, os.strerror(error.errno)) from error
            if place.is_dir():
                place.rmdir()
            os.rename(part, place)
    except OSError as error:
        raise cannot_write(place, error) from error


@contextmanager
def _folder_beside(place: Path) -> Iterator[Path]:
    """A new folder of a name that nobody else has, locked, beside the place; deleted unless it was renamed."""
    while True:
        part = _part_beside(place)
        part.mkdir()
        if fcntl is None:
            handle = -1
            break
        try:
            handle = os.open(part, os.O_RDONLY)
        except FileNotFoundError:  # taken for a leftover before it was locked
            continue
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if part.is_dir():
            break
        os.close(handle)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if handle >= 0:
            os.close(handle)


def _part_beside(target: Path) -> Path:
    return target.parent / f"{BEGIN}{os.getpid()}-{secrets.token_hex(6)}{END}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make `folder`, and wait until no other process is within such a block of it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def held(target: Path) -> Iterator[None]:
    """Keep other processes from the output `target`, which is written over time, for the duration of a `with`.

    Its folder must be there. Raises WriteError where another process holds it, or the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    target = Path(os.path.realpath(target))
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]
    lock = target.parent / f"{BEGIN}{name}{END}"  # a leftover like others, once nobody holds it
    try:
        handle = _locked_file(lock)
    except BlockingIOError:
        raise WriteError(
            f"{target} is being written by another process; wait for its end, or give another name"
        ) from None
    except OSError as error:
        raise cannot_write(target, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        os.close(handle)


def _locked_file(lock: Path) -> int:
    """The handle of a lock file, made and locked. Raises BlockingIOError where somebody has it."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:  # a file system without locks
            return handle
        if os.fstat(handle).st_nlink:  # not deleted by its last holder between the two calls
            return handle
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> WriteError:
    """The error for a file that the system refuses, in one sentence."""
    remedy = REMEDIES.get(error.errno or 0, "choose another place")
    return WriteError(
        f"cannot write {path}: {error.strerror or error}; {remedy} (what was there before is as it was)", error.errno
    )  # fmt: skip


def sweep(folder: Path, *, again: bool = False) -> None:
    """Delete what a killed process left unfinished in `folder`, once a process; files that are being written stay.

    again: also where this process has looked before.
    """
    name = os.path.abspath(folder)
    if name in _swept and not again:
        return
    _swept.add(name)
    with contextlib.suppress(OSError), os.scandir(name) as entries:
        for entry in entries:
            if entry.name.startswith(BEGIN) and entry.name.endswith(END):
                with contextlib.suppress(OSError):
                    _remove_left(entry)


def _remove_left(entry: os.DirEntry[str]) -> None:
    """Delete one leftover, a file or a folder, unless the process that makes it still holds its lock."""
    folder = entry.is_dir(follow_symlinks=False)
    remove = shutil.rmtree if folder else os.unlink
    if fcntl is None:
        import time

        if time.time() - entry.stat().st_mtime > OLD:
            remove(entry.path)
        return
    kind = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR
    handle = os.open(entry.path, kind | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(entry.path)
    finally:
        os.close(handle)


@contextmanager
def _beside(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file of a name that nobody else has, locked, in the target's folder; deleted unless it was renamed."""
    while True:
        part = _part_beside(target)
        handle = os.open(
            part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
        )
        if fcntl is None:
            break
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # not taken for a leftover before it was locked
            break
        os.close(handle)
    try:
        with open(handle, "w+b") as file:
            yield file, part
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)


@contextmanager
def _special(target: Path, known: os.stat_result) -> Iterator[BinaryIO]:
    """A device or a pipe, written as it stands. Raises IsADirectoryError, and OSError for a pipe that nobody reads."""
    if stat.S_ISDIR(known.st_mode):
        raise IsADirectoryError(21, "it is a folder")
    handle = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(handle, True)
    with open(handle, "wb") as file:
        yield file


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
