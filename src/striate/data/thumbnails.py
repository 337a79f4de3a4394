"""Folders of thumbnails: smaller copies, under the same names, of images that stand beside the folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from striate.data.naming import normal

Parts = tuple[str, ...]

NAMES = frozenset(
    {"thumb", "thumbs", "thumbnail", "thumbnails", "_thumb", "_thumbs", "_thumbnails"}
)
SHARE = 0.8  # of its images that have an original; a class called thumbs has none
MARKS = ("thumb_", "tn_", "_thumb", "_tn", "-thumb")


def find_thumbnails(
    folders: Sequence[Parts], images: Sequence[Parts]
) -> Iterator[tuple[Parts, set[Parts]]]:
    """Each folder of thumbnails with the images in it. The name alone decides nothing: `thumbs` may be a class."""
    for folder in folders:
        if folder[-1].casefold() not in NAMES:
            continue
        depth = len(folder)
        mine = {p for p in images if p[:depth] == folder}
        above = folder[:-1]
        originals = {
            _stem(p[depth - 1 :]) for p in images if p[: depth - 1] == above and p not in mine
        }
        same = sum(_stem(p[depth:]) in originals for p in mine)
        if mine and same >= SHARE * len(mine):
            yield folder, mine


def _stem(parts: Parts) -> Parts:
    stem = normal(parts[-1]).rsplit(".", 1)[0].casefold()
    for mark in MARKS:
        stem = stem.removeprefix(mark).removesuffix(mark)
    return (*(normal(p).casefold() for p in parts[:-1]), stem)
