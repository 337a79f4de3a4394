"""Graph: the operations between a score and the image as autograd recorded them, and rules for their derivatives.

A rule acts on the recorded operation, whatever ran it: a module, a function, an in-place method, one module twice. It
lives on the recorded graph, which dies with the score; the network itself is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Node = Any  # torch.autograd.graph.Node; its subclasses are made in C++
Grads = tuple[Tensor | None, ...]
Rule = Callable[[Node, Grads, Grads], Grads | None]

# Operations whose derivative is the same under every rule: linear in the image, or a choice among its values.
WEIGHTED = frozenset(["convolution", "slowconv2d", "mkldnnconvolution", "addmm", "mm", "linear"])
PASSED = WEIGHTED | frozenset(
    {"nativebatchnorm", "cudnnbatchnorm", "miopenbatchnorm", "nativegroupnorm", "nativelayernorm",
     "maxpool2dwithindices", "maxpool3dwithindices", "adaptivemaxpool2d", "adaptivemaxpool3d",
     "fractionalmaxpool2d", "maxunpool2d", "avgpool2d", "avgpool3d", "adaptiveavgpool2d", "adaptiveavgpool3d",
     "mkldnnadaptiveavgpool2d", "mean", "sum", "amax", "max", "upsamplenearest1d", "upsamplenearest2d",
     "upsamplenearestexact2d", "upsamplelinear1d", "upsamplebilinear2d", "upsamplebicubic2d",
     "upsamplebilinear2daa", "upsamplebicubic2daa", "constantpadnd", "reflectionpad2d", "replicationpad2d",
     "pixelshuffle", "pixelunshuffle", "im2col", "col2im", "unfold", "view", "unsafeview", "reshape",
     "reshapealias", "permute", "t", "transpose", "squeeze", "unsqueeze", "movedim", "expand", "repeat", "alias",
     "asstrided", "cat", "stack", "select", "slice", "split", "splitwithsizes", "unsafesplit", "unbind", "index",
     "indexselect", "gather", "diagonal", "roll", "flip", "scatter", "slicescatter", "selectscatter", "copyslices",
     "copy", "clone", "tocopy", "accumulategrad", "nativedropout", "add", "sub", "rsub", "mul", "div", "neg", "pow"}
)  # fmt: skip
# The last step from logits to probabilities: part of the question, not of the network's features.
ENDS = frozenset(["softmax", "logsoftmax", "sigmoid", "logsigmoid", "logsumexp"])


def squeezed(name: str) -> str:
    """A name as autograd and ATen have it in common: `LeakyRelu` and `leaky_relu_` are `leakyrelu`."""
    return name.replace("_", "").lower()


def kind(node: Node) -> str:
    """The operation of a node, e.g. `leakyrelu` for LeakyReluBackward0."""
    return squeezed(re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2]))


def between(score: Tensor, x: Tensor) -> list[Node]:
    """The nodes on some way from `score` to the leaf `x`, from the score on."""
    order: list[Node] = []
    children: dict[Node, list[Node]] = {}
    stack = [score.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in children:
            continue
        children[node] = [child for child, _ in node.next_functions if child is not None]
        order.append(node)
        stack += children[node]
    parents: dict[Node, list[Node]] = {}
    for node, below in children.items():
        for child in below:
            parents.setdefault(child, []).append(node)
    stack = [n for n in order if getattr(n, "variable", None) is x]
    reached: set[Node] = set()
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            stack += parents.get(node, [])
    return [n for n in order if n in reached]


def head(score: Tensor, nodes: Iterable[Node]) -> set[Node]:
    """Those of `nodes` that lie behind the last layer with weights."""
    within = set(nodes)
    ending: set[Node] = set()
    stack: list[Node] = [score.grad_fn]
    while stack:
        node = stack.pop()
        if node in within and node not in ending and kind(node) not in WEIGHTED:
            ending.add(node)
            stack += [child for child, _ in node.next_functions]
    return ending


def is_rectifier(node: Node) -> bool:
    """Whether a node is max(x, 0), perhaps with a ceiling: ReLU, ReLU6, clamp(min=0), threshold, maximum(x, 0)."""
    what = kind(node)
    if what == "relu":
        return True
    if what == "hardtanh":
        return node._saved_min_val == 0
    if what in ("clamp", "clampmin"):
        low = node._saved_min
        return _zero(low)
    if what == "threshold":
        return node._saved_threshold == 0
    if what == "maximum":
        return constant_zero(node)
    return False


def _zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return bool((value == 0).all())
    return value is not None and value == 0


def constant_zero(node: Node) -> bool:
    """Whether one side of a maximum is a constant zero."""
    constants = [child is None for child, _ in node.next_functions]
    if constants.count(True) != 1:
        return False
    try:
        return _zero(node._saved_self if constants[0] else node._saved_other)
    except RuntimeError:  # it was written since
        return False


def is_mask(node: Node) -> bool:
    """Whether a node multiplies by zeros and ones that have the size of the map: a rectifier in disguise."""
    if kind(node) != "mul":
        return False
    try:
        # a multiplication by a number, as scaled_dot_product_attention makes one, saves no second tensor
        sides = [getattr(node, name, None) for name in ("_saved_self", "_saved_other")]
    except RuntimeError:
        return False
    for side in sides:
        if isinstance(side, Tensor) and not side.requires_grad and side.numel() > 1:
            binary = side.dtype == torch.bool or bool(((side == 0) | (side == 1)).all())
            if binary and not bool((side == 1).all()):
                return True
    return False


def uncovered(score: Tensor, nodes: Sequence[Node]) -> list[Node]:
    """Nodes that bend the signal and are no rectifiers: a rule for rectifiers would leave them as the plain gradient."""
    ends = head(score, nodes)
    return [
        n for n in nodes
        if not is_rectifier(n)
        and (kind(n) not in PASSED or is_mask(n))
        and not (kind(n) in ENDS and n in ends)
    ]  # fmt: skip


@contextmanager
def rules(nodes: Iterable[Node], table: Callable[[Node], Rule | None]) -> Iterator[int]:
    """While open, each node's derivative is what its rule makes of it; gives the number of nodes with a rule.

    table: the rule of a node, or None. A rule gets (node, gradients by the inputs, gradients by the outputs) and gives
    other gradients by the inputs.
    """
    handles = []
    try:
        for node in nodes:
            rule = table(node)
            if rule is not None:
                handles.append(node.register_hook(_hook(node, rule)))
        yield len(handles)
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def reached(nodes: Iterable[Node]) -> Iterator[list[Node]]:
    """While open, gives those of the nodes that a derivative other than zero comes to on its way back."""
    met: list[Node] = []

    def watch(node: Node) -> Callable[[Grads], None]:
        def note(by_outputs: Grads) -> None:
            if node not in met and any(g is not None and bool((g != 0).any()) for g in by_outputs):
                met.append(node)

        return note

    handles = [node.register_prehook(watch(node)) for node in nodes]
    try:
        yield met
    finally:
        for handle in handles:
            handle.remove()


def _hook(node: Node, rule: Rule) -> Callable[[Grads, Grads], Grads | None]:
    return lambda by_inputs, by_outputs: rule(node, by_inputs, by_outputs)
