"""Duplicates: images that are as alike as an image and its altered copy, among files and among what is enrolled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from striate.data.drawing import drawn
from striate.data.files import Found
from striate.data.reading import read_image
from striate.data.records import digest
from striate.errors import DataError
from striate.findings import Finding, Table
from striate.gallery.copies import DRAWN, IMAGES, level_of, random_similarities
from striate.gallery.faces import Places
from striate.gallery.gallery import Gallery
from striate.gallery.left_out import left_out
from striate.gallery.pairs import similar_pairs
from striate.gallery.pictures import Pair, pair_sheet
from striate.gallery.search import nearest
from striate.gallery.seeing import found_reader, pixels_of
from striate.tasks.embedding import Embedder
from striate.wording import counted

KEPT, LISTED = 10_000, 50
ROW = "\0"  # begins the key of an enrolled image, which its row follows; no file's name holds it
ABOVE, BELOW = (
    4,
    500,
)  # folders above a file, and in the present one, in which an enrolled image is looked for
Progress = Callable[[int, int], None]


def once_each(found: Found) -> tuple[list[str], list[tuple[str, str]]]:
    """Files without those that another path leads to already, and these with the reason: whoever deletes one of two
    duplicates is not to lose the only one."""
    places: dict[str, str] = {}
    again = []
    for name in found.files:
        place = name if name in found.arrays else os.path.realpath(name)
        if (first := places.setdefault(place, name)) != name:
            again.append((name, f"it is the file {first}, which is compared already"))
    return list(places.values()), again


def places_of(path: str, files: Sequence[str]) -> Iterator[Path]:
    """Files that an enrolled path may be: from here, above one of some files, or in a folder that is here.

    A gallery keeps paths below the folder that was enrolled, and not where that was.
    """
    above = (parent for name in files for parent in Path(name).parents[:ABOVE])
    below = (entry for entry in sorted(Path().iterdir())[:BELOW] if entry.is_dir())
    for folder in dict.fromkeys((Path(), *above, *below)):
        if (folder / path).is_file():
            yield folder / path


def duplicates_finding(
    gallery: Gallery, embedder: Embedder, found: Found, faces: Places | None, *, seed: int = 0,
    progress: Progress = lambda done, of: None,
) -> Finding:  # fmt: skip
    """Pairs of files that are near-duplicates, and files that are near-duplicates of an enrolled image.

    faces: the five points (5, 2) or the box (4,) of each file's face by name; None where images are taken whole. What
    counts as a near-duplicate is measured on altered copies of some of the files, or of their faces, see `level_of`. Raises
    DataError where no file can be used.
    """
    read = found_reader(embedder.trained, found, faces)
    pixels = pixels_of(embedder.trained, found.image, faces)
    names, vectors, left = list[str](), list[np.ndarray](), list[tuple[str, str]]()
    files, again = once_each(found)
    for done, one in enumerate(embedder.stream(files, read), 1):
        progress(done, len(files))
        if one.vector is None:
            left.append((one.path, str(one.error)))
        else:
            names.append(one.path)
            vectors.append(one.vector)
    if not vectors:
        raise DataError(f"none of {counted(len(files), 'image')} can be compared: {left[0][1]}")
    left += again
    whole = np.stack(vectors)
    preprocessing = embedder.trained.preprocessing

    def embed(images: Sequence[np.ndarray]) -> np.ndarray:
        return embedder(torch.from_numpy(np.stack([preprocessing.apply(x) for x in images])))[0]

    some = [pixels(names[i]) for i in drawn(len(names), IMAGES, seed=seed)]
    # With the enrolled ones, since these are compared too: a single file has no other to be told from.
    known = gallery.vectors(drawn(len(gallery), DRAWN, seed=seed))
    level = level_of(some, embed, random_similarities(np.concatenate([whole, known]), seed))
    scores, a, b, total = similar_pairs(whole, level.value, most=KEPT)
    pairs = [
        Pair(similarity=float(s), keys=(names[i], names[j]), notes=("", ""))
        for s, i, j in zip(scores, a, b, strict=True)
    ]
    best, rows = nearest(gallery, whole, 1)
    enrolled = [
        Pair(similarity=float(s), keys=(name, f"{ROW}{row}"), notes=("", gallery.name_of(int(row))))
        for name, s, row in zip(names, best[:, 0], rows[:, 0], strict=True)
        if s >= level.value
    ]  # fmt: skip
    enrolled.sort(key=lambda p: -p.similarity)
    shown = sorted([*pairs, *enrolled], key=lambda p: -p.similarity)

    def label(key: str) -> str:
        return gallery.path_of(int(key[1:])) if key.startswith(ROW) else key

    def picture(key: str) -> np.ndarray:
        """(H, W, C) uint8 of a file, or of an enrolled image where its file still is what was enrolled."""
        if not key.startswith(ROW):
            return pixels(key)
        for file in places_of(label(key), names):
            with suppress(DataError):  # another file of that name, which cannot be read
                content = digest(np.ascontiguousarray(embedder.trained.read(file)))
                # Its path is below the folder that was enrolled: from elsewhere another image may be there.
                if gallery.row_of(content) == int(key[1:]):
                    return preprocessing.eight_bits(read_image(file))
        raise DataError(f"{label(key)} is not the image that was enrolled")

    verdict = (
        f"Of {counted(len(names), 'image')} {counted(total, 'pair is', 'pairs are')} near-duplicates, and "
        f"{counted(len(enrolled), 'image is', 'images are')} one of an enrolled image, from a similarity of "
        f"{level.value:.3f} on."
    )
    tables = [
        Table(
            columns=("similarity", "image", "other image", "enrolled as"),
            rows=tuple((p.similarity, p.keys[0], label(p.keys[1]), p.notes[1] or None) for p in shown[:LISTED]),
            formats=(".3f", "", "", ""),
            caption=f"The most similar first{f' (the first {LISTED} of {len(shown):,})' if len(shown) > LISTED else ''}",
        ),
        level.table, *left_out(left, "compared"),
    ]  # fmt: skip
    return Finding(
        name="gallery-duplicates", title="Near-duplicates", verdict=verdict, status="note" if shown else "good",
        tables=tuple(tables),
        figures=(
            (pair_sheet(shown, picture, label=label, caption="The most similar images: look whether they are one."),)
            if shown
            else ()
        ),
        data={
            "gallery": str(gallery.path), "images": len(names), "threshold": level.value, "reason": level.reason,
            "found_of_altered_copies": level.kept, "pairs_in_all": total,
            "pairs": [{"similarity": p.similarity, "images": list(p.keys)} for p in pairs],
            "enrolled": [
                {"similarity": p.similarity, "image": p.keys[0], "enrolled": label(p.keys[1]), "name": p.notes[1]}
                for p in enrolled
            ],
            "left_out": [{"path": p, "error": e} for p, e in left],
        },
        seed=seed,
    )  # fmt: skip
