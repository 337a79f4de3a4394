"""Filters: structure or noise, duplicates, empty ones, and how far training moved them (lecture 003)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.diagnostics.filter_grid import draw_filters
from striate.diagnostics.soundness import require_parameters
from striate.errors import UsageError
from striate.findings import Cell, Finding, Status, Table
from striate.kernels import BEYOND, Filters, examine
from striate.wording import counted, percent

MANY_TWINS, MANY_EMPTY = 0.5, 0.1  # share of a layer's filters to warn of
IDLE = "Such a layer learned little; where the accuracy is good that does no harm, else train longer or faster."
STAYED = 0.9  # correlation with the first weights from which a layer has hardly moved
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True, eq=False)
class LayerFilters:
    """A layer's filters examined. like_start: correlation with the first weights, None where they are not known."""

    name: str
    filters: Filters
    like_start: float | None

    @property
    def noise(self) -> bool | None:
        """Whether the layer as a whole cannot be distinguished from random weights; None where it has too few for that."""
        structure = self.filters.structure
        return None if structure is None else structure < BEYOND

    def share(self, which: Tensor) -> float:
        """Of the layer's filters."""
        return float(which.sum()) / len(which)


def filters(
    model: nn.Module,
    *,
    start: nn.Module | None = None,
    shape: Sequence[int] | None = None,
    seed: int = 0,
) -> Finding:
    """Distinguish structure from noise in each convolution's filters, and find duplicates and empty ones.

    start: the same network with the weights that its training began with, if known. shape: (C, H, W) of the images, so that
    a first layer that is fully connected is looked at as images, too. A layer is noise where its filters have no more
    structure than the same weights in random places (see `striate.kernels`). Lecture 003: "learned filters exhibit structure
    and are uncorrelated". Raises UsageError for a network without filters, DataError for weights that are not finite.
    """
    require_parameters(model)
    first = dict(start.named_parameters()) if start is not None else {}
    layers = []
    for name, kernels, groups, weight in filters_of(model, shape):
        begun = first.get(f"{name}.weight" if name else "weight")
        like = correlation(weight, begun) if begun is not None else None
        layers.append(
            LayerFilters(name, examine(kernels, groups=groups, opposite=True, seed=seed), like)
        )
    if not layers:
        raise UsageError("the network has no convolution whose filters could be examined")
    verdict, status, advice = verdict_of(layers)
    shown = [layers[0]]
    worst = max(layers, key=badness)
    if worst is not layers[0] and badness(worst) > 0.05:
        shown.append(worst)
    return Finding(
        name="diagnose-filters",
        title="Filters: structure or noise",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(table_of(layers),),
        figures=tuple(draw_filters(x.name, x.filters) for x in shown),
        data={
            "layers": {
                x.name: {
                    "filters": len(x.filters.kernels),
                    "structure": x.filters.structure,
                    "noise": x.noise,
                    "noisy": x.filters.noisy.nonzero().flatten().tolist(),
                    "duplicates": x.filters.duplicates.nonzero().flatten().tolist(),
                    "empty": x.filters.empty.nonzero().flatten().tolist(),
                    "like_start": x.like_start,
                }
                for x in layers
            }
        },
        seed=seed,
    )


def filters_of(
    model: nn.Module, shape: Sequence[int] | None
) -> list[tuple[str, Tensor, int, Tensor]]:
    """(name, kernels (U, C, h, w), groups, weight) of each convolution and of a first layer on the flat image."""
    banks: list[tuple[str, Tensor, int, Tensor]] = []
    for name, part in model.named_modules():
        if isinstance(part, CONVOLUTIONS):
            weight = part.weight.detach().cpu().float()
            kernels = weight
            if isinstance(part, nn.ConvTranspose2d):
                kernels = weight.unflatten(0, (part.groups, -1)).transpose(1, 2).flatten(0, 1)
            banks.append((name, kernels, part.groups, weight))
        elif (
            isinstance(part, nn.Linear)
            and not banks
            and shape is not None
            and part.in_features == math.prod(shape)
        ):
            weight = part.weight.detach().cpu().float()
            banks.append((name, weight.unflatten(1, tuple(shape)), 1, weight))
    return banks


def correlation(a: Tensor, b: Tensor) -> float | None:
    """Of two tensors of the same shape; None where the shapes differ or one is constant."""
    if a.shape != b.shape or a.numel() < 2:
        return None
    pair = torch.stack([a.flatten().double(), b.detach().cpu().flatten().double()])
    value = float(torch.corrcoef(pair)[0, 1])
    return value if math.isfinite(value) else None


def badness(layer: LayerFilters) -> float:
    """How large a share of a layer's filters is worth marking."""
    f = layer.filters
    return layer.share(f.duplicates | f.empty | (f.noisy if layer.noise else f.empty))


