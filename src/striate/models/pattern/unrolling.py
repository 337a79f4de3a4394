"""Tree -> the layers one after another, every number filled in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from striate.errors import PatternError
from striate.models.pattern.syntax import Conv, FullyConnected, Group, Layer

CONV_CHANNELS = 32  # of CONV without a number
FC_UNITS = 128  # of FC without a number, before the last
MOST_LAYERS = 2000


def unroll(pattern: str, tree: Group, num_classes: int) -> list[Layer]:
    """The layers in order, groups repeated and channels grown; a last layer without a number gets
    `num_classes`.

    Raises PatternError where there are no layers or too many, or something grows outside of a
    group.
    """
    if _count(tree) > MOST_LAYERS:
        raise PatternError(
            f"the pattern has {_count(tree):,} layers, at most {MOST_LAYERS:,} are built; repeat "
            "less",
            pattern,
            tree.position,
        )
    layers = list(_walk(pattern, tree, None))
    if not layers:
        raise PatternError(
            "nothing is left of the pattern when its groups repeat 0 times; repeat at least one",
            pattern,
            0,
        )
    weighted = [i for i, layer in enumerate(layers) if isinstance(layer, (Conv, FullyConnected))]
    for i in weighted:
        layer = layers[i]
        if isinstance(layer, Conv) and layer.channels is None:
            layers[i] = replace(layer, channels=num_classes if i == weighted[-1] else CONV_CHANNELS)
        elif isinstance(layer, FullyConnected) and layer.units is None:
            layers[i] = replace(layer, units=num_classes if i == weighted[-1] else FC_UNITS)
    return layers


def _count(item: Layer | Group) -> int:
    if not isinstance(item, Group):
        return 1
    return sum(map(_count, item.items)) * (1 if item.count is None else item.count)


def _walk(pattern: str, group: Group, round_: int | None) -> Iterator[Layer]:
    """`round_`: which repetition of the outermost group this is; None outside of any."""
    for i in range(1 if group.count is None else group.count):
        here = i if round_ is None and group.count is not None else round_
        for item in group.items:
            if isinstance(item, Group):
                yield from _walk(pattern, item, here)
            else:
                yield _grown(pattern, item, here)


def _grown(pattern: str, layer: Layer, round_: int | None) -> Layer:
    if not isinstance(layer, (Conv, FullyConnected)) or layer.growth is None:
        return layer
    if round_ is None:
        raise PatternError(
            f"x{layer.growth:g} grows from one repetition to the next, but this layer stands in "
            "no [ ]*N",
            pattern,
            layer.position,
        )
    try:
        factor = layer.growth**round_
        if isinstance(layer, Conv):
            width = _times(layer.channels, CONV_CHANNELS, factor)
            return replace(layer, channels=width, growth=None)
        return replace(layer, units=_times(layer.units, FC_UNITS, factor), growth=None)
    except OverflowError:
        raise PatternError(
            f"x{layer.growth:g} grows beyond every number in {round_ + 1:,} repetitions; repeat less",
            pattern,
            layer.position,
        ) from None


def _times(width: int | None, default: int, factor: float) -> int:
    return max(1, round((default if width is None else width) * factor))
