"""Concepts: images whose pixels are known to show named things, as network dissection takes them (Bau et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from striate.errors import DataError


@dataclass(frozen=True, eq=False)
class Regions:
    """The pixels of one image, in regions that each show the same concepts.

    number (H, W) uint8: the region of each pixel. members (M, K) bool: which of K concepts region m shows. known (M, G)
    bool: for which of G groups of concepts it was annotated at all; pixels of others count for nothing.
    """

    number: np.ndarray
    members: np.ndarray
    known: np.ndarray


@dataclass(frozen=True, eq=False)
class ConceptSet:
    """N images with K concepts, read when they are needed.

    names, kinds: of each concept, and the sort of thing that it is. groups: of each concept its group 0..G-1; the concepts
    of one group are annotated in the same pixels. image: maps a number to uint8 pixels (C, H, W) as the network takes
    them; regions: to its `Regions`. where: what is said of them. remarks: sentences about what was left out.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    groups: tuple[int, ...]
    count: int
    image: Callable[[int], np.ndarray]
    regions: Callable[[int], Regions]
    where: str
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, images: np.ndarray, masks: np.ndarray, names: Sequence[str], where: str = "arrays"
    ) -> ConceptSet:
        """From images (N, C, H, W) uint8 and masks (N, K, H, W) bool that may overlap. Raises DataError."""
        if masks.ndim != 4 or (len(masks), *masks.shape[2:]) != (len(images), *images.shape[2:]):
            raise DataError(
                f"masks are (N, K, H, W) for images (N, C, H, W), got {masks.shape} for {images.shape}; resize them alike"
            )
        if masks.shape[1] != len(names):
            raise DataError(f"{masks.shape[1]} masks an image need as many names, got {len(names)}")

        def regions(i: int) -> Regions:
            return overlapping(masks[i])

        kinds = ("concept",) * len(names)
        return cls(
            names=tuple(names), kinds=kinds, groups=(0,) * len(names), count=len(images),
            image=lambda i: images[i], regions=regions, where=where,
        )  # fmt: skip


def in_order(concepts: ConceptSet, order: np.ndarray) -> ConceptSet:
    """The same images in another order (N,)."""
    return replace(
        concepts,
        image=lambda i: concepts.image(int(order[i])),
        regions=lambda i: concepts.regions(int(order[i])),
    )


def overlapping(masks: np.ndarray) -> Regions:
    """The regions of one image from its masks (K, H, W) bool, which may overlap. Raises DataError beyond 256 regions."""
    concepts, height, width = masks.shape
    packed = np.packbits(masks.reshape(concepts, -1), axis=0).T
    rows, number = np.unique(packed, axis=0, return_inverse=True)
    if len(rows) > 256:
        raise DataError(
            f"the masks of one image overlap in {len(rows):,} ways, and 256 are told apart; give fewer concepts"
        )
    members = np.unpackbits(rows, axis=1)[:, :concepts].astype(bool)
    return Regions(
        number=number.reshape(height, width).astype(np.uint8),
        members=members,
        known=np.ones((len(rows), 1), dtype=bool),
    )
