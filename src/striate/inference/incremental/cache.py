"""Cache: every activation of the clean image, kept as maps that crops are cut from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import GeometryError
from striate.geometry import Crop, apply
from striate.inference.incremental.form import Form
from striate.inference.incremental.network import Network, Node


def run_whole(network: Network, node: Node, tensors: Sequence[Tensor], batch: int) -> Tensor:
    """Run a node on whole maps, `tensors` in the order of its reads; a second input of a kernel is written into."""
    if node.kernel is not None:
        return node.kernel(tensors[0], True, tensors[1] if len(tensors) > 1 else None)
    if node.join is not None:
        return torch.cat(list(tensors), 1)
    geometry = network.geometry
    record = node.record
    given = {read.place: tensor for read, tensor in zip(node.reads, tensors, strict=True)}
    crops = [
        Crop(tensor, geometry.values[i].full)
        for i, tensor in zip(record.inputs, network.given(node, given), strict=True)
    ]
    return apply(geometry, record, crops, geometry.values[node.output].full, batch=batch)


def _run(network: Network, nodes: Sequence[Node], values: dict[int, Tensor], batch: int) -> None:
    for node in nodes:
        tensors = [values[r.value] for r in node.reads]
        if node.kernel is not None and len(tensors) > 1:
            tensors[1] = tensors[1].clone()  # the kernel adds into it, and its clean value is kept
        values[node.output] = run_whole(network, node, tensors, batch)


def _run_rounded(
    precise: Network, dtype: torch.dtype, head: int, values: dict[int, Tensor]
) -> None:
    """Run the nodes in front of the head in `dtype` and note their values in the image's kind of number."""
    image = values[precise.image]
    wide = {precise.image: image.to(dtype)}
    _run(precise, precise.nodes[:head], wide, 1)
    for node in precise.nodes[:head]:
        made = wide[node.output]
        values[node.output] = made.to(image.dtype) if made.is_floating_point() else made


class Cache:
    """The clean image's activations: `cache[value]`, and `cache.map(value, ...)` to cut crops from.

    Raises GeometryError, with the layer's name, where the output is not finite.
    """

    def __init__(
        self, network: Network, image: Tensor, precise: tuple[Network, torch.dtype] | None = None
    ) -> None:
        """image (1, C, *axes), already of the network's kind of number.

        precise: the network up to its head, and the kind of number with more digits in which it then makes the values;
            they are rounded when all are made.
        """
        self.network = network
        self.forms: dict[int, Form] = {}
        like = torch.channels_last if image.dim() == 4 else torch.contiguous_format
        values: dict[int, Tensor] = {network.image: image.contiguous(memory_format=like)}
        if precise is None:
            _run(network, network.nodes[: network.head], values, 1)
        else:
            _run_rounded(*precise, network.head, values)
        _run(network, network.nodes[network.head :], values, 1)
        self._refuse_infinite(network, values)
        self.values: Mapping[int, Tensor] = values
        self.outputs: Mapping[int, Tensor] = {v: values[v] for v in network.outputs}
        self.maps: dict[tuple[int, float], Tensor] = {}

    def __getitem__(self, value: int) -> Tensor:
        return self.values[value]

    def form(self, value: int) -> Form:
        """The value's canonical order of dimensions."""
        form = self.forms.get(value)
        if form is None:
            form = self.forms[value] = Form(self.network.geometry.values[value])
        return form

    def margins(self, value: int, fill: float) -> tuple[tuple[int, int], ...]:
        """How far the value's map reaches beyond the border, before and after, along each axis that it has."""
        margins = self.network.margins.get((value, fill))
        axes = self.form(value).axes
        return tuple((0, 0) if margins is None else margins[k] for k in axes)

    def map(self, value: int, fill: float) -> Tensor:
        """The clean value as (*axes, entries), contiguous, with `fill` beyond its borders."""
        key = (value, fill)
        clean = self.maps.get(key)
        if clean is None:
            form = self.form(value)
            tensor = self.values[value]
            extents = [n for n in self.network.geometry.values[value].extents if n is not None]
            canonical = form.canonical(tensor, 1, extents)[0]
            clean = canonical.reshape(*extents, form.rest)
            pads = [n for pair in reversed(self.margins(value, fill)) for n in pair]
            if any(pads):
                clean = F.pad(clean, [0, 0, *pads], value=fill)
            clean = self.maps[key] = clean.contiguous()
        return clean

    @property
    def bytes(self) -> int:
        """Memory that the clean activations hold."""
        seen = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                for t in (*self.values.values(), *self.maps.values())}  # fmt: skip
        return sum(seen.values())

    def _refuse_infinite(self, network: Network, values: Mapping[int, Tensor]) -> None:
        """A layer may use infinities on its way (a mask); a result must not."""

        def finite(t: Tensor) -> bool:
            return not t.is_floating_point() or bool(torch.isfinite(t).all())

        if all(finite(values[i]) for i in network.outputs):
            return
        node = next(n for n in network.nodes if n.output in values and not finite(values[n.output]))
        bad = int((~torch.isfinite(values[node.output][:1])).sum())
        raise GeometryError(
            f"{node.name} gives {bad} values that are not finite on the clean image; check the weights and that the "
            "image is preprocessed as in training"
        )
