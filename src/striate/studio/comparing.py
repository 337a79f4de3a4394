"""Comparing: what several networks say of the same images, and which of them are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from striate.answer import answer_of
from striate.errors import UsageError
from striate.runs.images import source_of
from striate.statistics.intervals import paired, wilson
from striate.studio.describing import thumbnail
from striate.studio.desk import Part
from striate.studio.shelf import Network, Picture

MOST = 3
TESTED = 256  # test images that are compared
LISTED = 96  # of them that are shown, those first of which not all are right
BATCH = 32


def compared(networks: Mapping[str, Network]) -> Part:
    """Which images each of several networks gets right, by their numbers; the images are then known to all of them.

    Test images of the first one's run, as each of them reads them, where all come from runs; or else the pictures that all
    have, with labels. Without labels nothing is counted. Raises UsageError for the same network twice, and DataError where
    the classes of one are not those of the data.
    """
    if len(networks) < 2:
        raise UsageError("a network is compared with another; choose two")
    several = list(networks.values())
    pictures, seen = pictures_for(several)
    for one, own in zip(several, pictures, strict=True):
        one.compared = own
    numbers = list(pictures[0])
    truths = [pictures[0][n].truth for n in numbers]
    told = [predicted(one, list(own.values())) for one, own in zip(several, pictures, strict=True)]
    header: dict[str, Any] = {"seen": seen, "networks": [], "images": []}
    known = all(t is not None for t in truths) and bool(numbers)
    right = np.array([[name == truth for (name, _), truth in zip(one, truths, strict=True)] for one in told])  # fmt: skip
    for i, (number, one) in enumerate(networks.items()):
        row: dict[str, Any] = {"id": number, "name": one.target}
        if known:
            low, high = wilson(int(right[i].sum()), len(numbers))
            row |= {"right": int(right[i].sum()), "low": low, "high": high}
            if i:
                row["gain"] = list(paired(right[0].astype(float), right[i].astype(float)))
        header["networks"].append(row)
    header["of"] = len(numbers) if known else 0
    names = np.array([[name for name, _ in one] for one in told])
    apart = (names != names[0]).any(0)
    split = right.any(0) & ~right.all(0) if known else apart
    order = np.lexsort((np.arange(len(numbers)), ~apart, ~split))[:LISTED].tolist()
    for j in order:
        header["images"].append(
            {
                "id": numbers[j], "name": pictures[0][numbers[j]].name, "truth": truths[j],
                "said": [{"name": one[j][0], "share": one[j][1]} for one in told],
                "right": "".join("+" if r else "-" for r in right[:, j]) if known else "",
            }
        )  # fmt: skip
    if known:
        marks = ["".join("+" if r else "-" for r in column) for column in right.T]
        header["counts"] = {mark: marks.count(mark) for mark in sorted(set(marks))}
    return header, {numbers[j]: thumbnail(pictures[0][numbers[j]].pixels) for j in order}


def pictures_for(several: list[Network]) -> tuple[list[dict[str, Picture]], str]:
    """The same images as each network reads them, by number, and what they are, in words."""
    runs = [one.trained.run for one in several]
    if any(run is None or not run.recipe.data for run in runs):
        shared = [n for n in several[0].samples if all(n in one.samples for one in several)]
        return [
            {n: one.samples[n] for n in shared} for one in several
        ], "the pictures that all have"
    source = source_of(runs[0])
    split = source.test if len(source.test) else source.val
    made = []
    for one in several:
        task, trained = one.trained.task, one.trained
        task.match(source, trained.classes, source.where)
        shown = task.load_examples(
            source, split, trained.preprocessing, trained.classes, limit=TESTED, seed=runs[0].trained.seed
        )  # fmt: skip
        labels = shown.targets.tolist() if "labels" in task.offers else [None] * len(shown)
        made.append(
            {
                f"c{i}": Picture(key, pixels.numpy(), None if label is None else trained.classes[label])
                for i, (key, pixels, label) in enumerate(zip(shown.keys, shown.images, labels, strict=True))
            }
        )  # fmt: skip
    learned = [
        one.target for one, run in zip(several, runs, strict=True) if may_have_learned(runs[0], run)
    ]
    words = f"test images of {several[0].target}"
    if learned:
        words += f"; {' and '.join(learned)} may have learned from some of them, since its data were split otherwise"
    return made, words


def may_have_learned(first: Any, other: Any) -> bool:
    """Whether test images of one run may be training images of another: the same data, split otherwise."""
    names = ("data", "count", "seed", "val", "test")
    return any(getattr(first.recipe, n) != getattr(other.recipe, n) for n in names)


def predicted(one: Network, pictures: list[Picture]) -> list[tuple[str, float]]:
    """The likeliest class of each picture, with its probability; of networks without classes nothing, ("", nan)."""
    task, trained = one.trained.task, one.trained
    if not task.decides or task.axes != 2:
        return [("", float("nan"))] * len(pictures)
    told = []
    with torch.inference_mode():
        for first in range(0, len(pictures), BATCH):
            images = torch.stack([p.image for p in pictures[first : first + BATCH]])
            answers = task.answers(answer_of(one.module(images)), trained)
            best = answers["probabilities"].max(1)
            told += [
                (trained.classes[k], float(p))
                for k, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
    return told
