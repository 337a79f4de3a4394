"""Neighbours: the images that lie nearest in feature space (Krizhevsky et al. 2012, figure 4; lecture 002)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from striate.errors import DataError, UsageError
from striate.units.network import Network, evaluating
from striate.units.top_images import batch_of


def hidden(network: Network) -> int:
    """Index of the value that the last layer with kernels reads. Raises UsageError for a single layer."""
    head = network.head
    assert head.weighted is not None
    record = network.geometry.records[head.weighted]
    index = next(i for i in record.inputs if network.value(i).varies)
    if network.value(index).source == "input":
        raise UsageError(f"{network.geometry.kind} has one layer, so no hidden one to compare in")
    return index


def features(network: Network, images: Tensor) -> Tensor:
    """Activations (N, F) of the last hidden layer; the mean over positions where it has any."""
    network.images(images[:1] if len(images) else images)
    at = hidden(network)
    parts = []
    at_once = batch_of(network, [x.response for x in network.layers])
    with evaluating(network.module), torch.inference_mode():
        for part in images.split(at_once):
            pixels = network.images(part).contiguous(memory_format=torch.channels_last)
            value = network.forward(pixels, [at])[at]
            spatial = network.value(at).spatial
            maps = network.maps(at, value, len(part)) if spatial else value.reshape(len(part), -1)
            parts.append((maps.flatten(2).mean(2) if spatial else maps).float().cpu())
    return torch.cat(parts)


def nearest(
    network: Network, images: Tensor, among: Iterable[Tensor], *, count: int = 6
) -> tuple[Tensor, Tensor]:
    """For each image the nearest others by Euclidean distance in the last hidden layer.

    images (Q, C, H, W); among: batches of images, numbered as they come; only distances of `count` are kept.
    Returns distances (Q, count) and numbers (Q, count), nearest first, of equal ones the earlier.
    """
    if count < 1:
        raise UsageError(f"count is at least 1, got {count}")
    own = features(network, images).double()
    distances = torch.empty((len(own), 0), dtype=torch.float64)
    numbers = torch.empty((len(own), 0), dtype=torch.int64)
    seen = 0
    for batch in among:
        theirs = features(network, batch).double()
        new = torch.cdist(own, theirs, compute_mode="donot_use_mm_for_euclid_dist")
        place = torch.arange(seen, seen + len(theirs)).expand(len(own), -1)
        seen += len(theirs)
        distances, numbers = torch.cat([distances, new], 1), torch.cat([numbers, place], 1)
        distances, order = distances.sort(dim=1, stable=True)
        distances, numbers = distances[:, :count], numbers.gather(1, order)[:, :count]
    if not seen:
        raise DataError("there are no images to search; give a data set with at least one")
    return distances.float(), numbers
