"""Guided backpropagation and the deconvnet: other derivatives of the rectifier, the rest of the network as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.attribution import graph
from striate.attribution.gradients import derivative_of
from striate.attribution.images import as_images, output_of, without_history
from striate.attribution.names import layers_of
from striate.attribution.targets import Target, scorer
from striate.borrow import borrowed
from striate.errors import UsageError

NAMES = {
    "guided-backpropagation": "guided backpropagation",
    "deconvnet": "the deconvnet rule",
    "deconvnet-switches": "the deconvnet",
}
SHOWN = 3  # layers named in a refusal


def guided_backpropagation(module: nn.Module, images: Tensor, target: Target) -> Tensor:
    """The derivative, with what is negative behind a ReLU set to 0 on the way back: (N, C, H, W).

    "In guided backpropagation, we also clamp the negative gradients during backpropagation to 0" (lecture 002; Springenberg
    et al. 2014). ReLU may be a module, a function, in place, reused, ReLU6 or a clamp at 0.
    Raises UsageError for a network without ReLU, or with an activation that the rule does not cover, naming its layers.
    """
    return ruled(module, images, target, "guided-backpropagation")


def deconvnet(module: nn.Module, images: Tensor, target: Target, *, switches: bool = False) -> Tensor:  # fmt: skip
    """The signal sent back with each ReLU's derivative replaced by a ReLU of the signal itself: (N, C, H, W).

    switches: as Zeiler and Fergus (2014; lecture 002) did it: un-pooling *places* each value where its maximum was (the
    mean where overlapping windows share one, instead of the sum), and the contrast normalisation is passed unchanged.
    Without, everything but ReLU is backpropagation (the form in Simonyan et al. 2013, section 4).
    Raises UsageError like `guided_backpropagation`.
    """
    return ruled(module, images, target, "deconvnet-switches" if switches else "deconvnet")


def ruled(module: nn.Module, images: Tensor, target: Target, rule: str) -> Tensor:
    """The derivative of the target under one of `TABLES`' rules: (N, C, H, W)."""
    x = as_images(module, images)
    with borrowed(module):
        x = x.requires_grad_()
        output = output_of(module, x)
        total = scorer(target, without_history(output), len(x))(output).sum()
        return backward(total, x, rule, lambda: layers_of(module, x))


def backward(
    total: Tensor, x: Tensor, rule: str, layers: Callable[[], dict[str, list[str]]], *, keep: bool = False
) -> Tensor:  # fmt: skip
    """The derivative of `total` by x under a rule. layers: names of the layers of each kind, for a refusal."""
    nodes = graph.between(total, x) if total.requires_grad else []
    if not nodes:
        return derivative_of(total, x)  # raises: no gradient gets through
    strange = graph.uncovered(total, nodes)
    rectified = any(graph.is_rectifier(n) for n in nodes)
    with graph.rules(nodes, TABLES[rule]), graph.reached(strange) as met:
        made = derivative_of(total, x, keep=keep)
    refuse_uncovered(met, rule, layers)
    if not rectified:
        raise UsageError(
            f"{NAMES[rule]} changes the derivative of ReLU, and there is no ReLU between the target and the image, so it "
            "would be the plain gradient; use gradient"
        )
    return made


def refuse_uncovered(
    strange: list[graph.Node], rule: str, layers: Callable[[], dict[str, list[str]]]
) -> None:
    """Raises UsageError where a signal went through operations that the rule does not cover.

    One that got none, as the exponential of a detector's edges beside the score that is asked about, changes nothing.
    """
    title = NAMES[rule]
    if strange:
        kinds = list(dict.fromkeys(graph.kind(n) for n in strange))
        what = "a product with a mask" if kinds[0] == "mul" else kinds[0]
        names = layers().get(kinds[0], [])
        where = f" in {', '.join(names[:SHOWN])}" if names else ""
        more = f" and {len(names) - SHOWN} more layers" if len(names) > SHOWN else ""
        raise UsageError(
            f"{title} has a rule for ReLU alone, and this network also computes {what}{where}{more}; use "
            "integrated-gradients or occlusion"
        )


def guided(node: graph.Node) -> graph.Rule | None:
    """Of a rectifier: its derivative, negative values set to 0."""
    return _guide if graph.is_rectifier(node) else None


def rectified(node: graph.Node) -> graph.Rule | None:
    """Of a rectifier: the signal, negative values set to 0, whatever the forward pass had there."""
    return _rectify if graph.is_rectifier(node) else None


def as_zeiler_and_fergus(node: graph.Node) -> graph.Rule | None:
    """`rectified`, un-pooling by switches, and contrast normalisation passed unchanged."""
    if graph.is_rectifier(node):
        return _rectify
    what = graph.kind(node)
    if what.startswith(("maxpool", "adaptivemaxpool")):
        return _place
    if what == "div" and all(child is not None for child, _ in node.next_functions):
        return _numerator
    return None


def _guide(node: Any, by_inputs: graph.Grads, by_outputs: graph.Grads) -> graph.Grads:
    return tuple([None if g is None else g.clamp(min=0) for g in by_inputs])


def _rectify(node: Any, by_inputs: graph.Grads, by_outputs: graph.Grads) -> graph.Grads:
    (signal,) = by_outputs
    return tuple([None if g is None or signal is None else signal.clamp(min=0) for g in by_inputs])


def _place(node: Any, by_inputs: graph.Grads, by_outputs: graph.Grads) -> graph.Grads | None:
    """Un-pooling: the sum over the windows that share a maximum, divided by their number."""
    summed, signal = by_inputs[0], by_outputs[0]
    if summed is None or signal is None:
        return None
    at = node._saved_result1
    axes = 3 if "3d" in node.name().lower() else 2
    places = at.flatten(-axes)
    counts = torch.zeros_like(summed, memory_format=torch.contiguous_format).flatten(-axes)
    counts.scatter_add_(-1, places, torch.ones_like(places, dtype=counts.dtype))
    return (summed / counts.clamp(min=1).view(summed.shape), *by_inputs[1:])


def _numerator(node: Any, by_inputs: graph.Grads, by_outputs: graph.Grads) -> graph.Grads:
    (signal,) = by_outputs
    return (signal, *[None if g is None else torch.zeros_like(g) for g in by_inputs[1:]])


TABLES: dict[str, Callable[[graph.Node], graph.Rule | None]] = {
    "guided-backpropagation": guided,
    "deconvnet": rectified,
    "deconvnet-switches": as_zeiler_and_fergus,
}
