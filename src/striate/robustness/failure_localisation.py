"""Failure localisation: at which layer a failure enters, which channels carry it, and what silencing them gives back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.borrow import forward
from striate.findings import Table
from striate.robustness.context import Context
from striate.statistics.intervals import paired
from striate.wording import percent, points

CHANNELS = 10
DRAWS = 8  # random sets of as many channels
MOST = 256  # images of the gradient pass and of the check
LEAST = 5  # failures below which nothing can be said
EXCESS = (
    1.2  # how much further a layer moves in failures than in others where the failure has entered
)


@dataclass(frozen=True)
class FailureLocation:
    """Where a failure enters.

    condition: the changed images on which it was seen. layer: of entry, by its module's name. channels: up to ten of it,
    worst first, each with how far it moved (in its spread over clean images) and what its movement took from the margin of
    the true class (logits, first order).
    failing: accuracy on the condition's images. silenced: the same with those channels held at their clean mean; random,
    random_best: with as many random channels of the layer held so, mean and largest of all draws. least_gain: lower end of
    the paired 95 % interval of silenced - failing. cost: accuracy that silencing costs on clean images. curve: (layer, how
    far it moved in failures, in others). failures: images that became wrong.
    """

    condition: str
    layer: str
    channels: tuple[tuple[int, float, float], ...]
    failing: float
    silenced: float
    random: float
    random_best: float
    least_gain: float
    cost: float
    curve: tuple[tuple[str, float, float], ...]
    failures: int

    @property
    def confirmed(self) -> bool:
        """Whether silencing the channels gives back more than any random set did, and more than chance could."""
        return self.silenced > self.random_best and self.least_gain > 0

    @property
    def sentence(self) -> str:
        """The location and its check in one sentence."""
        names = ", ".join(str(c) for c, _, _ in self.channels[:3])
        where = (
            f"Under {self.condition} the failure enters at {self.layer} (channels {names}, ...): "
        )
        change = self.silenced - self.failing
        if self.confirmed:
            return (
                f"{where}with its {len(self.channels)} channels held at their clean mean accuracy rises by "
                f"{points(change)} to {percent(self.silenced)}, with random ones it is {percent(self.random)}."
            )
        return (
            f"{where}holding its {len(self.channels)} channels at their clean mean gives {percent(self.silenced)} against "
            f"{percent(self.failing)}, random ones {percent(self.random)}: it is spread over many channels."
        )

    def tables(self) -> tuple[Table, Table]:
        """The layers' curve and the channels."""
        return (
            Table(
                columns=("layer", "moves where it fails", "moves where it does not", "ratio"),
                rows=tuple((n, a, b, a / b if b > 1e-9 else None) for n, a, b in self.curve),
                formats=("", ".2f", ".2f", ".2f"),
                caption=f"How far the channels of each layer move under {self.condition}, in units of their spread over "
                "clean images.",
            ),
            Table(
                columns=("channel", "moves", "takes from the margin", "dossier"),
                rows=tuple(
                    (c, m, g, f"striate units RUN --layer {self.layer} --unit {c}")
                    for c, m, g in self.channels
                ),
                formats=("", ".2f", "+.3f", ""),
                caption=f"Channels of {self.layer} that carry the failure, worst first. {self.sentence}",
            ),
        )

    def to_dict(self) -> dict[str, object]:
        """The location in JSON types, for `Finding.data`."""
        return {
            "condition": self.condition,
            "layer": self.layer,
            "channels": [list(c) for c in self.channels],
            "accuracy": self.failing,
            "silenced": self.silenced,
            "random": self.random,
            "random_best": self.random_best,
            "clean_cost": self.cost,
            "confirmed": self.confirmed,
            "failures": self.failures,
        }


