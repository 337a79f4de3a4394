"""How far a segmentation network sees, and how far it uses what it sees."""

from __future__ import annotations

import numpy as np
import torch

from striate.answer import answer_of
from striate.borrow import forward
from striate.errors import GeometryError
from striate.figures import ORANGE, new_figure, render, style
from striate.findings import Figure, Finding
from striate.geometry import trace
from striate.tasks.segment.data import MaskSource
from striate.tasks.segment.data.source import MaskSplit
from striate.tasks.segment.findings.context import context, object_sides, used_side
from striate.tasks.trained import Trained

POINTS = 12  # places whose influence is averaged
MOST_MASKS = 60
CUT = 512  # pixels of an image that are looked at


def how_far(trained: Trained, source: MaskSource, split: MaskSplit) -> Finding:
    """Receptive field, effective receptive field over real images, and the sizes of the objects.

    Raises GeometryError where the network cannot be traced, or answers the same whatever it sees.
    """
    shape = (1, trained.preprocessing.channels, *trained.preprocessing.size)
    axes = list(trace(trained.model, shape))[-1].receptive_field
    field = max(axis.size for axis in axes if axis is not None) if axes and any(axes) else None
    strength, image, at = influence(trained, split)
    if not strength.any():
        raise GeometryError("no pixel has an influence on the logits yet; train longer")
    background = 0 if trained.classes[0].casefold() == "background" else None
    step = max(1, len(source.train) // MOST_MASKS)
    sides = object_sides(
        (source.train.mask(i) for i in range(0, len(source.train), step)), background
    )
    used = used_side(strength)
    return context(field, used, sides, (_draw(strength, image, at, field, used),))


def influence(trained: Trained, split: MaskSplit) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Mean influence of the pixels around a pixel on its winning logit, (2 * R + 1, 2 * R + 1), R the reach; with one
    image and the place in it that is shown.

    Influence: magnitude of the gradient, summed over channels, of pixels of objects as far as there are any.
    """
    rng = np.random.default_rng(trained.seed)
    model = trained.model
    reach = CUT // 2
    total = np.zeros((2 * reach + 1, 2 * reach + 1))
    shown: tuple[np.ndarray, tuple[int, int]] | None = None
    for _ in range(POINTS):
        index = int(rng.integers(len(split)))
        spots = split.anchors[index]
        classes = [c for c in spots if c != 0 and len(spots[c])] or list(spots)
        spot = spots[classes[int(rng.integers(len(classes)))]]
        row, col = (int(v) for v in spot[rng.integers(len(spot))])
        image = trained.preprocessing.colours(split.image(index))
        top, left = max(0, row - CUT // 2), max(0, col - CUT // 2)
        image = image[:, top : top + CUT, left : left + CUT]
        at = row - top, col - left
        x = trained.preprocessing.normalise(torch.from_numpy(image)[None]).requires_grad_(True)
        with torch.enable_grad():
            logit = answer_of(forward(model, x))[0, :, at[0], at[1]].max()
            (gradient,) = torch.autograd.grad(logit, x)
        strength = gradient[0].abs().sum(0).double().numpy()
        height, width = strength.shape
        total[reach - at[0] : reach - at[0] + height, reach - at[1] : reach - at[1] + width] += (
            strength / max(strength.sum(), 1e-30)
        )
        if shown is None:
            shown = image.transpose(1, 2, 0), at
    assert shown is not None
    return total / POINTS, *shown


def _draw(
    strength: np.ndarray, image: np.ndarray, at: tuple[int, int], field: int | None, used: int
) -> Figure:
    """An image with the receptive field and the used part around one pixel, beside the influence map."""
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    reach = strength.shape[0] // 2
    view = min(reach, max(used, 24))
    with style():
        figure = new_figure(7.2, 3.6)
        left, right = figure.subplots(1, 2)
        grey = image.shape[-1] == 1
        left.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None)
        if field is not None:
            _box(left, at, field, "white", "--")
        _box(left, at, used, ORANGE, "-")
        left.plot([at[1]], [at[0]], "+", color=ORANGE, markersize=9)
        left.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
        left.set_title("one pixel and what decides it")
        left.axis("off")
        part = strength[reach - view : reach + view + 1, reach - view : reach + view + 1]
        shown = right.imshow(
            part / part.max(),
            norm=PowerNorm(0.4, 0, 1),
            extent=(-view - 0.5, view + 0.5, view + 0.5, -view - 0.5),
        )
        right.add_patch(
            Rectangle(
                (-used / 2, -used / 2), used, used, fill=False, edgecolor=ORANGE, linewidth=1.8
            )
        )
        right.set_title("influence, mean of 12 pixels")
        right.set_xlabel("pixels to the right")
        right.set_ylabel("pixels below")
        figure.colorbar(shown, ax=right, shrink=0.85, label="of the strongest")
        return render(
            figure,
            caption=(
                f"Orange: the square of {used} pixels from which 90 % of the influence comes"
                + (
                    f"; dashed: the receptive field of {field} pixels."
                    if field is not None
                    else "."
                )
            ),
            alt=f"An influence map that falls off from its centre; 90 % lie within {used} pixels.",
            png=True,
            dpi=110,
        )


def _box(axes, at: tuple[int, int], side: int, colour: str, line: str) -> None:  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (at[1] - side / 2, at[0] - side / 2),
            side,
            side,
            fill=False,
            edgecolor=colour,
            linestyle=line,
            linewidth=1.6,
        )
    )
