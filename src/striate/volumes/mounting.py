"""Mounting: from what a person writes (`wds:photos-{000..015}.tar`, `parquet:FILE`, `hf:NAME`, `s3://BUCKET`) to a volume.

The index of a volume is made once and kept in the user's cache; where its shards changed it is made again.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from striate.errors import StriateError, UsageError
from striate.files import VOLUMES
from striate.paths import user_cache
from striate.volumes import columnar, hub, remote, webdataset
from striate.volumes.index import Index
from striate.volumes.layout import Sample, lay_out, split_in
from striate.volumes.shards import braces, files_of
from striate.volumes.volume import IndexedVolume
from striate.writing import write_atomically, writing_folder

FORMAT = 1
KEPT = 64  # volumes whose index is kept, those used last
PLACE = (
    "STRIATE_VOLUMES"  # where indexes lie where there is no cache, for processes that are started
)
KINDS = ("wds:", "hf:", "parquet:")

Progress = Callable[[int, int], None]


def silent(done: int, of: int) -> None:
    """Show no progress."""


def name_of(data: str) -> str:
    """What a volume is called after: the name of its file or folder, without braces and endings."""
    last = data.partition("?")[0].rstrip("/").rpartition("/")[2].rpartition(":")[2]
    name = re.sub(r"\{[^{}]*\}|[*?\[\]]", "", last)
    return re.sub(r"(\.tar|\.parquet|\.arrow)$", "", name).strip("-_. ") or "volume"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a specification names. kind: "tar", "rows" or "files". shards: files or addresses; splits: of each, if known."""

    kind: str
    shards: tuple[str, ...]
    splits: tuple[str | None, ...] = ()
    chosen: Mapping[str, str]


def is_volume(data: Any) -> bool:
    """Whether data are a volume: by a scheme, or a Parquet file."""
    text = os.fspath(data) if isinstance(data, str | os.PathLike) else ""
    if not isinstance(text, str):
        return False
    return text.startswith(KINDS) or remote.is_address(text) or str(Path(text)) in VOLUMES or (
        text.lower().endswith(".parquet") and os.path.isfile(os.path.expanduser(text))
    )  # fmt: skip


def mount(data: str | os.PathLike[str], progress: Progress = silent) -> Path:
    """The path of a volume, below which its files lie. Raises UsageError or DataError with one sentence."""
    spec = os.fspath(data)
    if str(Path(spec)) in VOLUMES and not spec.startswith(KINDS) and "://" not in spec:
        return Path(spec)
    if not spec.startswith(KINDS) and not remote.is_address(spec):
        spec = f"parquet:{spec}"
    root = str(Path(spec.partition("?")[0] if spec.startswith("parquet:") else spec))
    named = spec.startswith("hf:") and not os.path.isdir(os.path.expanduser(spec[len("hf:") :]))
    remembered = named or "://" in spec  # what is asked of others is asked once
    plan = _planned_once(spec) if remembered else planned(spec)
    stamps = [remote.stamp(shard) for shard in plan.shards]
    made = [FORMAT, _code(), spec, plan.kind, plan.shards, plan.splits, dict(plan.chosen), stamps]
    name = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:32]
    place = _home() / name
    if not _usable(place):
        _index(place, plan, made, progress)
    write_atomically(
        _home() / f"{_key(root)}.json", json.dumps({"at": name}).encode(), durable=False
    )
    VOLUMES[root] = _opened(root, place)
    _forget()
    return Path(root)


def mounted_again(path: str) -> str | None:
    """The volume in which a path lies, where another process has mounted it; mounts it here too."""
    for above in (Path(path), *Path(path).parents):
        pointer = _home(make=False) / f"{_key(str(above))}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, StriateError):
            VOLUMES[str(above)] = _opened(
                str(above), _home() / json.loads(pointer.read_bytes())["at"]
            )
            return str(above)
    return None


@cache
def _planned_once(spec: str) -> Plan:
    return planned(spec)


