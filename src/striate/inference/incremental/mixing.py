"""Mixing: the node from which on a network is run for one changed image at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor

from striate.inference.apart import apart, images_of, leads, plainly
from striate.inference.incremental.cache import run_whole
from striate.inference.incremental.network import Network, Node


def first_mixing(network: Network, values: Mapping[int, Tensor]) -> int | None:
    """The first node that does not give each image of a batch what it gives that image alone; None if all do.

    values: what each node makes of the clean image.
    """
    known = network.geometry.values
    for node in network.nodes:
        reads, out = [known[r.value] for r in node.reads], known[node.output]
        # What the network returns for many images has them in front, or a target would not find them.
        hidden = node.output in network.outputs and not leads(out.layout)
        if node.index == network.mixing or hidden:
            return node.index
        inputs = [known[i] for i in node.record.inputs]
        if node.kernel is not None or node.join is not None:
            inputs = reads
        if plainly(node.record, inputs, out):
            continue
        run = partial(_run, network, node)
        stand = [images_of(v) for v in reads]
        if not apart(run, stand, images_of(out), [values[v.index] for v in reads]):
            return node.index
    return None


def _run(network: Network, node: Node, tensors: Sequence[Tensor], batch: int) -> Tensor:
    given = list(tensors)
    if node.kernel is not None and len(given) > 1:
        given[1] = given[1].clone()  # a kernel writes into it
    return run_whole(network, node, given, batch)
