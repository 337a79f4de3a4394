"""Activations: units that are dead, saturated, or copies of another, as seed 003 tells good training from bad."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.figures import new_figure, render, style
from striate.findings import Figure, Finding, Table

# Least and greatest value at which an activation is flat; None where it never is on that side.
BOUNDS: dict[type[nn.Module], tuple[float | None, float | None]] = {
    nn.ReLU: (None, None),
    nn.ReLU6: (None, 6.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
}
RECTIFIERS = (nn.ReLU, nn.ReLU6)
NEAR = 0.01  # of the range: this near to a bound is saturated
MOSTLY = 0.95  # share of values at a bound, from which on a unit is saturated
ALIKE = 0.95  # correlation from which on two units are copies
SHOWN = 4  # layers in the figure


def activations(model: nn.Module, inputs: Tensor) -> Finding:
    """Dead, saturated and correlated units of every activation module, and how sparse each layer is.

    inputs: (N, ...), 2 or more. A unit is a channel, or a feature after a flat layer. dead: a rectifier's unit that is
    0 for every input. saturated: 95 % of its values within 1 % of a bound. correlated: |r| >= 0.95 with an earlier unit
    over samples. Raises UsageError where there are too few inputs or no activation modules.
    """
    if len(inputs) < 2:
        raise UsageError(f"give 2 or more images to compare activations, got {len(inputs)}")
    layers = record(model, inputs)
    if not layers:
        raise UsageError(
            "the network has no ReLU, ReLU6, Hardtanh, Sigmoid or Tanh module whose activations could be examined"
        )
    rows: list[tuple[Any, ...]] = []
    data: dict[str, Any] = {}
    for name, (kind, values) in layers.items():
        means = values.mean(2)
        dead = (values.amax((0, 2)) <= 0) & issubclass(kind, RECTIFIERS)
        full = saturated(kind, values)
        copies = correlated(means)
        active = float((values.abs() > 1e-6).float().mean())
        data[name] = {
            "dead": dead.nonzero().flatten().tolist(),
            "saturated": full.nonzero().flatten().tolist(),
            "correlated": copies,
            "active": active,
        }
        rows.append((name, values.shape[1], int(dead.sum()), int(full.sum()), len(copies), active))
    total, dead_sum, full_sum, copy_sum = (sum(r[i] for r in rows) for i in (1, 2, 3, 4))
    worst = max(rows, key=lambda r: (r[2] + r[3] + r[4]) / r[1])
    share = (dead_sum + full_sum + copy_sum) / total
    verdict = f"Of {total:,} units {dead_sum:,} are dead, {full_sum:,} saturated and {copy_sum:,} copies of another"
    verdict += f"; most of them in {worst[0]}." if share else "."
    return Finding(
        name="diagnose-activations",
        title="Activations",
        verdict=verdict,
        status="warning" if share > 0.1 else "good",
        advice="Lower the learning rate or change the initialisation; fewer units may do as well."
        if share > 0.1
        else "",
        tables=(
            Table(
                columns=("layer", "units", "dead", "saturated", "copies", "active"),
                rows=tuple(rows),
                formats=("", ",", ",", ",", ",", ".0%"),
                caption="active: share of values that are not 0.",
            ),
        ),
        figures=(picture({n: v.mean(2) for n, (_, v) in layers.items()}),),
        data={"layers": data, "images": len(inputs)},
    )


def record(model: nn.Module, inputs: Tensor) -> dict[str, tuple[type[nn.Module], Tensor]]:
    """Each activation module's kind and outputs (N, units, positions); a second call of a module ends in `#2`."""
    kept: dict[str, tuple[type[nn.Module], Tensor]] = {}
    calls: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if type(module) not in BOUNDS:
            continue

        def hook(module: nn.Module, _: Any, output: Tensor, name: str = name) -> None:
            calls[name] = calls.get(name, 0) + 1
            key = name if calls[name] == 1 else f"{name}#{calls[name]}"
            kept[key] = type(module), output.detach().clone().reshape(*output.shape[:2], -1).float()

        handles.append(module.register_forward_hook(hook))
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return kept


def saturated(kind: type[nn.Module], values: Tensor) -> Tensor:
    """Which units of values (N, units, positions) lie at a bound nearly always: (units,) bool."""
    low, high = BOUNDS[kind]
    margin = NEAR * ((high or 0.0) - (low or 0.0))
    at = torch.zeros_like(values, dtype=torch.bool)
    if low is not None:
        at |= values <= low + margin
    if high is not None:
        at |= values >= high - margin
    return at.float().mean((0, 2)) >= MOSTLY


def correlated(means: Tensor) -> list[tuple[int, int]]:
    """Pairs (earlier, unit), one a unit that follows an earlier one over samples; means: (N, units)."""
    centred = (means - means.mean(0)).double()
    norm = centred.norm(dim=0)
    scaled = centred / norm.clamp_min(1e-12)
    alike = (scaled.T @ scaled).abs() >= ALIKE
    varies = norm > 1e-6 * (1 + means.double().norm(dim=0))
    alike &= varies[:, None] & varies[None, :]
    first = alike.int().argmax(0)  # the first one that is alike, itself if no other
    units = range(means.shape[1])
    return [(int(first[u]), u) for u in units if varies[u] and int(first[u]) < u]


def picture(means: dict[str, Tensor]) -> Figure:
    """Samples x units of the last few layers: speckled where training is good, stripes where it is bad (seed 003)."""
    chosen = list(means.items())[-SHOWN:]
    with style():
        figure = new_figure(2.6 * len(chosen) + 0.6, 3.4)
        axes = figure.subplots(1, len(chosen), squeeze=False)[0]
        for axis, (name, values) in zip(axes, chosen, strict=True):
            axis.imshow(values[:200].numpy(), aspect="auto", interpolation="nearest")
            axis.set_title(name)
            axis.set_xlabel("unit")
        axes[0].set_ylabel("sample")
        return render(
            figure,
            caption="Mean activation of each unit for each sample, in the last layers. Speckles are good: units answer to "
            "few samples, samples to few units. Vertical stripes are units that ignore the input.",
            alt="Maps of samples by units",
        )
