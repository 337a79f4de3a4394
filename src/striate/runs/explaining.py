"""Explain: which pixels of image files decided a network's answers, and the section of a report about it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.answer import Aim
from striate.attribution import (
    Explanation,
    Settings,
    Target,
    both,
    explain,
    find_method,
    finding,
    strip,
)
from striate.attribution.explanation import CLEAR, LEVEL, Progress
from striate.attribution.layers import find_layer, geometry_of
from striate.borrow import forward
from striate.data import Split
from striate.data.files import find_images
from striate.errors import DataError, UsageError
from striate.findings import Cell, Figure, Finding, Table
from striate.runs.opening import Trained, open_trained
from striate.runs.run import Run, resolve_class
from striate.wording import counted

REPORTED = ("integrated-gradients", "occlusion")
CLASSES = 10  # in a report
FEW = 8  # images from which on a map that is ahead by chance alone is called none
BUDGET = 10.0  # seconds of a report
PREFIX = re.compile(r"(?<![\w.])model\.(?=\w)")  # of layers behind the normalisation


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One file: its explanation, or the error why there is none."""

    path: str
    explanation: Explanation | None = None
    error: str | None = None

    @property
    def finding(self) -> Finding:
        """The explanation as a finding, without its figures."""
        return self._finding(figures=False)

    @property
    def page(self) -> Finding:
        """The explanation as a finding with its figures."""
        return self._finding(figures=True)

    def _finding(self, *, figures: bool) -> Finding:
        assert self.explanation is not None, self.error
        title = f"{Path(self.path).stem}: {self.explanation.target}"
        return finding(self.explanation, name="explanation", title=title, figures=figures)


def explain_files(
    trained: Trained,
    images: Any,
    *,
    target: str | None = None,
    at: tuple[slice, slice] | None = None,
    object: int | None = None,
    edge: str | None = None,
    methods: Sequence[str] | None = None,
    layer: str | None = None,
    trust: bool = True,
    seed: int = 0,
    against: Any = None,
    progress: Progress | None = None,
) -> Iterator[Explained]:
    """Explanations of images, in order, as they are ready.

    images: files, folders and patterns, or images themselves, see `find_images`.

    target: a class by name or number, each image's best if not given. at: rows and columns of a segmenter's output, or of
    the image of a detector, whose object there is explained. object: the number of a detector's object, from 1; edge: left,
    top, right or bottom, of its box, instead of its score. against: another image, of a network whose task compares images:
    what makes each image similar to it, and then what makes it similar to each.
    A file that cannot be read gives an Explained with its error. Raises UsageError for a class, a method, a layer or a
    path that does not exist, before the first explanation.
    """
    chosen = [find_method(m) for m in methods] if methods else None
    if not trained.task.objects and (object is not None or edge is not None):
        raise UsageError(
            f"--object and --edge are for networks that find objects; {trained.name} gives {trained.task.about}"
        )
    if against is not None and any(one is not None for one in (target, at, object, edge)):
        raise UsageError(
            "--against explains how similar two images are; leave out --target, --at, --object and --edge"
        )
    index = None if target is None else resolve_class(target, trained.classes)
    given = find_images(images, numbers=trained.preprocessing.numbers)
    other = None if against is None else Other.of(trained, against)
    module = trained.pixels
    if layer is not None:
        layer = find_layer(geometry_of(module, torch.zeros(trained.shape)), f"model.{layer}").name
    settings = Settings(baseline=torch.tensor(trained.preprocessing.mean), seed=seed, layer=layer)

    for name in given.files:
        try:
            pixels = trained.read(given.image(name))
        except DataError as error:
            yield Explained(path=name, error=str(error))
            continue
        place: Target | None
        words: str | None
        if other is not None:
            mine = Other.seen(trained, name, torch.from_numpy(pixels))
            for a, b in ((mine, other), (other, mine)):
                number, words = trained.task.likeness(
                    trained, a.output, b.output, Path(b.name).name
                )
                explanation = explain(
                    module, a.image, number, methods=chosen, classes=trained.classes, settings=settings, trust=trust,
                    name=words, progress=progress,
                )  # fmt: skip
                yield Explained(path=a.name, explanation=plain(explanation))
            continue
        if trained.task.objects:
            size = size_of(trained, given.image(name), pixels)
            image, place, words = aimed(trained, pixels, size, index=index, at=at, number=object, edge=edge)  # fmt: skip
        else:
            image = torch.from_numpy(pixels).float() / 255
            place, words = placed(trained, image, index, at)
        explanation = explain(
            module, image, place, methods=chosen, classes=trained.classes, settings=settings,
            temperature=trained.temperature, trust=trust, name=words, progress=progress,
        )  # fmt: skip
        yield Explained(path=name, explanation=plain(explanation))


