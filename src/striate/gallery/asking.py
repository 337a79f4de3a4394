"""Asking a gallery: how alike two images are, who is most like one, and what is left of a name that was forgotten."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.data.naming import normal
from striate.errors import DataError, GalleryError, UsageError
from striate.files import is_regular, open_regular
from striate.findings import Finding, Table
from striate.gallery.changing import changing, remaining
from striate.gallery.choosing import choose, impostors_of
from striate.gallery.document import PART
from striate.gallery.gallery import Gallery
from striate.gallery.reached import reached_by
from striate.gallery.search import nearest
from striate.tasks.embedding import Embedding
from striate.wording import as_text, counted, in_quotes, listed, percent

SEARCHED = 64  # vectors and digests whose bytes are looked for in every file


def usable(one: Embedding) -> np.ndarray:
    """The vector (d,) of an image. Raises DataError where it has none."""
    if one.vector is None:
        raise DataError(str(one.error))
    return one.vector


def compared(gallery: Gallery, first: Embedding, second: Embedding) -> Finding:
    """How alike two images are to the gallery's network, and how many impostor pairs are as alike. Raises DataError."""
    similarity = min(1.0, float(usable(first) @ usable(second)))
    t = gallery.threshold
    chosen, reach = t["compare"], reached_by(t["impostors"], similarity)
    same = None if chosen is None else similarity >= chosen["value"]
    impostors = None
    if same is None:
        verdict = f"The similarity is {similarity:.3f}; whether they are one is unknown: no threshold could be chosen."
    else:
        word = "taken for one" if same else "not taken for one"
        verdict = (
            f"The similarity is {similarity:.3f}, and the two are {word}: the threshold is {chosen['value']:.3f}, for a "
            f"false-accept rate of {t['rate']:g}."
        )
    if reach is not None:
        impostors = {
            "reach": reach.reached, "pairs": reach.of, "low": reach.low, "high": reach.high, "over_names": reach.over_names,
        }  # fmt: skip
        most = f"at most {reach.reached:,}" if reach.reached else "none"
        clause = (
            "over names"
            if reach.over_names
            else "as if pairs were independent, by an earlier version; enrol anew for one over names"
        )
        verdict += (
            f" Of {reach.of:,} pairs of images of different names {most} {'reach' if reach.reached > 1 else 'reaches'} it "
            f"({percent(reach.reached / reach.of, 3)}, 95 % interval {percent(reach.low, 3)} to {percent(reach.high, 3)}, "
            f"{clause})."
        )
    return Finding(
        name="gallery-compare", title="How alike two images are", verdict=verdict,
        status="note", advice="" if same is not None else _as_advice(str(t["why"])),
        tables=(
            Table(
                columns=("a", "b", "similarity", "threshold", "taken for one", "impostors that reach it", "of"),
                rows=((
                    first.path, second.path, similarity, None if chosen is None else chosen["value"],
                    "unknown" if same is None else "yes" if same else "no", None if reach is None else reach.reached,
                    None if reach is None else reach.of,
                ),),
                formats=("", "", ".4f", ".4f", "", ",", ","),
            ),
        ),
        data={
            "a": first.path, "b": second.path, "similarity": similarity, "same": same,
            "threshold": None if chosen is None else chosen["value"], "rate": t["rate"],
            "impostors": impostors,
        },
    )  # fmt: skip


def _as_advice(why: str) -> str:
    return f"{why[:1].upper()}{why[1:]}." if why else ""


def searched(gallery: Gallery, query: Embedding, top: int) -> Finding:
    """The enrolled images that are most like one, the most similar first. Raises DataError."""
    scores, rows = nearest(gallery, usable(query)[None], top)
    t = gallery.threshold["identify"]
    value = None if t is None else float(t["value"])
    found = [
        (i, gallery.name_of(int(row)), gallery.path_of(int(row)), min(1.0, float(score)))
        for i, (score, row) in enumerate(zip(scores[0], rows[0], strict=True), 1)
    ]
    above = value is not None and found[0][3] >= value
    if value is None:
        says = (
            "no threshold could be chosen, so that a place in this list says nothing of who it is"
        )
    elif above:
        says = f"the first reaches the threshold of {value:.3f}"
    else:
        says = f"none reaches the threshold of {value:.3f}: it is somebody unknown, however this list begins"
    return Finding(
        name="gallery-search", title="What is most like it",
        verdict=(
            f"The most similar of {counted(len(gallery), 'enrolled image')} to {query.path} has a similarity of "
            f"{found[0][3]:.3f}; {says}."
        ),
        tables=(
            Table(
                columns=("rank", "name", "image", "similarity", "above threshold"),
                rows=tuple((*row, None if value is None else "yes" if row[3] >= value else "no") for row in found),
                formats=("", "", "", ".4f", ""),
            ),
        ),
        data={
            "query": query.path, "threshold": value, "images": len(gallery),
            "found": [{"rank": i, "name": n, "image": p, "similarity": s} for i, n, p, s in found],
        },
    )  # fmt: skip


