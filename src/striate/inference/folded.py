"""Folded: a network's forward pass with what follows a convolution done inside it.

In evaluation form, most of a small network's time on a CPU goes into reading and writing maps: a convolution writes one,
batch norm reads it and writes it again, so does the activation, and so does a sum. Batch norm is a factor and a constant a
channel, which go into the weights; activation and sum run on each value before it is written, by oneDNN's fused convolution.
The result is that of the module within rounding, and is compared with it before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.errors import StriateError
from striate.geometry import Geometry
from striate.inference.incremental.cache import Cache, run_whole
from striate.inference.incremental.incremental import lowered
from striate.inference.incremental.kernel import Kernel, fused_by_onednn
from striate.inference.incremental.mixing import first_mixing
from striate.inference.incremental.network import Network, Node, lower, windowed

NEAR = 1e-4  # of the largest value of a result, by which float32 in another order may differ
NEAR_NARROW = (
    2.0  # times what the module itself is off in bfloat16 by which the folded one may be off
)
MOST_BYTES = 1 << 30  # of all values of one image together, which the comparison holds


class Folded(nn.Module):
    """A traced network as steps: (N, C, H, W) -> the tensor that the module gives, within rounding. See `fold`.

    It holds copies of the weights: changes of the module do not reach it. Only images of the traced size run.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__()
        network = _without_pads(network)
        self.network, self.dtype = network, dtype
        last = {v: max(readers) for v, readers in network.readers.items()}
        self.copies = [_copies(network, i) for i in range(len(network.nodes))]
        # What each step leaves without a reader is let go, so that its memory serves the next.
        self.dead: list[list[int]] = [[] for _ in network.nodes]
        for value, at in last.items():
            if value not in network.outputs:
                self.dead[at].append(value)

    def forward(self, images: Tensor, seen: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """(N, C, H, W) -> the result, (N, ...) float32. seen: called with each step's value as it is made, and its index."""
        network, batch = self.network, images.shape[0]
        first = images.to(self.dtype).contiguous(memory_format=torch.channels_last)
        values: dict[int, Tensor] = {network.image: first}
        for node, copies, dead in zip(network.nodes, self.copies, self.dead, strict=True):
            tensors = [values[r.value] for r in node.reads]
            if copies:
                tensors[1] = tensors[1].clone()
            values[node.output] = run_whole(network, node, tensors, batch)
            if seen is not None:
                seen(node.output, values[node.output])
            for value in dead:
                del values[value]
        return values[network.outputs[0]].float()


def fold(module: nn.Module, images: Tensor, dtype: torch.dtype = torch.float32) -> Folded | None:
    """The folded form of a module in evaluation form, for images of this size; None where it is not to be had.

    images: some of them, (N, C, H, W) float32 on the CPU, normalised; with them it is compared with the module. dtype: what
    layers compute in, float32 or bfloat16. None: another processor or library, nothing to fold, a network whose trace is
    refused, which mixes images or returns several tensors, one with hooks or with maps of gigabytes, or a result that
    differs by more than rounding.
    """
    if images.device.type != "cpu" or not fused_by_onednn(torch.empty(1, 1, 1, 1, dtype=dtype)):
        return None
    if any(m._forward_hooks or m._forward_pre_hooks for m in module.modules()):
        return None
    try:
        with borrowed(module), torch.inference_mode():
            image = images[:1].to(dtype)
            network = lowered(module, image, dtype)
            if len(network.outputs) != 1 or len(network.geometry.outputs) != 1:
                return None
            if not any(n.kernel is not None for n in network.nodes):
                return None
            if sum(v.bytes for v in network.geometry.values if v.varies) > MOST_BYTES:
                return None
            if first_mixing(network, Cache(network, image).values) is not None:
                return None
            part = images.contiguous(memory_format=torch.channels_last)
            exact = forward(module, part)
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                plain = forward(module, part)
            folded = Folded(network, dtype).eval()
            found = folded(images)
    except (StriateError, RuntimeError):  # a trace is refused, or a kernel is not there
        return None
    if not isinstance(exact, Tensor) or exact.shape != found.shape:
        return None
    near = NEAR * float(exact.abs().max())
    if dtype != torch.float32:
        near += NEAR_NARROW * float((plain.float() - exact).abs().max())
    return folded if float((exact - found).abs().max()) <= near else None


def fold_values(
    geometry: Geometry, module: nn.Module, wanted: Collection[int], images: Tensor, exact: Mapping[int, Tensor]
) -> Folded | None:  # fmt: skip
    """The folded form of a traced module in evaluation form that makes each of the `wanted` values on its way; None where it
    does not, or where one differs by more than rounding from `exact`, which the module makes of `images` (N, C, H, W).
    """
    if images.device.type != "cpu" or not fused_by_onednn(
        torch.empty(1, 1, 1, 1, dtype=images.dtype)
    ):
        return None
    found: dict[int, bool] = {}

    def seen(index: int, tensor: Tensor) -> None:
        if index in wanted:
            own = exact[index]
            near = NEAR * float(own.abs().max())
            found[index] = tensor.shape == own.shape and float((tensor - own).abs().max()) <= near

    try:
        network = lower(geometry, module)
        if not network.outputs:
            return None
        folded = Folded(network, images.dtype).eval()
        folded(images, seen)
    except (StriateError, RuntimeError):
        return None
    return folded if all(found.get(index, False) for index in wanted) else None


def _without_pads(network: Network) -> Network:
    """The network with uneven zero padding done by the convolution behind it, which spares a copy of the map.

    oneDNN's fused convolution pads both ends alike. A kernel that begins with as many empty rows as are padded too much in
    front reads the same values.
    """
    nodes = list(network.nodes)
    makers = {n.output: n.index for n in nodes}
    for i, node in enumerate(nodes):
        kernel, maker = node.kernel, makers.get(node.reads[0].value) if node.reads else None
        if kernel is None or maker is None or kernel.clamp is not None or any(kernel.padding):
            continue
        pad = nodes[maker]
        ends = _zeros(pad, network)
        if ends is None or network.readers[pad.output] != (i,) or pad.output in network.outputs:
            continue
        (top, bottom), (left, right) = ends
        if bottom < top or right < left:
            continue
        weight = F.pad(kernel.weight, (right - left, 0, bottom - top, 0))
        padded = Kernel(
            weight, kernel.bias, tuple(kernel.stride), (bottom, right), tuple(kernel.dilation), kernel.groups,
            kernel.activation,
        )  # fmt: skip
        read = replace(node.reads[0], value=pad.reads[0].value)
        nodes[i] = replace(node, kernel=padded, reads=(read, *node.reads[1:]))
        nodes[maker] = replace(pad, reads=())
    kept = [replace(n, index=i) for i, n in enumerate(n for n in nodes if n.reads)]
    readers: dict[int, list[int]] = {}
    for node in kept:
        for value in dict.fromkeys(r.value for r in node.reads):
            readers.setdefault(value, []).append(node.index)
    return replace(network, nodes=tuple(kept), readers={v: tuple(r) for v, r in readers.items()})


def _zeros(node: Node, network: Network) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """How many rows and columns of zeros a step puts (before, behind); None if it does something else."""
    record = node.record
    if node.kernel is not None or record.op != "constant_pad_nd" or len(node.reads) != 1:
        return None
    sides, fill = record.args[1], (*record.args, 0)[2] if len(record.args) > 2 else 0
    if fill != 0 or len(sides) != 4 or min(sides) < 0:
        return None
    if len(network.geometry.values[node.output].shape) != 4:
        return None
    left, right, top, bottom = sides
    return (top, bottom), (left, right)


def _copies(network: Network, at: int) -> bool:
    """Whether what a step writes its sum into may be seen by someone else: as another value's view, or by a later step."""
    node = network.nodes[at]
    if node.kernel is None or len(node.reads) < 2:
        return False
    value = node.reads[1].value
    maker = next((n for n in network.nodes if n.output == value), None)
    if maker is None or not windowed(maker) or node.reads[0].value == value:
        return True
    if value in network.outputs:
        return True
    return any(
        i > at or (i != at and not windowed(network.nodes[i])) for i in network.readers[value]
    )
