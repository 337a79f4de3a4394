"""The index: one pass over a data set that keeps what every unit of every layer prefers, in memory that does not grow.

For each unit it keeps the `top` images with the position and value of its peak (12 bytes each), four sums, the mean
peak of each class, and one bit a position: whether it was ever active. Nothing grows with the number of images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from striate.errors import DataError
from striate.inference.folded import Folded, fold_values
from striate.units.fields import Span, field_box, unravel
from striate.units.layers import UnitLayer
from striate.units.network import Network, evaluating

TOP = 9  # Zeiler and Fergus (2014) show the nine strongest
CHUNK = 2**23  # bytes of the largest response at once: what stays in a processor's cache
BATCH = 255  # images at once, at most
MAPPED = (
    2**25
)  # bytes from which glibc gives a buffer pages of its own, which the kernel clears at each request
EXAMPLES = 2  # images by which the folded network is compared with the module
NARROW = 32  # with fewer units torch's amax is ten times slower than pooling


@dataclass(frozen=True)
class Peak:
    """One of a unit's strongest images: its number in the pass, the position (row, column) and the response there.

    box: the pixels that the receptive field covers there, cut at the border, rows before columns.
    """

    image: int
    position: tuple[int, ...]
    response: float
    box: tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class LayerIndex:
    """What a pass measured of the units of one layer; U units, K kept images, M classes.

    peaks (U, K) responses, images (U, K) their numbers, places (U, K) flat positions: strongest first, of equal ones
    the earlier; images is -1 where there were fewer than K.
    mean (U,): over images and positions. active (U,): share of images and positions with a response above 0.
    dead_positions (U,): share of positions where it never was above 0.
    sparseness (U,): of the peaks over images, 0 all alike, 1 a single image (Vinje and Gallant 2000, equation 1).
    variance, mean_variance (U,): over images, of the peaks and of the means over positions.
    class_means (U, M): mean peak above 0 of each class, or None without labels.
    """

    layer: UnitLayer
    size: tuple[int, ...]
    count: int
    peaks: Tensor
    images: Tensor
    places: Tensor
    mean: Tensor
    active: Tensor
    dead_positions: Tensor
    sparseness: Tensor
    variance: Tensor
    mean_variance: Tensor
    class_means: Tensor | None

    @cached_property
    def dead(self) -> Tensor:
        """(U,) True for a unit that no image drives above 0, or that responds to every image alike."""
        still = self.variance <= 1e-10 * self.peaks[:, 0].square().clamp(min=1e-30)
        still &= self.mean_variance <= 1e-10 * self.mean.square().clamp(min=1e-30)
        never = self.active == 0 if self.layer.rectified else torch.zeros_like(still)
        return never | (still & (self.count > 1))

    @cached_property
    def selectivity(self) -> Tensor | None:
        """(U,) from 0 to 1: (best class - mean of the others) / their sum (Morcos et al. 2018, equation 1).

        Of the mean peak above 0; nan for a unit that is never above 0. None without labels.
        """
        if self.class_means is None or self.class_means.shape[1] < 2:
            return None
        best = self.class_means.max(1).values
        rest = (self.class_means.sum(1) - best) / (self.class_means.shape[1] - 1)
        return (best - rest) / (best + rest)

    @cached_property
    def preferred(self) -> Tensor | None:
        """(U,) the class with the largest mean peak, -1 for a unit that is never above 0. None without labels."""
        if self.class_means is None:
            return None
        return torch.where(self.class_means.amax(1) > 0, self.class_means.argmax(1), -1)

    def top(self, unit: int) -> list[Peak]:
        """The unit's strongest images, strongest first; of a rectified one only those that drive it above 0."""
        peaks = []
        for value, image, place in zip(
            self.peaks[unit].tolist(), self.images[unit].tolist(), self.places[unit].tolist(), strict=True
        ):  # fmt: skip
            if image < 0 or (self.layer.rectified and value <= 0):
                continue
            position = unravel(place, self.layer.grid)
            peaks.append(Peak(image, position, value, field_box(self.layer, position, self.size)))
        return peaks

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        return sum(t.nbytes for t in vars(self).values() if isinstance(t, Tensor))


@dataclass(frozen=True, eq=False)
class UnitIndex:
    """What one pass measured: a `LayerIndex` for each layer, by name, of `count` images. state_bytes: memory of the pass."""

    layers: dict[str, LayerIndex]
    count: int
    state_bytes: int

    def __getitem__(self, name: str) -> LayerIndex:
        return self.layers[name]