@dataclass(frozen=True, eq=False)
class Other:
    """An image (C, H, W) in [0, 1] as the network sees it, with its name and the network's output for it."""

    name: str
    image: torch.Tensor
    output: Any

    @classmethod
    def seen(cls, trained: Trained, name: str, pixels: torch.Tensor) -> Other:
        """Of pixels (C, H, W) uint8."""
        image = pixels.float() / 255
        with torch.inference_mode():
            return cls(name, image, forward(trained.pixels, image[None]))

    @classmethod
    def of(cls, trained: Trained, image: Any) -> Other:
        """The one image of a file, or an array. Raises UsageError for several, DataError where it cannot be read."""
        found = find_images(image, numbers=trained.preprocessing.numbers)
        if len(found.files) != 1:
            raise UsageError(f"--against is one image, got {len(found.files)} of them; name a file")
        name = found.files[0]
        return cls.seen(trained, name, torch.from_numpy(trained.read(found.image(name))))


def size_of(trained: Trained, image: Path | np.ndarray, pixels: np.ndarray) -> tuple[int, int]:
    """(height, width) of an image in its own pixels. pixels: (C, h, w), as the network sees it."""
    how = trained.preprocessing
    if how == how.unframed:
        return pixels.shape[-2], pixels.shape[-1]
    whole = how.unframed
    own = whole.colours(image) if isinstance(image, np.ndarray) else whole.read_colours(image)
    return own.shape[-2], own.shape[-1]


def aimed(
    trained: Trained, pixels: np.ndarray, size: tuple[int, int] | None, **which: Any
) -> tuple[torch.Tensor, Aim, str]:
    """The part of an image (C, h, w) uint8 that is enough, in [0, 1], what is explained of it, and what to call that."""
    aim = trained.task.aim(trained, torch.from_numpy(pixels), size, **which)
    image = torch.from_numpy(pixels).float() / 255
    if aim.crop is not None:
        image = image[(slice(None), *aim.crop)]
    return image, aim, aim.words


def placed(
    trained: Trained, image: torch.Tensor, index: int | None, at: tuple[slice, slice] | None
) -> tuple[Target | None, str | None]:
    """The target and what to call it. Raises UsageError for a pixel of the output of a network that has none."""
    if at is None:
        return asked(trained, image, index)
    with torch.inference_mode():
        output = forward(trained.pixels, image[None])
    if not isinstance(output, torch.Tensor) or output.dim() != 4:
        raise UsageError(
            f"--at is a pixel of a predicted mask; {trained.name} gives one prediction an image"
        )
    spans = [s.indices(n)[:2] for s, n in zip(at, output.shape[2:], strict=True)]
    size = f"{output.shape[2]} rows and {output.shape[3]} columns"
    for one, (start, stop), n in zip(at, spans, output.shape[2:], strict=True):
        if start >= stop or one.stop > n:
            raise UsageError(f"--at lies outside the map of {size}")
    (top, bottom), (left, right) = spans
    if index is None:
        shares = torch.softmax(output[0, :, top:bottom, left:right].float(), 0).mean((1, 2))
        index = int(shares.argmax())
    words = f"{trained.classes[index]} at rows {top}-{bottom - 1}, columns {left}-{right - 1}"
    return (index, (top, bottom), (left, right)), words


def asked(
    trained: Trained, image: torch.Tensor, index: int | None
) -> tuple[Target | None, str | None]:
    """The number of the output that the task has explained, and what it is; the class itself where that is a logit."""
    with torch.inference_mode():
        output = forward(trained.pixels, image[None])
        number = trained.task.explained_number(trained, output, index)
    return (index, None) if number is None else number


def plain(explanation: Explanation) -> Explanation:
    """The explanation with layers called as `striate summary` calls them."""
    maps = {
        m: replace(one, remark=PREFIX.sub("", one.remark)) for m, one in explanation.maps.items()
    }
    refused = {m: PREFIX.sub("", why) for m, why in explanation.refused.items()}
    return replace(explanation, maps=maps, refused=refused)


def explanations(
    run: Run, split: Split, *, methods: Sequence[str] = REPORTED, budget: float = BUDGET
) -> Finding | None:
    """One image a class, explained by two methods with their trust scores, for the run's report.

    split: whose images; the first of each class, at most 10 classes, as many as fit into `budget` seconds (one at
    least). None where there is no image.
    """
    trained = open_trained(run)
    chosen = run.task.examples(split, run.classes, CLASSES)
    images = ((true, split.preprocess(i, run.preprocessing)) for i, true in chosen)
    count = len(np.unique(split.labels)) if "labels" in run.task.offers else len(chosen)
    return explain_images(trained, images, count, methods=methods, budget=budget)


