"""Candidate: an image file that may be an image or a mask of a pair."""

from __future__ import annotations

from dataclasses import dataclass

from striate.data.tree import Parts


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file that is an image or a mask: where it lies (the folders that say neither role nor split), stem and split."""

    path: Parts
    place: Parts
    inner: Parts
    stem: str
    split: str | None
    rank: int