class _Keeper:
    """The running state of one layer."""

    def __init__(self, layer: UnitLayer, top: int, classes: int) -> None:
        units = layer.units
        self.layer = layer
        self.keys = torch.full((top, units), LEAST, dtype=torch.int64)
        self.places = torch.zeros((top, units), dtype=torch.int32)
        self.total = torch.zeros(units, dtype=torch.float64)
        self.active = torch.zeros(units, dtype=torch.float64)
        self.peak_sum = torch.zeros(units, dtype=torch.float64)
        self.mean_squares = torch.zeros(units, dtype=torch.float64)
        self.peak_squares = torch.zeros(units, dtype=torch.float64)
        self.rectified_sum = torch.zeros(units, dtype=torch.float64)
        self.rectified_squares = torch.zeros(units, dtype=torch.float64)
        self.classes = torch.zeros((classes, units), dtype=torch.float64) if classes else None
        self.ever: Tensor | None = None

    def take(self, maps: Tensor, first: int, labels: Tensor | None) -> None:
        """Add the responses (n, U, *positions) of the images `first`, `first` + 1, ..."""
        n, units = maps.shape[:2]
        positions = maps[0, 0].numel()
        if positions == 1:
            flat = maps.reshape(n, units)
            peak, mean = flat, flat
            active = (flat > 0).sum(0)
            ever = (flat > 0).any(0).view(units, 1)
        else:
            last = maps.is_contiguous(memory_format=torch.channels_last) and maps.dim() == 4
            if last:  # reductions are fast along memory
                rows = maps.permute(0, 2, 3, 1).reshape(n, positions, units)
                wide = units >= NARROW
                peak = rows.amax(1) if wide else max_pool2d(maps, maps.shape[2:]).flatten(1)
                mean = rows.mean(1)
            else:
                rows = maps.reshape(n, units, positions)
                peak, mean = rows.amax(2), rows.mean(2)
            # In how many images each position of each unit is active: at most BATCH, which a byte holds.
            bits = (rows > 0).view(torch.uint8).reshape(n, -1).sum(0, dtype=torch.uint8)
            times = bits.view(positions, units).T if last else bits.view(units, positions)
            active, ever = times.sum(1, dtype=torch.int32), times > 0
        self.ever = ever if self.ever is None else self.ever | ever
        self.total += mean.double().sum(0)
        self.mean_squares += mean.double().square().sum(0)
        self.active += active.double() / positions
        double = peak.double()
        self.peak_sum += double.sum(0)
        self.peak_squares += double.square().sum(0)
        above = double.clamp(min=0)
        self.rectified_sum += above.sum(0)
        self.rectified_squares += above.square().sum(0)
        if self.classes is not None and labels is not None:
            self.classes.index_add_(0, labels, above)
        self._rank(peak, maps, first)

    def _rank(self, peak: Tensor, maps: Tensor, first: int) -> None:
        keys = order_keys(peak, first)
        if not bool((keys > self.keys[-1]).any()):
            return
        top = len(self.keys)
        both = torch.cat([self.keys, keys])
        self.keys, where = both.topk(min(top, len(both)), dim=0)
        old = where < top
        places = torch.gather(self.places, 0, where.clamp(max=top - 1))
        new = (~old).nonzero()
        if len(new):
            unit = new[:, 1]
            image = where[new[:, 0], unit] - top
            position = maps[image, unit].reshape(len(new), -1).argmax(1)
            places[new[:, 0], unit] = position.int()
        self.places = places

    @property
    def bytes(self) -> int:
        return sum(t.nbytes for t in vars(self).values() if isinstance(t, Tensor))

    def finish(self, count: int, size: tuple[int, ...], of_class: Tensor | None) -> LayerIndex:
        peaks, images = read_keys(self.keys)
        share = self.rectified_sum.square() / (count * self.rectified_squares)
        sparse = (1 - share) / (1 - 1 / count) if count > 1 else torch.full_like(share, torch.nan)
        mean = self.peak_sum / count
        assert self.ever is not None
        means = None
        if self.classes is not None and of_class is not None:
            means = (self.classes / of_class.clamp(min=1).unsqueeze(1)).T.contiguous().float()
        return LayerIndex(
            layer=self.layer,
            size=size,
            count=count,
            peaks=peaks.T.contiguous(),
            images=images.T.contiguous(),
            places=self.places.T.contiguous(),
            mean=(self.total / count).float(),
            active=(self.active / count).float(),
            dead_positions=1 - self.ever.float().mean(1),
            sparseness=sparse.float(),
            variance=(self.peak_squares / count - mean.square()).clamp(min=0).float(),
            mean_variance=(self.mean_squares / count - (self.total / count).square())
            .clamp(min=0)
            .float(),
            class_means=means,
        )


