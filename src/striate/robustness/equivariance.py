"""Where shift invariance comes from and where it is lost: equivariance error after each layer, aliasing at each stride."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.findings import Table
from striate.robustness.context import Context
from striate.robustness.transforms import shifted

IMAGES = 64


@dataclass(frozen=True)
class LayerShift:
    """One layer under shift.

    stride: pixels of the image between its positions. at_stride: equivariance error after a shift of `stride` pixels,
    which a convolution follows exactly but for its borders. at_one: after a shift of one pixel, against the map moved by
    1 / stride of a position. Both are mean squared differences in the map's own variance; 2 is unrelated.
    aliased: share of the energy before the stride that lies above the new Nyquist frequency; None without a stride.
    """

    name: str
    size: int
    stride: int
    at_stride: float
    at_one: float
    aliased: float | None


def layer_shifts(model: nn.Module, images: Tensor) -> list[LayerShift]:
    """Every leaf module that gives maps (N, C, H, W), in the order they run, under shifts to the right."""
    modules = {n: m for n, m in model.named_modules() if n and not list(m.children())}
    with torch.inference_mode():
        with maps_of(modules) as base:
            forward(model, images)
        width = images.shape[-1]
        shifts: list[LayerShift] = []
        moved: dict[int, dict[str, tuple[Tensor, Tensor]]] = {}
        for name, (given, out) in base.items():
            stride = max(1, round(width / out.shape[-1]))
            if out.shape[-1] < 3 or stride >= width // 2:
                continue
            for s in {1, stride}:
                if s not in moved:
                    with maps_of(modules) as here:
                        forward(model, shifted(images, 0, s))
                    moved[s] = here
            if name not in moved[stride] or name not in moved[1]:
                continue
            one = moved[1][name][1]
            f = 1 / stride
            previous = torch.cat([out[..., :1], out[..., :-1]], -1)
            shifts.append(
                LayerShift(
                    name=name.removeprefix("model."),
                    size=out.shape[-1],
                    stride=stride,
                    at_stride=_error(moved[stride][name][1], previous),
                    at_one=_error(one, (1 - f) * out + f * previous),
                    aliased=aliasing(modules[name], given),
                )
            )
    return shifts


def _error(actual: Tensor, expected: Tensor) -> float:
    """Mean squared difference within the border positions, in the variance of what was wanted."""
    actual, expected = actual[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1]
    spread = float(expected.var())
    return float(((actual - expected) ** 2).mean()) / spread if spread > 1e-12 else 0.0


def aliasing(module: nn.Module, given: Tensor) -> float | None:
    """Share of the energy, before the module's stride, above what the strided grid can carry; None without a stride.

    The module runs at stride 1 on its own input (N, C, H, W); its mean over positions is left out.
    """
    stride = getattr(module, "stride", None)
    pair = (stride, stride) if isinstance(stride, int) else stride
    if not isinstance(pair, tuple) or len(pair) != 2 or max(pair) < 2:
        return None
    with borrowed(module, train=None), torch.no_grad():
        module.stride = 1 if isinstance(stride, int) else (1, 1)  # type: ignore[assignment]
        out = forward(module, given).float()
    out = out - out.mean((-2, -1), keepdim=True)
    energy = torch.fft.fft2(out).abs() ** 2
    rows = torch.fft.fftfreq(out.shape[-2]).abs() > 0.5 / pair[0]
    columns = torch.fft.fftfreq(out.shape[-1]).abs() > 0.5 / pair[1]
    above = rows[:, None] | columns[None]
    total = float(energy.sum())
    return float(energy[..., above].sum()) / total if total > 1e-12 else 0.0


@contextmanager
def maps_of(modules: dict[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """{name: (input, output)} of modules with maps, in the order they ran; the first time where one runs twice."""
    maps: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        def hook(m: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            if name not in maps and isinstance(out, Tensor) and out.dim() == 4 and len(given) == 1:
                maps[name] = (
                    given[0].clone(),
                    out.clone(),
                )  # behind it may be an activation in place

        return hook

    handles = [m.register_forward_hook(keep(n)) for n, m in modules.items()]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def layer_tables(context: Context) -> tuple[Table, ...]:
    """The layers' table for the shift probe; empty for a network without maps."""
    layers = layer_shifts(context.model, context.images[:IMAGES])
    if not layers:
        return ()
    return (
        Table(
            columns=("layer", "size", "stride", "error at its stride", "error at one pixel", "aliased"),
            rows=tuple((x.name, x.size, x.stride, x.at_stride, x.at_one, x.aliased) for x in layers),
            formats=("", "d", "d", ".3f", ".3f", ".1%"),
            caption="Equivariance after each layer: how far its map of a shifted image is from its shifted map, in the "
            "map's variance (0: it moves along; 2: unrelated), and the share of energy that a stride folds into wrong "
            "frequencies.",
        ),
    )  # fmt: skip
