"""FSDP: several processes of which each holds a part of every weight, of its average and of the optimizer's memory.

torch's `fully_shard` (FSDP2; Zhao et al., "PyTorch FSDP", 2023) does it: the weights of a unit are gathered for its forward
and its backward pass, and its gradients are summed into the parts. What is saved is whole, as one process saves it.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.errors import UsageError
from striate.training.averaging import WeightAverage
from striate.training.checkpoint import digest_of
from striate.training.parts import whole
from striate.training.world import World

if TYPE_CHECKING:
    from striate.training.loop import Training

UNIT = 4_000_000  # numbers: a unit has no more, where the network's own structure allows
LEAST = 16  # a unit has no less than this part of it: each costs a message


def shard(model: nn.Module, world: World, images: Tensor) -> nn.Module:
    """Cut a network's weights into parts, in place, of which each process holds one; returns a copy without weights.

    images: (N, C, H, W) such as the network takes, by which it is seen which layers are called. Raises UsageError, in
    all processes, where the weights differ, or where the network cannot be cut, with torch's reason.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    world.refuse_differences({"the digest of the first weights": digest_of(model.state_dict())})
    units = units_of(model, images)
    try:
        plain = copy.deepcopy(model)
    except Exception as error:  # whatever somebody else's network holds
        raise UsageError(
            f"fsdp needs a copy of the network without weights, and {type(model).__name__} cannot be copied "
            f"({type(error).__name__}: {error}); leave fsdp out"
        ) from error
    empty(plain)
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP takes no other order of the values
    mesh = init_device_mesh(world.device.type, (world.size,))
    try:
        for unit in (*units, model):
            fully_shard(unit, mesh=mesh)
    except (RuntimeError, ValueError, NotImplementedError, AssertionError) as error:
        raise UsageError(
            f"torch's fully_shard cannot cut {type(model).__name__}: {' '.join(str(error).split())}; leave fsdp out"
        ) from error
    for unit in model.modules():
        if isinstance(unit, FSDPModule):
            unit.set_gradient_divide_factor(1.0)  # losses are divided by the weight of all already
            unit.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    return plain


def units_of(model: nn.Module, images: Tensor) -> list[nn.Module]:
    """The parts of a network whose weights are gathered together, in the order of their registration.

    Each is called once in a pass, so that its weights are there when they are needed, and shares none with another.
    """
    calls: Counter[int] = Counter()
    with borrowed(model) as lent, torch.no_grad():
        handles = [m.register_forward_pre_hook(lambda m, _: calls.update([id(m)]))
                   for m in lent.modules() if not isinstance(m, torch.jit.ScriptModule)]  # fmt: skip
        try:
            forward(lent, images)
        finally:
            for handle in handles:
                handle.remove()
    owners = Counter(
        id(p) for m in model.modules() for p in set(m._parameters.values()) if p is not None
    )

    def found(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            count = sum(p.numel() for p in child.parameters())
            alone = all(owners[id(p)] == 1 for p in child.parameters())
            if count * LEAST < UNIT:
                continue
            inner = list(found(child)) if count > UNIT else []
            if not inner and alone and calls[id(child)] == 1:
                yield child
            yield from inner

    return list(dict.fromkeys(found(model)))


def empty(plain: nn.Module) -> None:
    """Let go of a network's weights, not of its buffers."""
    for parameter in plain.parameters():
        parameter.data = parameter.data.new_empty(0)
        parameter.requires_grad_(False)


@contextmanager
def cut_where_called(training: Training) -> Iterator[None]:
    """Say in one sentence what it means that a network computes with weights that are in parts, during a `with`."""
    try:
        yield
    except RuntimeError as error:
        if training.sharded and "DTensor" in str(error):
            name = type(training.model).__name__.removeprefix("FSDP")
            raise UsageError(
                f"fsdp gathers the weights of a layer when the layer is called, and {name} reads those of one that it does "
                "not call, or that it called before; leave fsdp out"
            ) from error
        raise


class ShardedAverage(WeightAverage):
    """The average of a network that is cut into parts. The network that it gives is whole, and a plain one."""

    def __init__(self, model: nn.Module, decay: float, plain: nn.Module) -> None:
        super().__init__(model, decay)
        self.plain = plain

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """The whole network with the averaged weights, for the duration of a `with`; all processes ask for it together."""
        state = self.state if self.decay else self.model.state_dict()
        buffers = dict(self.model.named_buffers())
        with torch.no_grad():
            for name, parameter in self.plain.named_parameters():
                full = whole(state[name]).detach().clone()
                last = torch.channels_last if full.dim() == 4 else torch.preserve_format
                parameter.data = full.contiguous(memory_format=last) if full.dim() == 4 else full
            for name, buffer in self.plain.named_buffers():
                buffer.copy_(state.get(name, buffers[name]))
        try:
            yield self.plain
        finally:
            empty(self.plain)