def forget(path: Path, names: Sequence[str]) -> Finding:
    """Delete names with their images from a gallery, choose its threshold anew, and look into every file that nothing is
    left.

    Raises UsageError for a name that is not enrolled, and where nobody would be left, GalleryError where something is.
    """
    gone = {normal(as_text(name)) for name in names}
    with changing(path) as change:
        before = change.before
        assert before is not None, "opened, or refused"
        if strange := sorted(gone - set(before.names)):
            raise UsageError(
                f"{in_quotes(strange[0])} is not enrolled in {path}, so that there is nothing to forget; it holds "
                f"{listed(before.names)}"
            )
        if gone >= set(before.names):
            raise UsageError(
                f"nobody would be left in {path}; delete the folder itself, which holds {listed(sorted(os.listdir(path)))}"
            )
        patterns: list[bytes] = []
        vectors: list[np.ndarray] = []
        images = 0
        change.parts = []
        for part, entry in zip(before.parts, before.document["parts"], strict=True):
            kept = remaining(part, gone)
            if kept is None:
                change.parts.append(entry)
                continue
            leaving = np.setdiff1d(np.arange(len(part)), kept)
            images += len(leaving)
            some = leaving[: max(0, SEARCHED - len(patterns))]
            patterns += [part.content[row].tobytes() for row in some]
            vectors += [np.array(part.vectors[row]) for row in some]
            if len(kept):
                change.parts.append(change.write(part.rows(kept)))
        document = {**before.document, "parts": change.parts}
        after = change.opened(document)
        threshold = before.threshold
        if threshold["source"] is None:  # chosen by those who are enrolled, and so by who leaves
            found = impostors_of(after, None, int(threshold["seed"]))
            threshold = choose(found, None, default=float(threshold["rate"]), seed=int(threshold["seed"]))  # fmt: skip
        change.commit({**document, "threshold": threshold})
        patterns += _nobody_elses(after, vectors)
        files, size, elsewhere = proof(path, gone, patterns)
    words = listed(sorted(gone))
    note = (
        f" The paths of {counted(elsewhere, 'image')} of other names still hold it: they stand as they were given."
        if elsewhere
        else ""
    )
    return Finding(
        name="gallery-forgotten", title="What was forgotten",
        verdict=(
            f"{words}: {counted(images, 'image')} forgotten. {counted(files, 'file')} of the gallery, {size:,} bytes, were "
            f"searched, and nothing of it is left.{note}"
        ),
        status="warning" if elsewhere else "good",
        advice="Copies of the folder, backups and blocks of the disk that are free now are not reached.",
        tables=(_left_threshold(threshold, before.threshold),),
        data={
            "gallery": str(path), "forgotten": sorted(gone), "images": images, "files": files, "bytes": size,
            "paths_of_others": elsewhere, "left_names": len(after.names), "left_images": len(after),
        },
    )  # fmt: skip


def _left_threshold(now: object, before: object) -> Table:
    def value(t: object, key: str) -> float | None:
        chosen = t[key]  # type: ignore[index]
        return None if chosen is None else float(chosen["value"])

    return Table(
        columns=("threshold", "before", "now"),
        rows=(
            ("who is it?", value(before, "identify"), value(now, "identify")),
            ("are two images one?", value(before, "compare"), value(now, "compare")),
        ),
        formats=("", ".4f", ".4f"), caption="Chosen anew where it was chosen by those who are enrolled",
    )  # fmt: skip


def _nobody_elses(gallery: Gallery, vectors: Sequence[np.ndarray]) -> list[bytes]:
    """The bytes of vectors, without those that an image of another name has as well, as a poor network may give them."""
    if not vectors:
        return []
    _, rows = nearest(gallery, np.stack(vectors), 1)
    twins = gallery.vectors(rows[:, 0])
    return [
        v.tobytes() for v, twin in zip(vectors, twins, strict=True) if not np.array_equal(v, twin)
    ]


def proof(path: Path, gone: set[str], patterns: Sequence[bytes]) -> tuple[int, int, int]:
    """Files that were searched, their bytes, and images of others whose path holds a name that is gone.

    Every part in the folder must be one that `gallery.json` names, which the opening of the gallery reads to the last byte;
    no row may have such a name, and no file in the folder or below it, whoever made it, the bytes of a pattern. Raises
    GalleryError.
    """
    gallery = Gallery.open(path)
    known = {part["file"] for part in gallery.document["parts"]}
    files = size = elsewhere = 0
    for file in sorted(
        Path(folder) / entry for folder, _, entries in os.walk(path) for entry in entries
    ):
        if (
            not is_regular(file) or not file.stat().st_size
        ):  # such as the lock of this very change, which holds nothing
            continue
        with open_regular(file) as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:  # fmt: skip
            files, size = files + 1, size + len(data)
            unknown = PART.fullmatch(file.name) and (file.parent != path or file.name not in known)
            if unknown or any(data.find(p) >= 0 for p in patterns):
                raise GalleryError(
                    f"{file} still holds what was to be forgotten, and could not be deleted; delete it, then forget again"
                )
    if left := sorted(gone & set(gallery.names)):
        raise GalleryError(
            f"{in_quotes(left[0])} is still enrolled in {path}; delete the gallery and enrol anew"
        )
    for part in gallery.parts:
        if any(part.paths_hold(name) for name in gone):
            elsewhere += sum(
                any(name in part.path_of(row) for name in gone) for row in range(len(part))
            )
    return files, size, elsewhere
