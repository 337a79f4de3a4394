"""What is shown of a perceptual distance: both images, where they differ, each layer's share, and a scale to read it by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from striate.figures import GRID, SEQUENTIAL, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.similarity import Comparer, Distance, pixel_scores
from striate.similarity.scale import scale_of

SHOWN = 640  # pixels of the longer side in a picture
EQUAL = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Pairs that were compared: `first` and `second` (N, C, H, W) in [0, 1] as they were, their distance, and by what."""

    first: Tensor
    second: Tensor
    names: tuple[tuple[str, str], ...]
    distance: Distance
    network: str
    comparer: Comparer


def perceptual_finding(measured: Measured, *, scale: bool = True, seed: int = 0) -> Finding:
    """The finding of one pair. scale: also the distance of the first image from itself under known distortions."""
    m, d = measured, measured.distance
    distance = float(d.distance[0])
    a, b = m.first[0], m.second[0]
    pixels = pixel_scores(a, b)
    steps = scale_of(m.comparer, a, seed=seed) if scale and distance > EQUAL else {}
    name = "LPIPS distance" if d.weighted else f"deep-feature distance of {m.network}"
    first, second = m.names[0]
    if distance <= EQUAL:
        verdict = f"{m.network} sees no difference between {first} and {second}."
    else:
        verdict = (
            f"The {name} between {first} and {second} is {distance:.3g}{_between(distance, steps)}."
        )
    layers = tuple(
        (layer, float(share[0]), float(share[0]) / distance if distance > EQUAL else 0.0)
        for layer, share in d.layers.items()
    )
    tables = [
        Table(
            columns=("measure", "value", "equal images have"),
            rows=(
                (name, distance, "0"),
                ("PSNR (dB)", pixels["psnr"], "no bound"),
                ("SSIM", pixels["ssim"], "1"),
                ("MS-SSIM", pixels["ms-ssim"], "1"),
            ),
            formats=("", ".4g", ""),
            caption="PSNR, SSIM and MS-SSIM compare pixels; a dash: equal images, or images too small for the measure.",
        ),
        Table(
            columns=("layer", "distance", "share"),
            rows=layers,
            formats=("", ".4f", ".0%"),
            caption="Mean squared difference of the layer's features, scaled to length 1 at each position; finest first.",
        ),
    ]
    if steps:
        tables.append(
            Table(
                columns=("distortion of the first image", "distance"),
                rows=tuple(steps.items()),
                formats=("", ".4g"),
                caption="What the number means: the first image's distance from itself under changes that everybody knows.",
            )
        )
    return Finding(
        name="compare",
        title="How different two images look to a network",
        verdict=verdict,
        tables=tuple(tables),
        figures=(_figure(a, b, d.map[0], m.names[0], distance),),
        data={
            "distance": distance,
            "kind": "lpips" if d.weighted else "deep-feature",
            "network": m.network,
            "layers": {layer: share for layer, share, _ in layers},
            **pixels,
            "scale": steps,
            "images": list(m.names[0]),
        },
        seed=seed,
    )


def _between(distance: float, steps: dict[str, float]) -> str:
    """Where a distance lies on the scale, in words."""
    if not steps:
        return ""
    below = [name for name, value in steps.items() if value <= distance]
    above = [name for name, value in steps.items() if value > distance]
    nearer = [f"nearer than {above[0]}"] if above else []
    farther = [f"farther than {below[-1]}"] if below else []
    return f", on the first image's own scale {' and '.join(farther + nearer)}"


def _figure(a: Tensor, b: Tensor, where: Tensor, names: tuple[str, str], distance: float) -> Figure:
    """The images side by side, and the second one dimmed under the map of differences, with its scale."""
    wide = a.shape[-1] > 1.6 * a.shape[-2]
    ratio = a.shape[-2] / a.shape[-1]
    values = where.double().numpy()
    top = float(np.quantile(values, 0.995)) or float(values.max())
    with style():
        size = (7.2, 3 * 6.6 * ratio + 1.0) if wide else (9.6, 3.0 * ratio + 0.45)
        figure = new_figure(*size)
        grid: Any = figure.subplots(3, 1) if wide else figure.subplots(1, 3)
        for axes, image, title in zip(
            grid, (a, b), (f"A  {names[0]}", f"B  {names[1]}"), strict=False
        ):
            axes.imshow(_shown(image), cmap="gray", vmin=0, vmax=1)
            axes.set_title(_short(title), fontsize=9)
        grey = _shown(b)
        grey = grey.mean(-1) if grey.ndim == 3 else grey
        last = grid[2]
        last.imshow(0.75 + 0.25 * grey, cmap="gray", vmin=0, vmax=1)
        drawn = last.imshow(
            values, cmap=SEQUENTIAL, vmin=0, vmax=top or 1, alpha=0.35 + 0.6 * np.clip(values / (top or 1), 0, 1)
        )  # fmt: skip
        last.set_title(f"where they differ (mean {distance:.3g})", fontsize=9)
        bar = figure.colorbar(drawn, ax=last, fraction=0.05, pad=0.02)
        if bar.solids is not None:
            bar.solids.set_alpha(1)
        bar.ax.tick_params(labelsize=8)
        for axes in grid:
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_color(GRID)
        return render(
            figure,
            caption="Each layer's difference lies over the middle of what its positions see; yellow: most.",
            alt="Two images, and a map of where a network sees them differ.",
            png=True,
        )


def _shown(image: Tensor) -> np.ndarray:
    """(H, W) or (H, W, 3) of an image (C, H, W): three channels in colour, else the first; reduced where it is large."""
    step = max(1, max(image.shape[-2:]) // SHOWN)
    pixels = image[:, ::step, ::step].permute(1, 2, 0).numpy()
    return pixels if pixels.shape[-1] == 3 else pixels[..., 0]


def _short(text: str, most: int = 34) -> str:
    text = text.replace("$", r"\$")
    return text if len(text) <= most else f"{text[:3]}…{text[-(most - 4) :]}"