def names(layers: Sequence[LayerFilters], most: int = 3) -> str:
    """`a, b, c and 4 others`."""
    named = [x.name for x in layers]
    if len(named) <= most:
        return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    return f"{', '.join(named[:most])} and {counted(len(named) - most, 'other')}"


def verdict_of(layers: list[LayerFilters]) -> tuple[str, Status, str]:
    """One sentence: noise first, then what never moved, duplicates and empty filters."""
    judged = [x for x in layers if x.noise is not None]
    plain = [x for x in judged if x.noise]
    stayed = [x for x in layers if x.like_start is not None and x.like_start >= STAYED]
    twins = max(layers, key=lambda x: x.share(x.filters.duplicates))
    empty = max(layers, key=lambda x: x.share(x.filters.empty))
    parts: list[str] = []
    advice = ""
    status: Status = "good"
    if judged and len(plain) == len(judged):
        parts.append(
            f"the filters of {'none of ' if len(judged) > 1 else ''}{counted(len(judged), 'layer')} "
            f"{'can' if len(judged) > 1 else 'cannot'} be distinguished from random weights"
        )
        status, advice = (
            "problem",
            "The network looks untrained: train it, longer, or with another learning rate.",
        )
    elif plain:
        parts.append(f"the filters of {names(plain)} cannot be distinguished from random weights")
        status = "warning" if len(plain) > len(judged) / 2 else "note"
        advice = IDLE if status == "note" else "Train longer or with another learning rate."
    if stayed:
        many = 2 * len(stayed) > len(layers)
        parts.append(
            f"the weights of {names(stayed)} still are nearly the first ones "
            f"(correlation {max(float(x.like_start or 0) for x in stayed):.2f})"
        )
        status = (
            "warning"
            if many and status in ("good", "note")
            else "note"
            if status == "good"
            else status
        )
        advice = advice or ("Train longer or with a higher learning rate." if many else IDLE)
    if (share := twins.share(twins.filters.duplicates)) > MANY_TWINS:
        parts.append(f"{share_of(twins, share)} have a near-duplicate")
        status = "warning" if status in ("good", "note") else status
        advice = (
            advice or "The layer is wider than it needs to be; a narrower one would do as well."
        )
    if (share := empty.share(empty.filters.empty)) > MANY_EMPTY:
        parts.append(f"{share_of(empty, share)} are empty")
        worse = share > 0.5 and status in ("good", "note")
        status = "warning" if worse else "note" if status == "good" else status
        advice = (
            advice
            or "Empty filters do nothing: lower the learning rate or the weight decay, or use a narrower layer."
        )
    if parts and status != "problem" and (rest := [x for x in judged if not x.noise]):
        parts.append(f"the filters of {counted(len(rest), 'layer')} have structure")
    if parts:
        text = "; ".join(parts)
        return text[0].upper() + text[1:] + ".", status, advice
    total = sum(len(x.filters.kernels) for x in layers)
    same = sum(int(x.filters.duplicates.sum()) for x in layers)
    gone = sum(int(x.filters.empty.sum()) for x in layers)
    few = [x for x in layers if x.noise is None and min(x.filters.kernels.shape[-2:]) >= 3]
    text = (
        f"The filters of {'all ' if len(judged) > 1 else ''}{counted(len(judged), 'layer')} of enough weights have structure"
        if judged
        else "No layer has weights enough to distinguish structure from noise"
    )
    text += f"; {same:,} of {total:,} filters have a near-duplicate and {gone:,} are empty"
    if few and judged:
        text += f" ({names(few)} {'has' if len(few) == 1 else 'have'} too few weights to judge)"
    return f"{text}.", "good" if judged else "note", ""


def share_of(layer: LayerFilters, share: float) -> str:
    """`30 % of the 64 filters of conv1`."""
    return f"{percent(share, 0)} of the {len(layer.filters.kernels):,} filters of {layer.name}"


def table_of(layers: list[LayerFilters]) -> Table:
    """A row a layer."""
    rows: list[tuple[Cell, ...]] = [
        (
            x.name,
            len(x.filters.kernels),
            " × ".join(map(str, x.filters.kernels.shape[1:])),
            x.filters.structure,
            None
            if x.filters.noise is None
            else float(x.filters.noisy[~x.filters.noise.isnan()].float().mean()),
            int(x.filters.duplicates.sum()),
            int(x.filters.empty.sum()),
            x.like_start,
        )
        for x in layers
    ]
    return Table(
        columns=("layer", "filters", "size", "structure", "like noise", "duplicates", "empty", "like its start"),
        rows=tuple(rows),
        formats=("", ",", "", ".1f", ".0%", ",", ",", ".2f"),
        caption="Structure: standard deviations beyond the same weights in random places; random weights reach about 2, and "
        f"{BEYOND:g} or more is structure (a dash: too few weights). Like noise: single filters that are like their own "
        "shuffles. Duplicates: |correlation| of 0.95 or more. Like its start: correlation with the start.",
    )  # fmt: skip
