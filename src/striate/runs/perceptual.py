"""Perceptual distance of images as people have them: files, arrays or tensors, by a network's name, run or module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Preprocessing
from striate.data.files import find_images
from striate.errors import DataError, GeometryError, UsageError
from striate.findings import Finding
from striate.models.stored import read_stored
from striate.ranges import check_ranges
from striate.runs.opening import open_trained
from striate.runs.outputs import output_path
from striate.runs.perceptual_finding import Measured, perceptual_finding
from striate.runs.run import Run
from striate.similarity import Comparer, Distance, are_linear, linear_weights
from striate.tasks.trained import Trained
from striate.writing import write_atomically

NETWORK = "efficientnet-lite0"  # ImageNet weights that come with the installation
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as Pillow makes grey of files (ITU-R BT.601)
Network = Run | Trained | nn.Module | str | Path
Weights = str | Path | Sequence[str | Path]


def perceptual_distance(
    a: Any,
    b: Any,
    network: Network = NETWORK,
    *,
    layers: Sequence[str] | None = None,
    weights: Weights | None = None,
    resize: bool = False,
) -> Distance:
    """How different images look to a network, and where (Zhang et al. 2018; lecture 003).

    a, b: one image each or as many of both, compared in pairs: files, arrays (H, W, C), tensors (N, C, H, W) or (C, H, W),
    uint8 or floats in [0, 1]. network: a run, its folder, a Trained, a spec with published weights, or a module, which takes
    tensors as it reads them. layers: names of `striate summary`; the last of each resolution if not given. weights: files of
    weights: those of the network's spec, and the linear weights of the package `lpips`; with both it is LPIPS.
    resize: read images as the network's preprocessing does; without it they keep their size, which must be equal.

    Without linear weights it is the distance of that network's features, not LPIPS. Floats that want a gradient get one.
    Raises UsageError for images of different size or number, for layers and weights that do not fit the network, and for a
    network without maps; DataError for a file that cannot be read.
    """
    return measured(a, b, network, layers, weights, resize).distance


def compare_images(
    a: Any,
    b: Any,
    network: Network = NETWORK,
    *,
    layers: Sequence[str] | None = None,
    weights: Weights | None = None,
    resize: bool = False,
    out: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
) -> Finding:
    """What `striate compare` shows of a pair: the distance, each layer's share, a scale, PSNR, SSIM, and where they differ.

    Arguments as in `perceptual_distance`, with one image a and b each. out: a `.png` for the picture; force: write over it.
    Raises UsageError for runs in place of images, and what `perceptual_distance` raises.
    """
    check_ranges(seed=seed)
    path = None if out is None else output_path(out, (".png",), force=force)
    for one in (a, b):
        if isinstance(one, str | Path) and (Path(one) / "run.toml").is_file():
            raise UsageError(
                f"{one} is a run, and compare takes two images; `striate probe A B` compares two runs"
            )
    pair = measured(a, b, network, layers, weights, resize)
    if len(pair.first) != 1:
        raise UsageError(
            f"one pair at a time, got {len(pair.first)}; perceptual_distance takes as many as there are"
        )
    found = perceptual_finding(pair, seed=seed)
    if path is not None:
        write_atomically(path, found.figures[0].content)
    return found


def measured(
    a: Any, b: Any, network: Network, layers: Sequence[str] | None, weights: Weights | None, resize: bool
) -> Measured:  # fmt: skip
    """As `perceptual_distance`, with the images and what compared them."""
    linear, own = _files(weights)
    if isinstance(network, nn.Module):
        if own is not None:
            raise UsageError(
                f"{own} holds the weights of a network, and the network was given as a module; load them into it"
            )
        module, kind, known = network.eval(), type(network).__name__, None
    else:
        trained = open_trained(network, weights=own) if own is not None else open_trained(network)
        module, kind, known = trained.model, trained.name, trained.preprocessing
    first, second = (_images(x, known, resize) for x in (a, b))
    _same_size(first, second, resize)
    x, y = torch.stack([p for _, p in first]), torch.stack([p for _, p in second])
    try:
        comparer = Comparer(
            module, (1, *x.shape[1:]), mean=() if known is None else known.mean, std=() if known is None else known.std,
            layers=layers, weights=linear,
        )  # fmt: skip
    except GeometryError as error:
        if known is None or resize or x.shape[-2:] == known.size:
            raise
        raise UsageError(
            f"{kind} does not run on {x.shape[-2]} × {x.shape[-1]} pixels; resize the images as in its training "
            f"({known.height} × {known.width}): resize=True, or --resize"
        ) from error
    names = tuple((p, q) for (p, _), (q, _) in zip(first, second, strict=True))
    return Measured(
        first=x.detach(), second=y.detach(), names=names, distance=comparer(x, y), network=kind, comparer=comparer
    )  # fmt: skip


def _files(weights: Weights | None) -> tuple[list[Tensor] | None, Path | None]:
    """Linear weights, and the file of a network's own, of the files given. Raises UsageError for two of a kind."""
    paths = [weights] if isinstance(weights, str | Path) else list(weights or ())
    linear, own = None, None
    for path in map(Path, paths):
        sets = [tensors for tensors in read_stored(path).sets.values() if are_linear(tensors)]
        if (linear if sets else own) is not None:
            what = "linear weights" if sets else "weights of a network"
            raise UsageError(f"two files hold {what}, the second is {path}; give one")
        if sets:
            linear = linear_weights(sets[0], path)
        else:
            own = path
    return linear, own


