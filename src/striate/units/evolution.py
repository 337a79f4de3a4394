"""Evolution: what units respond to as a training goes on (Zeiler and Fergus 2014, figure 4; lecture 002)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.attribution import project
from striate.attribution.layers import compute, find_layer, geometry_of
from striate.borrow import borrowed
from striate.errors import UsageError
from striate.units.fields import crop

UNITS = 4  # shown a layer
BATCH = 64
DEAD = 1e-9  # a largest activation that counts as none


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One unit after one epoch.

    image: which of the images drives it most; activation: how much. pixels (C, h, w): that activation sent down to the
    pixels of the image that it sees. crop (C, h, w): what lies there in the image.
    """

    image: int
    activation: float
    pixels: Tensor
    crop: Tensor


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """Units through a training, E snapshots of it.

    epochs: of the snapshots, ascending. features: layer -> unit -> a Feature an epoch, None where no image drives it.
    peaks: layer -> (E, N, U), the largest activation of each of U units on each of N images.
    """

    epochs: tuple[int, ...]
    features: Mapping[str, Mapping[int, tuple[Feature | None, ...]]]
    peaks: Mapping[str, Tensor]

    def likeness(self, layer: str) -> tuple[float | None, ...]:
        """For each epoch how far the units are as in the last: the median over units of the correlation, over the images,
        of their largest activations with those in the end; units that are constant in either count as 0."""
        peaks = self.peaks[layer].double().numpy()
        last = peaks[-1]
        alive = last.std(0) > DEAD
        if not alive.any():
            return (None,) * len(self.epochs)
        return tuple(float(np.median(correlations(now[:, alive], last[:, alive]))) for now in peaks)

    def settled(self, layer: str, least: float = 0.9) -> int | None:
        """The first epoch from which on the likeness stays at `least` or above; None where the layer has no units."""
        settled = None
        for epoch, value in zip(reversed(self.epochs), reversed(self.likeness(layer)), strict=True):
            if value is None or value < least:
                break
            settled = epoch
        return settled


def evolve(
    module: nn.Module,
    snapshots: Mapping[int, Mapping[str, Any]],
    images: Tensor,
    layers: Sequence[str],
    *,
    units: int | Mapping[str, Sequence[int]] = UNITS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Evolution:
    """The strongest activation of units over images, after each epoch, projected down to the pixels by a deconvnet.

    "A randomly chosen subset of features at epochs [1, 2, 5, 10, 20, 30, 40, 64] ... the strongest activation (across all
    training examples) for a given feature map, projected down to pixel space" (Zeiler and Fergus 2014). module:
    the network that was trained; it is not changed. snapshots: epoch -> its state, such as `Snapshots.weights`. images:
    (N, C, H, W) as the module reads them. layers: names of the trace, activations or what follows them. units: how many
    a layer, drawn by `seed` from those that some image drives in the end, or which. Raises UsageError for no snapshots,
    a layer or a unit that does not exist, weights of another network, and what `project` refuses.
    """
    if not snapshots:
        raise UsageError("there is no snapshot; train with callbacks=[striate.Snapshots()]")
    epochs = tuple(sorted(snapshots))
    copied = copy.deepcopy(module).eval()
    geometry = geometry_of(copied, images)
    records = {name: find_layer(geometry, name) for name in layers}
    last = max(layer.record for layer in records.values())
    peaks: dict[str, list[Tensor]] = {name: [] for name in layers}
    for epoch in epochs:
        load(copied, snapshots[epoch], epoch)
        parts: dict[str, list[Tensor]] = {name: [] for name in layers}
        with borrowed(copied), torch.no_grad():
            for part in images.split(BATCH):
                values = compute(geometry, copied, {geometry.inputs[0]: part}, stop=last)
                for name, layer in records.items():
                    value = values[geometry.records[layer.record].output]
                    if value.dim() not in (2, 4):
                        raise UsageError(f"{name} has no channels; choose an activation")
                    parts[name].append(value.flatten(2).amax(2) if value.dim() == 4 else value)
        for name in layers:
            peaks[name].append(torch.cat(parts[name]).cpu())
    joined = {name: torch.stack(several) for name, several in peaks.items()}
    chosen = {name: _chosen(joined[name][-1], units, name, seed) for name in layers}
    features: dict[str, dict[int, list[Feature | None]]] = {
        name: {unit: [] for unit in several} for name, several in chosen.items()
    }
    done, total = 0, len(epochs) * sum(map(len, chosen.values()))
    for step, epoch in enumerate(epochs):
        load(copied, snapshots[epoch], epoch)
        for name, several in chosen.items():
            for unit in several:
                strongest = joined[name][step][:, unit]
                features[name][unit].append(
                    _feature(copied, geometry, images, name, unit, strongest)
                )
                done += 1
                if progress is not None:
                    progress(done, total)
    return Evolution(
        epochs=epochs,
        features={n: {u: tuple(f) for u, f in several.items()} for n, several in features.items()},
        peaks=joined,
    )


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each column of a with the same of b, (N, U) each: (U,); 0 where a column is constant."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.where(size > DEAD, (a * b).sum(0) / np.maximum(size, DEAD), 0.0)


def load(module: nn.Module, state: Mapping[str, Any], epoch: int) -> None:
    """Put a snapshot's weights into a module. Raises UsageError where they are another network's."""
    try:
        module.load_state_dict(dict(state))
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"the snapshot of epoch {epoch} is not of this network") from error


def _chosen(last: Tensor, units: int | Mapping[str, Sequence[int]], name: str, seed: int) -> list[int]:  # fmt: skip
    """Units of a layer, from the largest activations (N, U) in the end."""
    if isinstance(units, int):
        alive = (last.amax(0) > DEAD).nonzero()[:, 0]
        order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
        return sorted(alive[order[:units]].tolist())
    several = list(units.get(name, ()))
    if any(not 0 <= unit < last.shape[1] for unit in several):
        raise UsageError(
            f"{name} has {last.shape[1]} units, 0 to {last.shape[1] - 1}; got {several}"
        )
    return several


def _feature(
    module: nn.Module, geometry: Any, images: Tensor, name: str, unit: int, strongest: Tensor
) -> Feature | None:
    at = int(strongest.argmax())
    if float(strongest[at]) <= DEAD:
        return None
    (one,) = project(module, images[at : at + 1], name, unit, geometry=geometry)
    box = [span or (0, n) for span, n in zip(one.field.box, images.shape[2:], strict=True)]
    return Feature(
        image=at,
        activation=one.activation,
        pixels=crop(one.pixels, box).detach().cpu().float(),
        crop=crop(images[at], box).cpu().float(),
    )