def explain_images(
    trained: Trained,
    images: Iterable[tuple[str, np.ndarray]],
    count: int,
    *,
    methods: Sequence[str] = REPORTED,
    budget: float = BUDGET,
) -> Finding | None:
    """Explanations of images, as many as fit into `budget` seconds, with their trust scores; None without any.

    images: what each is, its class or its name, and the image as the network sees it, (C, H, W) uint8. count: of how many
    they are a part.
    """
    began = time.monotonic()
    module = trained.pixels
    settings = Settings(baseline=torch.tensor(trained.preprocessing.mean), steps=16)
    figures: list[Figure] = []
    rows: list[tuple[Cell, ...]] = []
    made: list[Explanation] = []
    for true, pixels in images:
        spent = time.monotonic() - began
        if made and spent + spent / len(made) > budget:
            break
        target: Target | None
        words: str | None
        if trained.task.objects:
            image, aim, words = aimed(trained, pixels, None)
            target = replace(aim, beside={})
        else:
            image = torch.from_numpy(pixels).float() / 255
            target, words = asked(trained, image, None)
        explanation = explain(
            module, image, target, methods=methods, classes=trained.classes, settings=settings,
            temperature=trained.temperature, seconds=budget, orders=3, name=words,
        )  # fmt: skip
        answer = (
            explanation.target
            if explanation.probability is None
            else f"{explanation.target}, {explanation.probability:.1%}"
        )
        heading = f"{true}: {answer}" if true != explanation.target else answer
        figures.append(both(partial(strip, explanation, heading=heading)))
        for method, one in explanation.maps.items():
            curve = explanation.curves[method]
            shuffled = explanation.shuffled_similarity.get(method, {}).get("all")
            rows.append(
                (true, explanation.target, one.title, curve.faithfulness, curve.insertion_area, curve.deletion_area,
                 explanation.curves["edges"].faithfulness, explanation.curves["random"].faithfulness, shuffled)
            )  # fmt: skip
        made.append(explanation)
    if not made:
        return None
    many = "classes" if "labels" in trained.task.offers else "images"
    return gathered(made, figures, rows, count, time.monotonic() - began, many=many)


def above_zero(values: Sequence[float], *, tried: int) -> float:
    """One-sided t-test of a mean over images against 0, for the best of `tried` methods; 1 with fewer than 3 images."""
    n = len(values)
    if n < 3:
        return 1.0
    from scipy.special import stdtr

    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    if error == 0:
        return 0.0 if np.mean(values) > 0 else 1.0
    return min(1.0, tried * float(stdtr(n - 1, -float(np.mean(values)) / error)))


def gathered(
    made: Sequence[Explanation],
    figures: Sequence[Figure],
    rows: Sequence[tuple[Cell, ...]],
    count: int,
    seconds: float,
    *,
    many: str = "classes",
) -> Finding:
    """The report's section from its explanations."""
    methods = list(made[0].maps)
    means = {m: float(np.mean([e.curves[m].faithfulness for e in made])) for m in methods}
    edges = float(np.mean([e.curves["edges"].faithfulness for e in made]))
    best = max(means, key=lambda m: means[m])
    title = made[0].maps[best].title
    chance = float(np.mean([e.curves["random"].faithfulness for e in made]))
    ahead = [
        e.curves[best].faithfulness - max(e.curves[b].faithfulness for b in ("edges", "random"))
        for e in made
    ]
    p = above_zero(ahead, tried=len(methods))
    ahead_enough = means[best] > max(edges, chance, 0) + CLEAR
    good = ahead_enough and p < LEVEL
    of = counted(len(made), "image") if len(made) == count else f"{len(made)} of {count} {many}"
    be = "is" if len(made) == 1 else "are"
    against = f"{edges:+.2f} for an edge detector that knows nothing of the network, {chance:+.2f} for chance (p "
    against += "< 0.001)" if p < 0.001 else f"= {p:.2g})"
    verdict = (
        f"{title} is the most faithful map: {means[best]:+.2f} on average over {of}, against {against}."
        if good
        else f"{title} is ahead, but {of} {be} too few to show that it is better than chance: {means[best]:+.2f} on "
        f"average, against {against}."
        if ahead_enough and len(made) < FEW
        else f"No map explains these predictions: {title}, the best, has {means[best]:+.2f} on average over {of}, against "
        f"{against}."
    )
    unmoved = [
        m for m in methods if sum(e.ignores_weights(m) is not None for e in made) > len(made) / 2
    ]  # fmt: skip
    advice = ""
    if unmoved:
        names = ", ".join(made[0].maps[m].title for m in unmoved)
        advice = (
            f"On most of them {names} hardly changes when the weights are shuffled: it shows the image more than the "
            "network."
        )
    return Finding(
        name="explanations",
        title="Which pixels decided",
        verdict=verdict,
        status="note" if good else "warning",
        advice=advice,
        tables=(
            Table(
                columns=("true class" if many == "classes" else "true", "predicted", "method", "faithful", "put in",
                         "taken out", "edges", "chance", "weights shuffled"),
                rows=tuple(rows),
                formats=("", "", "", "+.2f", ".2f", ".2f", "+.2f", "+.2f", ".2f"),
                caption="Faithful: area under the prediction's probability while what the map marks is put into a blurred "
                "image, minus the area while it is taken out; edges and chance: the same for an edge detector and for "
                "random order. Shuffled: rank correlation with the map of the network whose weights are shuffled.",
            ),
        ),
        figures=tuple(figures),
        data={
            "faithfulness": means,
            "edges": edges,
            "best": best,
            "p": p,
            "images": len(made),
            "classes": count,
        },
        seed=0,
        seconds=round(seconds, 2),
    )  # fmt: skip