def _images(given: Any, known: Preprocessing | None, resize: bool) -> list[tuple[str, Tensor]]:
    """Each image with its name, (C, H, W) float in [0, 1], in the colours that the network takes."""
    if isinstance(given, Tensor) and given.is_floating_point() and not resize:
        batch = given[None] if given.dim() == 3 else given
        if batch.dim() != 4 or not batch.numel():
            raise UsageError(
                f"images are tensors (C, H, W) or (N, C, H, W), got the shape {tuple(given.shape)}"
            )
        low, high = float(batch.detach().min()), float(batch.detach().max())
        if known is not None and not (low >= 0 and high <= 1):
            raise UsageError(
                f"images hold numbers from {low:.6g} to {high:.6g}; give pixels in [0, 1], before they are normalised"
            )
        if known is not None:
            batch = _in_colours(batch, known.channels)
        return [(str(i), image) for i, image in enumerate(batch)]
    files = find_images(given)
    if not files.files:
        raise UsageError(f"there is no image in {given}; give a file, or a folder with some")
    how = known or Preprocessing(channels=3, height=1, width=1)
    found = []
    for name in files.files:
        image = files.image(name)
        if isinstance(image, np.ndarray):
            pixels = how.apply(image) if resize else how.colours(image)
        else:
            pixels = how.read(image) if resize else how.read_colours(image)
        found.append((name, torch.from_numpy(pixels).float() / 255))
    return found


def _in_colours(batch: Tensor, channels: int) -> Tensor:
    """Images (N, 1 or 3, H, W) in the `channels` of a network, as files are: grey repeated, colours as luma."""
    have = batch.shape[1]
    if have == channels:
        return batch
    if have == 1 and channels == 3:
        return batch.expand(-1, 3, -1, -1)
    if have == 3 and channels == 1:
        return torch.einsum("nchw,c->nhw", batch, batch.new_tensor(LUMA))[:, None]
    raise UsageError(
        f"images have {have} channels (their shape is {tuple(batch.shape)}), and the network takes {channels}; give images "
        "(N, C, H, W) with 1 channel (grey) or 3 (red, green, blue)"
    )


def _same_size(a: list[tuple[str, Tensor]], b: list[tuple[str, Tensor]], resize: bool) -> None:
    if len(a) != len(b):
        raise UsageError(
            f"images are compared in pairs, got {len(a)} (the first is {a[0][0]}) and {len(b)} ({b[0][0]}); "
            "give as many of both"
        )
    shapes = {image.shape: name for name, image in (*a, *b)}
    if len(shapes) > 1:
        (one, name), (other, second) = list(shapes.items())[:2]
        size = [f"{s[2]} × {s[1]}" if len(s) == 3 else str(tuple(s)) for s in (one, other)]
        raise UsageError(
            f"{name} is {size[0]} pixels and {second} {size[1]}; images are compared pixel by pixel: cut them to one size, "
            "or let both be resized as the network's preprocessing does: resize=True, or --resize"
        )
    shape = next(iter(shapes))
    if min(shape[-2:]) < 8:
        raise DataError(
            f"images of {shape[-1]} × {shape[-2]} pixels are too small to be compared by maps; enlarge them first"
        )
