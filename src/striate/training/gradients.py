"""Gradients: of a batch that is more than goes through the network at once, in one process or shared by several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from striate.borrow import forward
from striate.training.batch import Batch, Loss, mapped
from striate.training.parts import is_cut
from striate.training.synchronised import Synchronised
from striate.training.world import World

if TYPE_CHECKING:
    from striate.training.loop import Training


def shared_gradient(t: Training, batch: Batch, world: World) -> Loss:
    """Add the gradient of the loss of a batch that several processes share; returns the loss of it, without its graph.

    Every process gets the same gradients and the same loss, those that one process has of the whole batch: sums are divided
    by the weight of all images, which each learns before its backward pass. A loss of related images gets the outputs of all
    processes, of which its own have a graph: what each parameter owes to them adds up to the gradient.
    """
    spans = world.parts(batch.whole, batch.images.shape[-2:], batch.images.device)
    related = getattr(t.loss, "related", False)
    outputs: list[Any] = []
    made: list[Loss] = []
    promised: float | Tensor | None = None
    at = start = 0
    for first, end, many in spans:
        own = end - first
        part = batch.take(slice(at, at + own)).placed(first - start, many)
        output = own_output(t, part, world, first - start, own, many)
        if related:
            outputs.append(output)
        else:
            loss = t.loss(output, part) if own else None
            whole = summed(loss, world, like=batch.images, everywhere=many >= world.size)
            if promised is None and len(spans) == 1:
                promised = torch.as_tensor(whole.weight).clamp(min=1e-9)
            elif promised is None and float(whole.weight) > 0:
                promised = float(whole.weight) * batch.whole / many
            total = nothing(output) if loss is None else loss.sum
            if (
                loss is not None and t.sharded
            ):  # which sums what has a gradient, and it must be the same everywhere
                total = total + nothing(output)
            (total / (1.0 if promised is None else promised)).backward()
            made.append(whole)
        at, start = at + own, start + many
    if related:
        loss = t.loss(*everyones(t, outputs, batch, world))
        loss.mean.backward()
        world.sum_gradients(alike(t))
        return loss.detach()
    world.sum_gradients(alike(t))
    total_loss = made[0]
    for one in made[1:]:
        total_loss = total_loss + one
    if len(spans) > 1 and promised is not None and promised != float(total_loss.weight):
        with torch.no_grad():
            for parameter in learning(t):
                if parameter.grad is not None:
                    parameter.grad.mul_(promised / float(total_loss.weight))
    return total_loss


def learning(t: Training) -> list[torch.nn.Parameter]:
    """The parameters that have a gradient at this step."""
    return [p for p in t.model.parameters() if p.requires_grad]


def alike(t: Training) -> list[torch.nn.Parameter]:
    """Those of them that every process holds whole: gradients of parts are summed in the backward pass already."""
    return [p for p in learning(t) if not is_cut(p)]


def own_output(t: Training, part: Batch, world: World, first: int, own: int, many: int) -> Any:
    """What the network gives for this process's images of a micro-batch of `many`, with its graph."""
    images = part.images if own else part.images.new_zeros((1, *part.images.shape[1:]))
    x = images.contiguous(memory_format=torch.channels_last)
    with (
        Synchronised(world, first=first, own=own, many=many),
        torch.autocast(t.device.type, t.dtype, enabled=t.dtype != torch.float32),
        t.running(),
    ):
        return forward(t.model, x, writes=False)


def summed(loss: Loss | None, world: World, *, like: Tensor, everywhere: bool) -> Loss:
    """The loss of all processes, without a graph. everywhere: whether each of them has a part of it."""
    names = sorted(loss.parts) if loss is not None else []
    if everywhere:
        assert loss is not None
        numbers = [loss.sum.detach(), loss.weight, *(loss.parts[name] for name in names)]
        told = torch.stack([torch.as_tensor(v, device=like.device).detach().double() for v in numbers])  # fmt: skip
        world.total(told)
    else:  # who has no part of it does not know the names
        own: list[tuple[str, float]] = []
        if loss is not None:
            named = [("", loss.sum), ("", loss.weight), *((n, loss.parts[n]) for n in names)]
            own = [(name, float(torch.as_tensor(value).detach())) for name, value in named]
        known = [one for one in world.gathered(own) if one]
        names = [name for name, _ in known[0][2:]]
        rows = [[value for _, value in one] for one in known]
        told = torch.tensor(rows, dtype=torch.float64, device=like.device).sum(0)
    told = told.float()
    return Loss(told[0], told[1], dict(zip(names, told[2:], strict=True)))


def everyones(t: Training, outputs: Sequence[Any], batch: Batch, world: World) -> tuple[Any, Batch]:
    """The outputs and targets of all processes, in the order of the whole batch; its own outputs with their graph."""
    size = batch.images.shape[-2:]
    spans = world.parts(batch.whole, size, batch.images.device)
    counts = [
        [end - first for first, end, _ in world.parts(batch.whole, size, batch.images.device, rank)]
        for rank in range(world.size)
    ]

    def each(own: Sequence[Tensor]) -> Tensor:
        found = [world.rows(one, [c[i] for c in counts]) for i, one in enumerate(own)]
        return torch.cat([torch.cat(parts) for parts in found])

    starts = [0]
    for first, end, _ in spans:
        starts.append(starts[-1] + end - first)
    places = list(itertools.pairwise(starts))
    targets = mapped(batch.targets, lambda target: each([target[a:b] for a, b in places]))
    images = batch.images
    if getattr(t.loss, "whole", False):  # a person's own, which may look at them
        images = each([images[a:b] for a, b in places])
    else:
        images = images.new_zeros(()).expand(batch.whole, *images.shape[1:])
    return structured(outputs, each), Batch(images, targets, batch.step)


def structured(outputs: Sequence[Any], join: Any) -> Any:
    """Outputs of micro-batches, tensors or tuples, lists and dicts of such, with each one's tensors joined."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return join(outputs)
    if isinstance(first, Mapping):
        return {name: structured([o[name] for o in outputs], join) for name in first}
    if isinstance(first, tuple | list):
        parts = [structured(part, join) for part in zip(*outputs, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first


def nothing(output: Any) -> Tensor:
    """0, with the graph of all that a network gave: so its backward pass takes part in what all processes do together."""
    found = [t.float().sum() for t in tensors_of(output) if t.requires_grad]
    return torch.stack(found).sum() * 0 if found else torch.zeros((), requires_grad=True)


def tensors_of(output: Any) -> Iterator[Tensor]:
    """The tensors in a network's output."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for one in output.values():
            yield from tensors_of(one)
    elif isinstance(output, tuple | list):
        for one in output:
            yield from tensors_of(one)
    elif is_dataclass(output):
        for one in fields(output):
            yield from tensors_of(getattr(output, one.name))
