"""A manifest as a source: splits whose paths are mapped, so that ten million images take the memory of their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from striate.data.arrangement import FREE, to_draw
from striate.data.folder import shows_photographs
from striate.data.manifest import Manifest, open_manifest
from striate.data.source import SPLITS, Damage, Duplicate, FileSplit, Source
from striate.data.splitting import LEFT_OUT, TEST, TRAIN, VAL, parts_of, uniform
from striate.errors import DataError

BLOCK = 262_144  # rows that are hashed together


class Keys(Sequence[str]):
    """Paths of a manifest's rows, read when they are asked for. rows: (n,) their numbers."""

    def __init__(self, path: Path, rows: np.ndarray, chunks: Sequence[Any] | None = None) -> None:
        self.path, self.rows = path, rows
        self.chunks = open_manifest(path).table.column("path").chunks if chunks is None else chunks
        self.size = len(self.chunks[0])

    def __reduce__(self) -> Any:  # a process that is started maps the file itself
        return Keys, (self.path, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return tuple(self[i] for i in range(*at.indices(len(self))))
        chunk, place = divmod(int(self.rows[at]), self.size)
        return self.chunks[chunk][place].as_py()

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def take(self, at: np.ndarray) -> Keys:
        """The keys at some places."""
        return Keys(self.path, self.rows[at], self.chunks)


@dataclass(frozen=True, eq=False)
class ManifestSplit(FileSplit):
    """A split of a manifest's rows under `root`. Columns that are the same in all rows take no memory."""

    def take(self, indices: Sequence[int] | np.ndarray) -> ManifestSplit:
        """See ImageSet."""
        at = np.asarray(indices, dtype=np.int64).reshape(-1)
        parts: dict[str, Any] = {name: _at(getattr(self, name), at) for name in self.ROWS}
        for name in ("stated", "missing"):
            known = getattr(self, name)
            parts[name] = None if known is None else _at(known, at)
        assert isinstance(self.keys, Keys)
        return replace(self, keys=self.keys.take(at), **parts)  # type: ignore[arg-type]


def _at(column: np.ndarray, at: np.ndarray) -> np.ndarray:
    if len(column) and column.strides[0] == 0:
        return np.broadcast_to(column[0], (len(at), *column.shape[1:]))
    return column[at]


def _one(column: np.ndarray) -> np.ndarray:
    """A column, without memory where all of its values are the same."""
    if len(column) and (column == column[0]).all():
        return np.broadcast_to(column[0].copy(), column.shape)
    return column


def source_of_manifest(
    path: Path, *, seed: int = 0, val: float | None = None, test: float | None = None
) -> Source:
    """Open a manifest: the same splits, classes and fingerprint as the folder that it was made of. No image is read."""
    known = open_manifest(path)
    n = len(known)
    codes, words = known.codes("label")
    classes = tuple(known.facts["classes"])
    if len(classes) < 2:
        raise DataError(f"{path} holds one class, {classes[0]!r}; at least two are needed")
    labels = np.array([classes.index(word) for word in words], dtype=np.int32)[codes]
    del codes
    codes, words = known.codes("split")
    names = {"": FREE, **{name: i for i, name in enumerate(SPLITS)}}
    given = np.array([names[word] for word in words], dtype=np.int8)[codes]
    del codes
    part, before, shares = _parts(known, labels, given, seed, val, test)
    words_of = known.codes("format")
    columns = {
        "labels": labels,
        "channels": _one(known.numbers("channels")),
        "low": _one(known.numbers("low")),
        "high": _one(known.numbers("high")),
        "deep": _one(known.numbers("deep")),
        "stated": _one(known.numbers("stated")),
        "missing": _one(known.numbers("missing")),
        "sizes": _one(np.stack([known.numbers("height"), known.numbers("width")], axis=1)),
        "formats": _one(np.array(words_of[1], dtype="<U5")[_one(words_of[0])]),
    }
    chunks = known.table.column("path").chunks
    splits = []
    for code in (TRAIN, VAL, TEST):
        at = np.flatnonzero(part == code)
        own: dict[str, Any] = {name: _at(column, at) for name, column in columns.items()}
        own["labels"] = own["labels"].astype(np.int64)
        splits.append(ManifestSplit(keys=Keys(path, at, chunks), root=known.root, **own))  # type: ignore[arg-type]
    every = Keys(path, np.arange(n), chunks)
    drawn = [
        f"{share:.0%} of the training images are set aside for {name}; none were given"
        for name, share in zip(("validation", "test"), shares, strict=True)
        if share > 0 and (given != FREE).any()
    ]
    return Source(
        name=path.stem,
        classes=classes,
        where=str(path),
        fingerprint=fingerprint(known, labels, part, classes),
        damaged=tuple(Damage(path=p, reason=reason) for p, reason in known.facts["damaged"]),
        duplicates=tuple(
            Duplicate(
                keys=tuple(every[i] for i in group),
                classes=tuple(classes[labels[i]] for i in group),
                splits=tuple([*SPLITS, "left out"][before[i]] for i in group),
                dropped=tuple(every[i] for i in group if part[i] == LEFT_OUT),
            )
            for group in known.facts["copies"]
        ),
        outside=tuple(known.facts["outside"]),
        empty=tuple(known.facts["empty"]),
        several_pages=tuple(every[int(i)] for i in np.flatnonzero(known.numbers("several_pages"))),
        blank=tuple(every[int(i)] for i in np.flatnonzero(known.numbers("blank"))),
        notes=(*known.facts["notes"], *drawn),
        photographs=shows_photographs(splits[TRAIN]),
        train=splits[TRAIN],
        val=splits[VAL],
        test=splits[TEST],
    )


def _parts(
    known: Manifest, labels: np.ndarray, given: np.ndarray, seed: int, val: float | None, test: float | None
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:  # fmt: skip
    """(N,) int8 the split of each row, the same before copies were left out, and the shares drawn; as `arrange` does."""
    groups = [np.array(group) for group in known.facts["copies"]]
    part, pool, shares = to_draw(given, groups, val, test)
    dropped = part == LEFT_OUT
    place = known.numbers("place") if seed == known.facts["seed"] else _places(known, seed)
    mixed = np.zeros(len(part), dtype=bool)
    inside = np.zeros(len(part), dtype=bool)
    inside[pool] = True
    for group in groups:
        group = group[inside[group]]
        mixed[group] = len(set(labels[group].tolist())) > 1
    part[pool] = parts_of(place[pool], labels[pool], mixed[pool], val=shares[0], test=shares[1])
    before = np.where(dropped, np.where(given == FREE, TRAIN, given), part)
    return part, before, shares


def _places(known: Manifest, seed: int) -> np.ndarray:
    pieces = (known.digests(i, BLOCK) for i in range(0, len(known), BLOCK))
    return np.concatenate([uniform((row.tobytes() for row in piece), seed) for piece in pieces])


def fingerprint(
    known: Manifest, labels: np.ndarray, part: np.ndarray, classes: Sequence[str]
) -> str:
    """As `arrange` makes it: SHA-256 over the sorted lines of digest, split and class; in blocks of rows by digest."""
    ends = [
        [b" %d %s\n" % (where, name.encode("utf-8", "surrogateescape")) for name in classes]
        for where in range(3)
    ]
    order, state = known.numbers("order"), hashlib.sha256()
    digests = np.concatenate([known.digests(i, BLOCK) for i in range(0, len(known), BLOCK)])
    first = 0
    while first < len(order):
        end = min(first + BLOCK, len(order))
        while end < len(order) and (digests[order[end]] == digests[order[end - 1]]).all():
            end += 1  # equal digests are sorted together
        rows = order[first:end]
        rows = rows[part[rows] != LEFT_OUT]
        text = digests[rows].tobytes().hex().encode()
        lines = [
            text[32 * i : 32 * i + 32] + ends[where][label]
            for i, (where, label) in enumerate(
                zip(part[rows].tolist(), labels[rows].tolist(), strict=True)
            )
        ]
        state.update(b"".join(sorted(lines)))
        first = end
    return state.hexdigest()
