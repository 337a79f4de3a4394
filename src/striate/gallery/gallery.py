"""Gallery: a folder of enrolled images, `gallery.json` and parts with their vectors, opened to be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.naming import in_order
from striate.data.pool import ordered
from striate.errors import GalleryError, UsageError
from striate.files import leads_out
from striate.gallery.document import FILE, read_document
from striate.gallery.part import Part
from striate.tasks.embedding import Embedder
from striate.wording import listed

RETRIES = 5  # of opening a gallery that another process is changing
ALIKE = 0.99  # similarity of the embeddings of one pattern, by equal networks on different machines and precisions


class Gallery:
    """Enrolled images, by what a network gives of each. Nothing that it holds is run; see `Gallery.open`.

    path: its folder. document: of `gallery.json`. parts: mapped files, in the order of enrolment. A row is an image's
    number, counted through the parts.
    """

    def __init__(self, path: Path, document: Mapping[str, Any], parts: tuple[Part, ...]) -> None:
        self.path, self.document, self.parts = path, document, parts

    @classmethod
    def open(cls, path: Path, *, check: bool = True) -> Gallery:
        """Open a gallery. check: compare every part with its digest, which reads it once.

        Raises UsageError where there is no gallery, GalleryError that names what in it is missing or was altered.
        """
        for again in range(RETRIES):
            try:
                document = read_document(path)
            except FileNotFoundError:
                raise UsageError(_no_gallery(path)) from None
            try:
                return cls(path, document, open_parts(path, document, check=check))
            except FileNotFoundError as error:  # another process may have put others in their place
                if again + 1 == RETRIES:
                    raise GalleryError(
                        f"{error.filename} is missing, and {path / FILE} names it; restore it, or enrol again into another "
                        "folder"
                    ) from None
        raise AssertionError("the last attempt returns or raises")

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __repr__(self) -> str:
        return f"Gallery({str(self.path)!r}, {len(self):,} images of {len(self.names):,} names)"

    @property
    def size(self) -> int:
        """d, the numbers of one vector."""
        return int(self.document["network"]["size"])

    @property
    def threshold(self) -> Mapping[str, Any]:
        """How it was chosen from which on two images are taken for one: see `striate.gallery.choosing`."""
        return self.document["threshold"]  # type: ignore[no-any-return]

    @property
    def faces(self) -> bool:
        """Whether what is enrolled are faces, aligned by five points each or cut out by a detector."""
        return bool(self.document["faces"])

    @property
    def detector(self) -> Mapping[str, Any] | None:
        """What the faces were cut out by; None where they were aligned by points, or are none."""
        return self.document.get("detector")

    @property
    def holds(self) -> str:
        """See `kind_of`."""
        return kind_of(self.faces, self.detector)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The enrolled names, each once, in natural order."""
        return in_order(name for part in self.parts for name in part.names)

    @cached_property
    def starts(self) -> list[int]:
        """The first row of each part, and the number of rows."""
        found = [0]
        for part in self.parts:
            found.append(found[-1] + len(part))
        return found

    @cached_property
    def name_numbers(self) -> np.ndarray:
        """(N,) int32, each row's number among `names`."""
        place = {name: i for i, name in enumerate(self.names)}
        found = [np.array([place[n] for n in part.names], np.int32)[part.name] for part in self.parts]  # fmt: skip
        return np.concatenate(found) if found else np.empty(0, np.int32)

    def name_of(self, row: int) -> str:
        """The name of a row."""
        part, at = self.place(row)
        return part.names[int(part.name[at])]

    def path_of(self, row: int) -> str:
        """Where the image of a row was enrolled from."""
        part, at = self.place(row)
        return part.path_of(at)

    def groups_of(self, rows: np.ndarray) -> list[str]:
        """The group of each of some rows (m,); empty where it has none."""
        places = [self.place(int(row)) for row in rows]
        return [part.groups[int(part.group[at])] for part, at in places]

    def place(self, row: int) -> tuple[Part, int]:
        """The part of a row, and its number there."""
        at = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[at], row - self.starts[at]

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """(m, d) float32, of some rows (m,)."""
        found = np.empty((len(rows), self.size), np.float32)
        for i, row in enumerate(rows):
            part, at = self.place(int(row))
            found[i] = part.vectors[at]
        return found

    @cached_property
    def _heads(self) -> tuple[np.ndarray, np.ndarray]:
        """The first half of each content's digest as a number, in order, and the rows in that order: (N,) both."""
        heads = [np.ascontiguousarray(p.content[:, :8]).view(np.uint64)[:, 0] for p in self.parts]
        whole = np.concatenate(heads) if heads else np.empty(0, np.uint64)
        order = np.argsort(whole, kind="stable")
        return whole[order], order

    def row_of(self, content: bytes) -> int | None:
        """The row of an image of this content (its digest, 16 bytes); None where there is none."""
        heads, rows = self._heads
        head = np.frombuffer(content[:8], np.uint64)[0]
        for i in range(int(np.searchsorted(heads, head)), len(heads)):
            if heads[i] != head:
                break
            part, at = self.place(int(rows[i]))
            if part.content[at].tobytes() == content:
                return int(rows[i])
        return None

    def blocks(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """The vectors in pieces (up to `rows`, d) of the mapped files, each with its first row."""
        for part, start in zip(self.parts, self.starts, strict=False):
            for at in range(0, len(part), rows):
                yield start + at, part.vectors[at : at + rows]


def kind_of(faces: bool, detector: Mapping[str, Any] | None) -> str:
    """What images of a gallery are, in words."""
    if not faces:
        return "whole images"
    return (
        "faces that are aligned by five points"
        if detector is None
        else "faces that a detector cuts out"
    )


def open_parts(path: Path, document: Mapping[str, Any], *, check: bool) -> tuple[Part, ...]:
    """The parts that a document names. Raises GalleryError, FileNotFoundError."""
    size = document["network"]["size"]

    def opened(entry: Mapping[str, Any]) -> Part:
        file = path / entry["file"]
        try:
            part = Part(file)
            if len(part) != entry["rows"] or part.vectors.shape[1] != size:
                raise ValueError(
                    f"it holds {len(part):,} vectors of {part.vectors.shape[1]:,} numbers, not {entry['rows']:,} of {size:,}"
                )
            if check:
                if part.digest() != entry["sha256"]:
                    raise ValueError("it is not what was written, by its digest")
                part.check()
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            reason = (
                "it is a link out of the gallery"
                if leads_out(file)
                else getattr(error, "strerror", None) or error
            )
            raise GalleryError(
                f"{file} was altered and cannot be read: {reason}; restore it, or enrol again into another folder"
            ) from error
        return part

    return tuple(ordered(opened, document["parts"]))


def network_of(embedder: Embedder, where: str | None) -> dict[str, Any]:
    """What a document says of the network. where: the spec or the run's folder by which it is opened again."""
    vector, _ = embedder(_pattern(embedder))
    return {
        "name": embedder.trained.name, "where": where, "layer": embedder.layer, "size": embedder.size,
        "model": embedder.model_digest, "preprocessing": embedder.preprocessing_digest,
        "pattern": [round(float(v), 6) for v in vector[0]],
    }  # fmt: skip


def refuse_other(path: Path, document: Mapping[str, Any], embedder: Embedder) -> None:
    """Raise GalleryError where a network is not the one of a gallery: by its weights, by its preprocessing, and by what it
    gives for a pattern, which code that has changed gives away."""
    known = document["network"]
    name = embedder.trained.name
    what = ""
    if known["model"] != embedder.model_digest or known["layer"] != embedder.layer:
        what = "other weights"
    elif known["preprocessing"] != embedder.preprocessing_digest:
        what = "another preprocessing"
    else:
        vector, _ = embedder(_pattern(embedder))
        pattern = np.array(known["pattern"], np.float32)
        both_zero = (
            not pattern.any() and not vector.any()
        )  # of a network that gives nothing for the pattern
        if vector.shape[1] != len(pattern) or not (
            both_zero or float(vector[0] @ pattern) >= ALIKE
        ):
            what = "the same weights but other embeddings (its code has changed)"
    if what:
        raise GalleryError(
            f"the gallery {path} is another network's: it was made with {known['name']}, and {name} has {what}, so that "
            "their similarities mean nothing; give the network that it was made with, or enrol the images again into a new "
            "gallery"
        )


def _pattern(embedder: Embedder) -> Any:
    """One image (1, C, H, W) uint8 that is the same everywhere: integers alone decide it."""
    import torch

    _, channels, height, width = embedder.trained.shape
    c, y, x = np.ogrid[:channels, :height, :width]
    values = (7 * x + 13 * y + 29 * c + (x * y) // 8 % 97) % 256
    return torch.from_numpy(values.astype(np.uint8))[None]


def _no_gallery(path: Path) -> str:
    if not os.path.lexists(path):
        return f"there is no gallery at {path}; `striate gallery enrol {path} RUN DIR` makes one"
    if not path.is_dir():
        return f"{path} is a file, and a gallery is a folder; give the folder that `striate gallery enrol` made"
    held = sorted(os.listdir(path))
    inside = f"it holds {listed(held)}" if held else "it is empty"
    return f"{path} is no gallery: it has no {FILE} ({inside}); give the folder that `striate gallery enrol` made"