def locate_failure(context: Context) -> FailureLocation | None:
    """The layer and the channels through which the worst condition that the context's recorder kept makes images wrong.

    The layer of entry is the first whose channels move 1.2 times as far in images that became wrong as in those that
    stayed correct, else the one where that ratio is largest; where none stayed correct, the one that moved most. Its
    channels are ranked by the first-order effect of their movement on the margin of the true class (clean minus moved
    responses, times the gradient). None where fewer than five images became wrong, or nothing was recorded.
    """
    recorder = context.recorder
    if recorder is None or recorder.clean is None or recorder.worst is None:
        return None
    clean, worst = recorder.clean, recorder.worst
    failed = clean.is_correct & ~worst.is_correct
    stayed = clean.is_correct & worst.is_correct
    if int(failed.sum()) < LEAST:
        return None
    moved = recorder.movement()
    if not moved:
        return None
    curve = []
    for name, value in moved.items():
        other = float(value[stayed].mean()) if bool(stayed.any()) else 0.0
        curve.append((name, float(value[failed].mean()), other))
    # Changed inputs move every layer; a failure has entered where failing images move further than the others do.
    ratios = [a / max(b, 1e-9) for _, a, b in curve]
    if bool(stayed.any()):
        entered = [i for i, r in enumerate(ratios) if r >= EXCESS]
        at = entered[0] if entered else max(range(len(ratios)), key=ratios.__getitem__)
    else:
        at = max(range(len(curve)), key=lambda i: curve[i][1])
    name = curve[at][0]
    module = recorder.layers[name]
    chosen = failed.nonzero().flatten()[:MOST]
    effect = margin_taken(
        context.model, module, context.images[chosen], worst.images[chosen], context.labels[chosen]
    )
    # At most half the channels: as many random ones of the same layer are needed for the comparison.
    count = min(CHANNELS, max(1, len(effect) // 2))
    best = effect.topk(count).indices.tolist()
    mean = recorder.clean.responses[name].mean(0)
    some = torch.randperm(len(context), generator=context.generator(5))[: 2 * MOST]

    def is_correct(channels: list[int], images: Tensor) -> np.ndarray:
        with silenced(module, channels, mean):
            said = context.logits(images[some]).argmax(1)
        return (said == context.labels[some]).numpy()

    draws = []
    others = torch.tensor([c for c in range(len(effect)) if c not in best])
    for i in range(DRAWS):
        drawn = others[torch.randperm(len(others), generator=context.generator(10 + i))][:count]
        draws.append(float(is_correct(drawn.tolist(), worst.images).mean()))
    before, after = worst.is_correct[some].numpy(), is_correct(best, worst.images)
    return FailureLocation(
        condition=worst.note,
        layer=name.removeprefix("model."),
        channels=tuple(
            (c, float(moved[name][failed][:, c].mean()), float(effect[c])) for c in best
        ),
        failing=float(before.mean()),
        silenced=float(after.mean()),
        random=sum(draws) / len(draws) if draws else 0.0,
        random_best=max(draws, default=0.0),
        least_gain=paired(before, after)[1],
        cost=float(clean.is_correct[some].float().mean())
        - float(is_correct(best, context.images).mean()),
        curve=tuple((n.removeprefix("model."), a, b) for n, a, b in curve),
        failures=int(failed.sum()),
    )


def margin_taken(
    model: nn.Module, module: nn.Module, before: Tensor, after: Tensor, labels: Tensor
) -> Tensor:
    """What each channel's movement took from the true class's margin, (channels,) logits, to first order.

    The gradient of the margin (true logit minus the largest other) at the moved responses, times clean minus moved,
    summed over positions, mean over images.
    """
    kept: list[Tensor] = []

    def hook(m: nn.Module, given: object, out: Tensor) -> Tensor:
        leaf = out.detach().requires_grad_(True)
        kept.append(leaf)
        return (
            leaf * 1.0
        )  # a copy: an activation in place behind the layer must not change what is kept

    total: Tensor | None = None
    for b, a, y in zip(before.split(64), after.split(64), labels.split(64), strict=True):
        kept.clear()
        handle = module.register_forward_hook(hook)
        try:
            with torch.no_grad():
                forward(model, b)
            with torch.enable_grad():
                logits = forward(model, a)
                rival = logits.scatter(1, y[:, None], float("-inf")).amax(1)
                margin = logits.gather(1, y[:, None])[:, 0] - rival
                (gradient,) = torch.autograd.grad(margin.sum(), kept[1])
        finally:
            handle.remove()
        product = gradient * (kept[0].detach() - kept[1].detach())
        part = product.sum((0, 2, 3)) if product.dim() == 4 else product.sum(0)
        total = part if total is None else total + part
    assert total is not None
    return total / len(before)


@contextmanager
def silenced(module: nn.Module, channels: list[int], mean: Tensor) -> Iterator[None]:
    """The module's channels held at `mean` (channels,) for the time of a `with`."""

    def hook(m: nn.Module, given: object, out: Tensor) -> Tensor:
        out = out.clone()
        value = mean[channels].to(out.dtype)
        out[:, channels] = value.view(1, -1, *[1] * (out.dim() - 2))
        return out

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