def planned(spec: str) -> Plan:
    """What a specification names."""
    chosen: dict[str, str] = {}
    if spec.startswith("wds:"):
        pattern = spec[len("wds:") :]
        shards = (
            remote.listed(pattern, ".tar")
            if remote.is_address(pattern)
            else files_of(pattern, ".tar", "archive")
        )
        return Plan(kind="tar", shards=tuple(shards), chosen=chosen)
    if spec.startswith(("parquet:", "hf:")):
        kind, _, rest = spec.partition(":")
        rest, _, query = rest.partition("?")
        chosen = dict(parse_qsl(query))
        unknown = sorted(set(chosen) - {"image", "label", "mask", "split"})
        if unknown:
            raise UsageError(
                f"{spec}: {unknown[0]}= names no role of a column; there are image=, label=, mask= and split="
            )
        if kind == "hf":
            pairs: hub.Shards = hub.shards_of(rest)
        elif remote.is_address(rest):
            pairs = [(shard, split_in(shard)) for shard in remote.listed(rest, ".parquet")]
        else:
            pairs = [(shard, split_in(shard)) for shard in files_of(rest, ".parquet", "table")]
        return Plan(
            kind="rows",
            shards=tuple(s for s, _ in pairs),
            splits=tuple(p for _, p in pairs),
            chosen=chosen,
        )
    endings = {Path(one).suffix for one in braces(spec)}
    if endings == {".tar"}:
        return planned(f"wds:{spec}")
    if endings == {".parquet"}:
        return planned(f"parquet:{spec}")
    return Plan(kind="files", shards=tuple(remote.listed(spec, "")), chosen=chosen)


def _index(place: Path, plan: Plan, made: Any, progress: Progress) -> None:
    """Make the index of a volume."""
    columns: list[str] = []
    samples: list[Sample] | None = None
    if plan.kind == "tar":
        samples = webdataset.samples_of(plan.shards, remote.opened, remote.beside, progress)
    elif plan.kind == "rows":
        samples, columns = columnar.samples_of(
            plan.shards, plan.splits, remote.local, plan.chosen, progress
        )
    if samples is None:
        base = remote.base_of(plan.shards)
        rows = [
            (shard[len(base) :], i, 0, remote.size(shard), 0) for i, shard in enumerate(plan.shards)
        ]
        texts: dict[str, bytes] = {}
    else:
        rows, texts = lay_out(samples)
    shards = [*plan.shards, *(str(place / "texts" / str(i)) for i in range(len(texts)))]
    rows += [
        (name, len(plan.shards) + i, 0, len(text), -1)
        for i, (name, text) in enumerate(texts.items())
    ]
    try:
        with writing_folder(place) as folder:
            Index.of(rows, shards).write(folder)
            for i, content in enumerate(texts.values()):
                write_atomically(folder / "texts" / str(i), content, durable=False)
            document = {"made": made, "shards": shards, "columns": columns}
            write_atomically(folder / "volume.json", json.dumps(document).encode(), durable=False)
    except StriateError:
        if not _usable(place):  # another process was faster
            raise


def _usable(place: Path) -> bool:
    try:
        document = json.loads((place / "volume.json").read_bytes())
        os.utime(place / "volume.json")
        Index.read(place, document["shards"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _opened(root: str, place: Path) -> IndexedVolume:
    document = json.loads((place / "volume.json").read_bytes())
    index = Index.read(place, document["shards"])
    reader = (
        columnar.RowReader(index.shards, remote.local, document["columns"])
        if document["columns"]
        else None
    )
    stamps = document["made"][-1]
    far = [
        s[2]
        for shard, s in zip(document["made"][4], stamps, strict=True)
        if remote.is_address(shard)
    ]
    part = remote.part if sum(far) > remote.most_bytes() else None
    return IndexedVolume(root, index, local=remote.local, reader=reader, stamps=stamps, part=part)


def _code() -> list[Any]:
    """What an index depends on beside the shards: this code."""
    return [
        [p.name, os.stat(p).st_size, os.stat(p).st_mtime_ns]
        for p in sorted(Path(__file__).parent.glob("*.py"))
    ]


def _key(root: str) -> str:
    return hashlib.sha256(f"{os.getcwd()}\0{root}".encode("utf-8", "surrogateescape")).hexdigest()[
        :32
    ]


def _home(*, make: bool = True) -> Path:
    given = os.environ.get(PLACE)
    cache = Path(given) if given else user_cache("volumes")
    if cache is None:
        if not make:
            return Path(os.devnull)
        cache = Path(tempfile.mkdtemp(prefix="striate-volumes-"))
        os.environ[PLACE] = str(cache)
        atexit.register(_remove, cache, os.getpid())
    return cache


def _remove(place: Path, process: int) -> None:
    if os.getpid() == process:  # not a process that was forked from this one
        shutil.rmtree(place, ignore_errors=True)


def _forget() -> None:
    """Delete the indexes that were not used for longest."""
    with contextlib.suppress(OSError):
        places = [p for p in _home().iterdir() if (p / "volume.json").is_file()]
        places.sort(key=lambda p: (p / "volume.json").stat().st_mtime, reverse=True)
        for place in places[KEPT:]:
            shutil.rmtree(place, ignore_errors=True)
