"""Files at the other end of a line: `s3://`, `gs://`, `https://` and whatever else fsspec knows, with copies kept here.

What is fetched is kept in the user's cache, whole or not at all, up to `STRIATE_CACHE_GB` (20) gigabytes; what was not used
for longest goes first. A lag, a throttled request or half an answer is tried again. No message quotes an address's query or
what a library says of credentials.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from striate.errors import DataError, UsageError
from striate.paths import user_cache
from striate.volumes.shards import braces
from striate.writing import writing

TRIES = 4
WAIT = 0.5  # seconds before the second try, doubled for each further one
PIECE = 8 * 2**20  # bytes that are fetched at a time
GIGABYTES = 20.0
_ADDRESS = re.compile(r"[a-z][a-z0-9+.\-]+://")
_SECRET = re.compile(r"(?i)sig|token|secret|key|password|credential|expires")
PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp", "abfs": "adlfs",
    "az": "adlfs", "hf": "huggingface_hub", "ssh": "paramiko", "sftp": "paramiko",
}  # fmt: skip
HOW = {
    "s3": "run aws configure, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket set "
    "STRIATE_ANONYMOUS=1",
    "gs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS; for a public bucket set "
    "STRIATE_ANONYMOUS=1",
}  # fmt: skip
_DENIED = (
    "credential",
    "forbidden",
    "accessdenied",
    "permission",
    "unauthorized",
    "invalidaccesskey",
    "signature",
)

T = TypeVar("T")
_info: dict[str, dict[str, Any]] = {}  # what a listing said of each address


def is_address(text: str) -> bool:
    """Whether a text is an address of a remote file or folder."""
    return _ADDRESS.match(text) is not None


def shown(address: str) -> str:
    """An address as it may be shown: without a name, a password or a query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def refuse_secrets(address: str) -> None:
    """Raise UsageError for an address that holds credentials: it would be written into runs."""
    parts = urlsplit(address)
    if ("@" in parts.netloc and parts.password is not None) or _SECRET.search(parts.query):
        raise UsageError(
            f"{shown(address)} was given with credentials in it, and addresses are written into runs; give them in the "
            "environment or in the configuration of the service"
        )


@cache
def _system(scheme: str) -> Any:
    fsspec: Any = importlib.import_module("fsspec")
    anonymous = os.environ.get("STRIATE_ANONYMOUS") == "1"
    options = (
        {"anon": True}
        if anonymous and scheme.startswith("s3")
        else {"token": "anon"}
        if anonymous and scheme in ("gs", "gcs")
        else {}
    )
    package = PACKAGES.get(scheme)
    try:
        return fsspec.filesystem(scheme, **options)
    except ImportError:
        which = (
            f"pip install {package}"
            if package
            else "pip install the package that brings it to fsspec"
        )
        raise UsageError(
            f"{scheme}:// needs a package that is not installed; run {which}"
        ) from None
    except ValueError:
        raise UsageError(
            f"there is no file system {scheme}://; s3://, gs:// and https:// are read, and what fsspec knows besides"
        ) from None


def _of(address: str) -> Any:
    return _system(address.partition("://")[0])


def tried(address: str, what: Callable[[], T]) -> T:
    """What a call gives, tried again where the line fails. Raises DataError without quoting what a library says."""
    kind = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(WAIT * 2 ** (attempt - 1))
        try:
            return what()
        except FileNotFoundError:
            raise DataError(f"{shown(address)} is not there; look at the address") from None
        except (DataError, UsageError):
            raise
        except ImportError:
            scheme = address.partition("://")[0]
            raise UsageError(
                f"{scheme}:// needs a package that is not installed; run pip install {PACKAGES.get(scheme, scheme)}"
            ) from None
        except Exception as error:  # each library has kinds of its own
            kind = type(error).__name__
            words = f"{kind} {error}".casefold().replace(" ", "")
            if isinstance(error, PermissionError) or any(word in words for word in _DENIED):
                scheme = address.partition("://")[0]
                how = HOW.get(
                    scheme.removesuffix("a"),
                    "set the credentials of the service in the environment",
                )
                raise DataError(
                    f"{shown(address)} may not be read: credentials are missing or have no right to it; {how}"
                ) from None
    raise DataError(
        f"{shown(address)} could not be read in {TRIES} tries ({kind}); look at the connection and try again"
    ) from None


def listed(pattern: str, ending: str) -> list[str]:
    """The addresses that a pattern names, in order: braces, globs, or a folder, of which files with `ending` are meant."""
    refuse_secrets(pattern)
    found: dict[str, None] = {}
    for one in braces(pattern):
        system = _of(one)

        def look(one: str = one, system: Any = system) -> dict[str, Any]:
            if any(c in one for c in "*?["):
                return dict(system.glob(one, detail=True))
            if PurePosixPath(one).suffix and not one.endswith("/"):
                return {one: system.info(one)}
            return dict(system.find(one, detail=True))

        known = tried(one, look)
        scheme = one.partition("://")[0]
        for path in sorted(known):
            if known[path].get("type") == "directory" or not path.endswith(ending):
                continue
            address = (
                path
                if is_address(path)
                else f"{scheme}://{path.lstrip('/') if scheme != 'file' else path}"
            )
            _info[address] = known[path]
            found[address] = None
    if not found:
        raise DataError(
            f"there is no file{f' {ending}' if ending else ''} at {shown(pattern)}; look at the address"
        )
    return list(found)