LEAST = torch.iinfo(torch.int64).min


def order_keys(values: Tensor, first: int) -> Tensor:
    """int64 keys (n, U) that order float32 values (n, U) as numbers, and equal ones by the earlier image."""
    # The bits of a float order as a signed integer does once those of negative numbers are flipped; + 0.0 makes -0.0 equal
    # to 0.0. One int64 then holds value and image, and a single topk ranks by both.
    bits = (values.float() + 0.0).contiguous().view(torch.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    number = torch.arange(first, first + len(values)).unsqueeze(1)
    return (ordered << 32) | (0xFFFFFFFF - number)


def read_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    """The values (float32) and image numbers of keys; -1 and 0 where there was none."""
    ordered = (keys >> 32).int()
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    image = 0xFFFFFFFF - (keys & 0xFFFFFFFF)
    none = keys == LEAST
    return bits.view(torch.float32).masked_fill(none, 0), image.masked_fill(none, -1)


def index_units(
    network: Network,
    batches: Iterable[Tensor | tuple[Tensor, Tensor | None]],
    *,
    layers: Sequence[UnitLayer] | None = None,
    top: int = TOP,
    classes: int = 0,
) -> UnitIndex:
    """Run the network once over images and keep what its units prefer.

    batches: uint8 or float images (N, C, H, W), or pairs of those with labels (N,); images are numbered as they come.
    layers: which, all if not given. top: strongest images kept a unit. classes: how many there are, 0 without labels.
    Raises DataError for a set without images, images of another size, and responses that are not finite.
    """
    chosen = network.layers if layers is None else tuple(layers)
    keepers: dict[int, list[_Keeper]] = {}
    for layer in chosen:
        keepers.setdefault(layer.response, []).append(_Keeper(layer, top, classes))
    at_once = batch_of(network, keepers)
    count = 0
    of_class = torch.zeros(classes, dtype=torch.float64) if classes else None
    folded: Folded | None = None
    with evaluating(network.module), torch.inference_mode():
        for item in batches:
            images, labels = item if isinstance(item, tuple) else (item, None)
            network.images(images[:1] if len(images) else images)
            if not count:
                folded = _folded(network, keepers, network.images(images[:EXAMPLES]))
            if of_class is not None:
                if labels is None or len(labels) != len(images):
                    raise DataError("each image needs a label; pass (images, labels)")
                of_class += torch.bincount(labels, minlength=classes)[:classes]
            even = ceil(len(images) / ceil(len(images) / at_once))  # no small rest
            for part in range(0, len(images), even):
                some = images[part : part + even]
                own = None if labels is None else labels[part : part + even]
                _take(network, folded, keepers, some, own, count)
                count += len(some)
    if not count:
        raise DataError("there are no images to look at; give a data set with at least one")
    kept = [k for group in keepers.values() for k in group]
    for keeper in kept:
        if not bool(torch.isfinite(keeper.peak_sum).all()):
            raise DataError(
                f"{keeper.layer.name} gives responses that are not finite; check the images and the weights"
            )
    size = network.size
    done = {k.layer.name: k.finish(count, size, of_class) for k in kept}
    return UnitIndex(done, count, sum(k.bytes for k in kept))


def batch_of(network: Network, values: Collection[int]) -> int:
    """Images at once, so that the largest response stays in a processor's cache, and buffers of any value are used again."""
    largest = max(network.value(i).bytes for i in values)
    widest = max(network.value(r.output).bytes for r in network.geometry.records)
    return max(4, min(BATCH, CHUNK // max(largest, 1), (MAPPED - 1) // max(widest, 1)))


def _folded(network: Network, wanted: Collection[int], images: Tensor) -> Folded | None:
    """The network with what follows a convolution done inside it, where that makes every wanted value.

    It runs to its end: where the last layer is not wanted, the usual pass is shorter.
    """
    if network.dtype != torch.float32 or network.layers[-1].response not in wanted:
        return None
    exact = network.forward(images, wanted)
    return fold_values(network.geometry, network.module, wanted, network.from_pixels(images), exact)


def _take(
    network: Network,
    folded: Folded | None,
    keepers: dict[int, list[_Keeper]],
    images: Tensor,
    labels: Tensor | None,
    first: int,
) -> None:
    pixels = network.images(images).contiguous(memory_format=torch.channels_last)

    def seen(index: int, tensor: Tensor) -> None:
        if index not in keepers:
            return
        maps = network.maps(index, tensor, len(images)).cpu()
        for keeper in keepers[index]:
            keeper.take(maps, first, labels)

    if folded is None:
        network.forward(pixels, keepers, seen=seen)
    else:
        folded(network.from_pixels(pixels), seen)
