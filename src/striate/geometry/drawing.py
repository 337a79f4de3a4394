"""Figures: receptive fields over an image, their growth with depth, pixel utilisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.errors import UsageError
from striate.figures import BLUE, CYCLE, GRID, INK, ORANGE, new_figure, render, style
from striate.findings import Figure
from striate.geometry.exact_field import receptive_field, utilisation
from striate.geometry.geometry import Geometry, Layer, axis_names

NAMES = {"y": "rows", "x": "columns", "z": "planes"}


def draw_growth(geometry: Geometry) -> Figure | None:
    """The largest receptive field so far (pixels) against depth, one line an axis; None if no layer has one."""
    layers = _placed(geometry)
    if len(layers) < 2:
        return None
    names = [NAMES.get(a, a) for a in axis_names(geometry.axes)]
    series = [
        np.maximum.accumulate(
            [a.size for x in layers if (a := x.receptive_field[k]) is not None]
        ).tolist()
        for k in range(geometry.axes)
    ]
    same = all(s == series[0] for s in series)
    image = geometry.image
    with style():
        figure = new_figure(6.4, 3.2)
        ax = figure.add_subplot()
        for k, sizes in enumerate(series[:1] if same else series):
            label = "receptive field" if same else f"receptive field, {names[k]}"
            ax.step(range(1, len(sizes) + 1), sizes, where="post", color=CYCLE[k], label=label)
        for k in range(1 if len(set(image)) == 1 else geometry.axes):
            what = "image" if len(set(image)) == 1 else f"image, {names[k]}"
            ax.axhline(image[k], color=GRID, linestyle="--", linewidth=1)
            ax.annotate(f"{what}: {image[k]} px", (0.01, image[k]), xycoords=("axes fraction", "data"),
                        xytext=(0, 3), textcoords="offset points", fontsize=9, color=INK)  # fmt: skip
        ax.set_xlabel("operation, in the order they run")
        ax.set_ylabel("pixels")
        ax.set_ylim(bottom=0)
        ax.set_xlim(1, len(layers))
        if not same:
            ax.legend(loc="upper left")
        last = layers[-1]
        return render(
            figure,
            caption=f"How far each operation sees, up to {last.name}; after it the whole input is seen.",
            alt=f"The receptive field grows from {series[0][0]} to {series[0][-1]} pixels over {len(layers)} operations.",
        )


def _placed(geometry: Geometry) -> list[Layer]:
    """The layers whose positions lie on axes of the image and see a part of it each."""
    values = geometry.values
    return [
        x
        for x in geometry.layers
        if x.receptive_field
        and None not in x.receptive_field
        and values[geometry.records[x.record].output].spatial
    ]


def representative(geometry: Geometry, most: int = 6) -> list[Layer]:
    """Layers at which the receptive field has grown visibly: up to `most`, the first and the last among them."""
    grown: list[Layer] = []
    for layer in _placed(geometry):
        sizes = [a.size for a in layer.receptive_field if a is not None]
        before = (
            [a.size for a in grown[-1].receptive_field if a is not None]
            if grown
            else [0] * len(sizes)
        )
        if any(s > b for s, b in zip(sizes, before, strict=True)) and any(s > 1 for s in sizes):
            grown.append(layer)
    if len(grown) <= most:
        return grown
    picks = np.unique(np.linspace(0, len(grown) - 1, most).round().astype(int))
    return [grown[i] for i in picks]


def draw_receptive_fields(
    geometry: Geometry,
    image: np.ndarray,
    layers: Sequence[str] | None = None,
    position: tuple[float, float] = (0.5, 0.5),
    *,
    png: bool = True,
) -> Figure:
    """Boxes on an image: what one position of each layer sees, growing layer by layer.

    image: (H, W) or (H, W, 3), uint8 or floats from 0 to 1, of the traced size. layers: names; a few are chosen if not
    given. position: the place in the layer's map as fractions of its height and width. png: or SVG.
    Raises UsageError if the network is not two-dimensional or the image has another size.
    """
    _two_axes(geometry)
    if image.shape[:2] != geometry.image:
        height, width = geometry.image
        raise UsageError(
            f"the image has {image.shape[0]}x{image.shape[1]} pixels but the network was traced on {height}x{width}; "
            "resize it or trace again"
        )
    chosen = [x.name for x in representative(geometry)] if layers is None else list(layers)
    with style():
        from matplotlib import colormaps
        from matplotlib.patches import Rectangle

        height, width = geometry.image
        figure = new_figure(7.2, 4.4)
        ax = figure.add_subplot()
        ax.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
        colours = colormaps["plasma"](np.linspace(0.95, 0.25, max(len(chosen), 1)))
        handles = []
        for name, colour in zip(chosen, colours, strict=True):
            value = geometry.values[geometry.record(name).output]
            place = [
                min(int(f * n), n - 1)
                for f, n in zip(position, (n for n in value.extents if n), strict=False)
            ]
            box = receptive_field(geometry, name, place).box
            rows, cols = box[0], box[1]
            assert rows is not None
            assert cols is not None
            size = (cols[1] - cols[0], rows[1] - rows[0])
            corner = (cols[0] - 0.5, rows[0] - 0.5)
            ax.add_patch(
                Rectangle(corner, *size, fill=False, edgecolor="black", linewidth=3.4, alpha=0.55)
            )
            handles.append(
                ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=2,
                                       label=f"{name}: {size[1]}×{size[0]}"))
            )  # fmt: skip
        ax.set_axis_off()
        ax.set_xlim(-1, width)
        ax.set_ylim(height, -1)
        if handles:
            figure.legend(handles=handles, loc="outside right upper", title="sees, in pixels")
        return render(
            figure,
            caption="What one position of each layer sees of the image, clipped at the border.",
            alt=f"Nested boxes on an image, one for each of {len(chosen)} layers.",
            png=png,
        )


def draw_utilisation(
    geometry: Geometry, layer: str | None = None, *, png: bool | None = None
) -> Figure:
    """A map of how often each pixel is read (lecture 001), with its numbers where there are few.

    layer: the last one that keeps positions if not given. png: or SVG, which small maps are if it is not given.
    """
    _two_axes(geometry)
    counts = utilisation(geometry, layer)
    with style():
        figure = new_figure(4.8, 4.0)
        ax = figure.add_subplot()
        shown = ax.imshow(counts, vmin=0)
        if max(counts.shape) <= 12:
            for place, n in np.ndenumerate(counts):
                dark = n < counts.max() * 0.6
                ax.text(place[1], place[0], str(n), ha="center", va="center", fontsize=9,
                        color="white" if dark else "black")  # fmt: skip
        figure.colorbar(shown, label="positions that see the pixel")
        ax.set_xlabel("column")
        ax.set_ylabel("row")
        name = layer or "the last layer with positions"
        return render(
            figure,
            caption=f"Pixel utilisation by {name}: from {counts.min():,} to {counts.max():,} times.",
            alt="A map of counts, lowest at the corners."
            if counts[0, 0] == counts.min()
            else "A map of counts.",
            png=max(counts.shape) > 64 if png is None else png,
        )


def _two_axes(geometry: Geometry) -> None:
    if geometry.axes != 2:
        raise UsageError(
            f"this figure is drawn for networks of images (two spatial axes), the traced one has {geometry.axes}"
        )


def draw_effective(
    mask: np.ndarray, strength: np.ndarray, box: tuple[tuple[int, int], tuple[int, int]], name: str
) -> Figure:
    """Gradient strength beside its profile, the theoretical box around it; `mask` is the theoretical set."""
    rows, cols = box
    pad = max(2, (rows[1] - rows[0]) // 10)
    view = (max(rows[0] - pad, 0), min(rows[1] + pad, strength.shape[0]),
            max(cols[0] - pad, 0), min(cols[1] + pad, strength.shape[1]))  # fmt: skip
    with style():
        from matplotlib.colors import PowerNorm
        from matplotlib.patches import Rectangle

        figure = new_figure(8.4, 3.8)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        top = float(strength.max()) or 1.0
        left.imshow(strength / top, norm=PowerNorm(0.5, 0, 1))
        left.add_patch(Rectangle((cols[0] - 0.5, rows[0] - 0.5), cols[1] - cols[0], rows[1] - rows[0], fill=False,
                                 edgecolor=ORANGE, linewidth=2))  # fmt: skip
        left.set_xlim(view[2] - 0.5, view[3] - 0.5)
        left.set_ylim(view[1] - 0.5, view[0] - 0.5)
        left.set_title("gradient, root scale")
        left.set_xlabel("column")
        left.set_ylabel("row")
        profile = strength.sum(0) / (strength.sum(0).max() or 1.0)
        right.plot(
            range(view[2], view[3]), profile[view[2] : view[3]], color=BLUE, label="effective"
        )
        flat = mask.any(0).astype(float)
        right.step(
            range(view[2], view[3]),
            flat[view[2] : view[3]],
            where="mid",
            color=ORANGE,
            label="theoretical",
        )
        right.set_title("along the columns")
        right.set_xlabel("column")
        right.set_ylabel("share of the strongest")
        right.set_ylim(0, 1.22)
        right.legend(loc="upper center", ncols=2)
        return render(
            figure,
            caption=f"Effective receptive field of {name}: mean gradient over random inputs. "
            "The box is what can be seen at all.",
            alt="A bright centre that fades towards the theoretical box.",
            png=True,
        )