def base_of(addresses: Sequence[str]) -> str:
    """The folder, with its last slash, in which all of some addresses lie."""
    if len(addresses) == 1:
        return addresses[0].rpartition("/")[0] + "/"
    first, last = min(addresses), max(addresses)
    same = next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), 0
    )
    return first[:same].rpartition("/")[0] + "/"


def _known(address: str) -> dict[str, Any]:
    if address not in _info:
        _info[address] = tried(address, lambda: dict(_of(address).info(address)))
    return _info[address]


def size(address: str) -> int:
    """The bytes of a file, local or not; 0 where that is not said."""
    if not is_address(address):
        return os.stat(address).st_size
    return int(_known(address).get("size") or 0)


def stamp(address: str) -> list[int]:
    """What changes when a file does: device, inode, size and two times; of a remote one what its listing says of it."""
    if not is_address(address):
        state = os.stat(address)
        return [state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    known = _known(address)
    names = ("ETag", "etag", "LastModified", "mtime", "created", "md5Hash", "last_modified")
    said = repr([str(known.get(name)) for name in names])
    mark = int(hashlib.sha256(f"{address} {said}".encode()).hexdigest()[:12], 16)
    return [0, mark, size(address), 0, mark]


def most_bytes() -> int:
    """What may be kept of what is fetched."""
    try:
        return int(float(os.environ.get("STRIATE_CACHE_GB", GIGABYTES)) * 1e9)
    except ValueError:
        raise UsageError(
            f"STRIATE_CACHE_GB is {os.environ['STRIATE_CACHE_GB']!r}; give a number of gigabytes"
        ) from None


def local(address: str) -> str:
    """The file of an address on this disk, fetched if it is not there."""
    if not is_address(address):
        return address
    name = hashlib.sha256(repr([address, stamp(address)]).encode()).hexdigest()[:32]
    place = _home() / f"{name}{PurePosixPath(address).suffix}"
    if place.is_file():
        os.utime(place)
        return str(place)
    _make_room(size(address))
    tried(address, lambda: _fetch(address, place))
    return str(place)


def _fetch(address: str, place: Path) -> None:
    expected = size(address)
    with _of(address).open(address, "rb") as source, writing(place, durable=False) as into:
        count = 0
        while piece := source.read(PIECE):
            into.write(piece)
            count += len(piece)
        if expected and count != expected:
            raise OSError(f"{count} of {expected} bytes came")


def opened(address: str) -> BinaryIO:
    """A file to read from any place: a local one, or a remote one, of which only what is asked for is fetched."""
    if is_address(address) and size(address) > most_bytes() / 10:
        return tried(address, lambda: _of(address).open(address, "rb", cache_type="readahead"))  # type: ignore[no-any-return]
    return open(local(address), "rb")


def beside(shard: str, name: str) -> bytes | None:
    """The bytes of a file of that name in the folder of a shard, local or not; None where there is none."""
    if not is_address(shard):
        path = Path(shard).parent / name
        return path.read_bytes() if path.is_file() else None
    address, system = f"{shard.rpartition('/')[0]}/{name}", _of(shard)
    return tried(
        address, lambda: bytes(system.cat_file(address)) if system.exists(address) else None
    )


def part(address: str, offset: int, count: int) -> bytes:
    """`count` bytes of an address from `offset`, without a copy on the disk."""

    def read() -> bytes:
        data = bytes(_of(address).cat_file(address, start=offset, end=offset + count))
        if len(data) != count:
            raise OSError(f"{len(data)} of {count} bytes came")
        return data

    return tried(address, read)


def _make_room(count: int) -> None:
    """Delete what was not used for longest until `count` bytes find room."""
    limit = most_bytes()
    with contextlib.suppress(OSError):
        files = sorted(
            (p for p in _home().iterdir() if p.is_file()), key=lambda p: p.stat().st_mtime
        )
        held = sum(p.stat().st_size for p in files)
        for path in files:
            if held + count <= limit:
                break
            held -= path.stat().st_size
            path.unlink(missing_ok=True)


def _home() -> Path:
    given = os.environ.get("STRIATE_FETCHED")
    place = Path(given) if given else user_cache("fetched")
    if place is None:
        place = Path(tempfile.mkdtemp(prefix="striate-fetched-"))
        os.environ["STRIATE_FETCHED"] = str(place)
        atexit.register(_remove, place, os.getpid())
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def _remove(place: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(place, ignore_errors=True)
