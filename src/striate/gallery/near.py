"""Near: near-duplicates between the splits of a data set, which turn an evaluation into one of memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from striate.data.drawing import drawn
from striate.data.scale import scale_of
from striate.errors import DataError
from striate.findings import Figure, Finding, Status, Table
from striate.gallery.copies import IMAGES, Level, level_of, random_similarities
from striate.gallery.left_out import left_out
from striate.gallery.pairs import similar_pairs
from striate.gallery.pictures import Pair, pair_sheet
from striate.tasks.embedding import Embedder
from striate.wording import counted, percent

KEPT = 10_000  # pairs in JSON
LISTED = 50  # pairs in a table
Progress = Callable[[int, int], None]


def near_duplicates(
    source: Any, embedder: Embedder, *, seed: int = 0, progress: Progress = lambda done, of: None
) -> Finding:
    """Pairs of images of different splits of a source that are as alike as an image and its altered copy.

    source: of any task: images of its `splits` by `image(i)` and `keys`. embedder: best one of mirrored embeddings, for
    which a mirrored copy is the image itself. Memory grows with the number of images, the time with its square at a few
    nanoseconds a pair, beside the network's. Raises DataError where no image has an embedding.
    """
    splits = {name: split for name, split in source.splits.items() if len(split)}
    places = [(name, i) for name, split in splits.items() for i in range(len(split))]
    levels = {} if (scale := scale_of(source.train)) is None else scale.levels
    preprocessing = replace(embedder.trained.preprocessing, **levels)

    def image(place: tuple[str, int]) -> np.ndarray:
        return preprocessing.eight_bits(splits[place[0]].image(place[1]))

    names = [f"{at}" for at in range(len(places))]
    vectors = np.zeros((len(places), embedder.size), np.float32)
    left: list[tuple[str, str]] = []
    good = np.zeros(len(places), bool)
    stream = embedder.stream(names, lambda name: preprocessing.apply(image(places[int(name)])))
    for at, one in enumerate(stream):
        progress(at + 1, len(places))
        if one.vector is None:
            name, i = places[at]
            left.append(
                (str(splits[name].keys[i]), str(one.error).replace(f"{at} cannot", "it cannot", 1))
            )
        else:
            vectors[at], good[at] = one.vector, True
    if not good.any():
        raise DataError(
            f"none of the {len(places):,} images of {source.name} can be compared: {left[0][1]}"
        )
    kept = np.flatnonzero(good)
    vectors = vectors[kept]
    where = [places[i] for i in kept]
    order = {name: i for i, name in enumerate(splits)}
    groups = np.array([order[name] for name, _ in where])

    def embed(images: Sequence[np.ndarray]) -> np.ndarray:
        found, _ = embedder(torch.from_numpy(np.stack([preprocessing.apply(x) for x in images])))
        return found

    some = [image(where[i]) for i in drawn(len(where), IMAGES, seed=seed)]
    level = level_of(some, embed, random_similarities(vectors, seed))
    touched = np.zeros(
        (len(splits), len(where)), bool
    )  # images with a near-duplicate in each split
    between: Counter[tuple[int, int]] = Counter()

    def seen(i: np.ndarray, j: np.ndarray) -> None:
        touched[groups[j], i] = touched[groups[i], j] = True
        for pair, n in zip(
            *np.unique(np.stack((groups[i], groups[j]), 1), axis=0, return_counts=True), strict=True
        ):
            between[int(pair[0]), int(pair[1])] += int(n)

    scores, first, second, _ = similar_pairs(vectors, level.value, groups=groups, most=KEPT, seen=seen)  # fmt: skip

    def key(i: int) -> str:
        name, number = where[i]
        return str(splits[name].keys[number])

    pairs = [
        Pair(similarity=float(s), keys=(key(a), key(b)), notes=(where[a][0], where[b][0]))
        for s, a, b in zip(scores, first, second, strict=True)
    ]
    numbers = {
        (name, str(k)): i for name, split in splits.items() for i, k in enumerate(split.keys)
    }

    def picture(at: str) -> np.ndarray:
        split, _, name = at.partition("\0")
        return image((split, numbers[split, name]))

    leaks = {}
    if "train" in order:
        leaks = {n: int(touched[order["train"], groups == g].sum()) for n, g in order.items() if n != "train"}  # fmt: skip
    words = list(splits)
    counts = {(words[a], words[b]): n for (a, b), n in sorted(between.items())}
    return _finding(source, embedder, pairs, counts, leaks, level, left, picture, seed)


def _finding(
    source: Any, embedder: Embedder, pairs: list[Pair], counts: dict[tuple[str, str], int], leaks: dict[str, int],
    level: Level, left: list[tuple[str, str]], picture: Callable[[str], np.ndarray], seed: int,
) -> Finding:  # fmt: skip
    sizes = {name: len(split) for name, split in source.splits.items() if len(split)}
    total, images = sum(counts.values()), sum(sizes.values())
    shares = " and ".join(
        f"{counted(n, f'{name} image')} of {sizes[name]:,} ({percent(n / sizes[name])})" for name, n in leaks.items() if n
    )  # fmt: skip
    exact = sum(len(d.dropped) > 0 for d in source.duplicates)
    status: Status = "warning" if total else "good"
    if len(sizes) < 2:
        status = "note"
        verdict = f"{source.name} has one split, so that nothing can leak from one into another."
    elif not total:
        verdict = (
            f"No image of one split is a near-duplicate of one of another: none of {counted(images, 'image')} "
            f"is {level.value:.3f} alike or more."
        )
    elif shares:
        one = sum(leaks.values()) == 1
        verdict = (
            f"{shares} {'has' if one else 'have'} a near-duplicate in train, which a network learns by heart: "
            f"{counted(total, 'pair')} in all."
        )
    else:
        verdict = f"{counted(total, 'pair')} of near-duplicates lie in val and test, none in train."
    shown = f" (the first {LISTED} of {total:,})" if total > LISTED else ""
    tables = [
        Table(
            columns=("similarity", "image", "split", "other image", "other split"),
            rows=tuple((p.similarity, p.keys[0], p.notes[0], p.keys[1], p.notes[1]) for p in pairs[:LISTED]),
            formats=(".3f", "", "", "", ""),
            caption=f"Near-duplicates of different splits, the most similar first{shown}",
        ),
        level.table, *left_out(left, "compared"),
    ]  # fmt: skip
    marked = [
        replace(p, keys=(f"{p.notes[0]}\0{p.keys[0]}", f"{p.notes[1]}\0{p.keys[1]}"))
        for p in pairs[:12]
    ]
    figures: tuple[Figure, ...] = ()
    if pairs:
        figures = (
            pair_sheet(
                marked, picture, label=lambda key: key.partition("\0")[2],
                caption="The most similar images of different splits: look whether they are one.",
            ),
        )  # fmt: skip
    return Finding(
        name="near-duplicates", title="Near-duplicates between splits", verdict=verdict, status=status,
        advice=(
            "Keep the images of one thing in one split, by folders train/, val/ and test/ or a column split in the "
            "table, or delete the copies: a score on images that were learned says nothing of new ones."
            if total
            else ""
        ),
        tables=tuple(tables), figures=figures,
        data={
            "network": embedder.trained.name, "images": images, "threshold": level.value,
            "reason": level.reason, "found_of_altered_copies": level.kept, "pairs_in_all": total,
            "between": [{"splits": list(names), "pairs": n} for names, n in counts.items()],
            "with_a_duplicate_in_train": leaks,
            "exact_duplicates_dropped": exact,
            "pairs": [{"similarity": p.similarity, "images": list(p.keys), "splits": list(p.notes)} for p in pairs],
            "left_out": [{"path": p, "error": e} for p, e in left],
        },
        seed=seed,
    )  # fmt: skip
