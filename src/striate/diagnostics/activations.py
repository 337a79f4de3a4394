"""Activations: units that are dead, saturated or correlated with another, and how sparse they are, as lecture 003 asks."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from striate.diagnostics.activation_hooks import Sound, responses
from striate.diagnostics.soundness import require_images, require_parameters
from striate.diagnostics.stripes import draw_responses
from striate.errors import UsageError
from striate.findings import Cell, Finding, Status, Table
from striate.wording import percent

NEAR = 0.01  # of the range: this near to an end is saturated
MOSTLY = 0.95  # share of values at an end, from which on a unit is saturated
ALIKE = 0.95  # correlation of responses from which on two units count as correlated
STILL = 1e-3  # a unit that varies less than this share of its own size over images ignores them
PLACES = 8  # positions of a map whose values are compared
MANY = {"ignoring": 0.1, "saturated": 0.3, "correlated": 0.3}  # share of a layer's units to warn of
SPREAD = "Train again with a lower learning rate, a longer warm-up, or batch norm."


@dataclass
class Heard:
    """What is kept of one nonlinearity: a row an image (N, units), and values at some places (N * places, units)."""

    sound: Sound
    means: list[Tensor] = field(default_factory=list)
    peaks: list[Tensor] = field(default_factory=list)
    places: list[Tensor] = field(default_factory=list)
    on: list[Tensor] = field(default_factory=list)
    ended: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Units:
    """A layer's units, judged over images.

    dead, ignoring, saturated (units,) bool: never on; the same for every image, dead ones included; 95 % of values
    within 1 % of an end of the range. pairs: (earlier, unit) whose responses have |correlation| >= 0.95. correlation: mean
    |r| of living units. active: share of values that are on. sparse_images, sparse_units: 0 all alike, 1 a single one (Vinje
    and Gallant 2000), None where values can be negative. means (N, units): mean responses, for the figure.
    """

    name: str
    kind: str
    dead: Tensor
    ignoring: Tensor
    saturated: Tensor
    pairs: list[tuple[int, int]]
    correlation: float | None
    active: float
    sparse_images: float | None
    sparse_units: float | None
    means: Tensor

    @property
    def shares(self) -> dict[str, float]:
        """Share of units with each fault."""
        n = len(self.dead)
        return {
            "ignoring": float(self.ignoring.sum()) / n,
            "saturated": float(self.saturated.sum()) / n,
            "correlated": len(self.pairs) / n,
        }


def activations(
    model: nn.Module, inputs: Tensor, labels: Tensor | None = None, *, seed: int = 0
) -> Finding:
    """Dead, saturated and correlated units behind every nonlinearity, and how sparse they are across images and units.

    inputs: (N, ...), 2 or more; labels (N,) order the figure. A nonlinearity may be a module, a function, in place or
    reused. seed: of the positions of a map that are compared. Lecture 003: in good training hidden units are sparse across
    samples and across features; in bad training many ignore the input or exhibit strong correlations. Raises UsageError
    where there are too few inputs or no nonlinearities, DataError where weights or inputs are not finite.
    """
    require_parameters(model)
    require_images(inputs, labels, least=2)
    layers = [units for units in listen(model, inputs, seed) if len(units.dead) > 1]
    if not layers:
        raise UsageError(
            "the network has no nonlinearity with two or more units whose activations could be examined"
        )
    verdict, status, advice = verdict_of(layers, len(inputs))
    order = torch.arange(len(inputs)) if labels is None else torch.argsort(labels, stable=True)
    return Finding(
        name="diagnose-activations",
        title="Hidden units",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(table_of(layers),),
        figures=(
            draw_responses(
                [
                    (u.name, u.means[order], int(u.ignoring.sum()), sum(u.shares.values()))
                    for u in layers
                ],
                by_class=labels is not None,
            ),
        ),
        data={
            "layers": {
                u.name: {
                    "kind": u.kind,
                    "units": len(u.dead),
                    "dead": u.dead.nonzero().flatten().tolist(),
                    "ignoring": u.ignoring.nonzero().flatten().tolist(),
                    "saturated": u.saturated.nonzero().flatten().tolist(),
                    "correlated": u.pairs,
                    "correlation": u.correlation,
                    "active": u.active,
                    "sparse_images": u.sparse_images,
                    "sparse_units": u.sparse_units,
                }
                for u in layers
            },
            "images": len(inputs),
        },
        seed=seed,
    )


def listen(model: nn.Module, inputs: Tensor, seed: int = 0) -> list[Units]:
    """Every nonlinearity's units over the inputs, in the order they run."""
    generator = torch.Generator().manual_seed(seed)
    layers: dict[str, Heard] = {}
    chosen: dict[tuple[str, int], Tensor] = {}

    def hear(sound: Sound) -> None:
        values = sound.values.float()
        heard = layers.setdefault(sound.name, Heard(sound))
        n = values.shape[2]
        if (sound.name, n) not in chosen:
            chosen[sound.name, n] = torch.randperm(n, generator=generator)[:PLACES]
        heard.means.append(values.mean(2))
        heard.peaks.append(values.amax(2))
        heard.places.append(values[:, :, chosen[sound.name, n]].transpose(1, 2).flatten(0, 1))
        heard.on.append((values.abs() > 1e-6).float().mean((0, 2)) * len(values))
        heard.ended.append(at_end(values, sound).mean((0, 2)) * len(values))

    responses(model, inputs, hear)
    return [judge(heard) for heard in layers.values()]


def at_end(values: Tensor, sound: Sound) -> Tensor:
    """1 where a value is at an end of its range: a rectifier's 0 is no saturation."""
    ended = torch.zeros_like(values, dtype=torch.bool)
    margin = NEAR * ((sound.high or 0.0) - (sound.low or 0.0))
    if sound.high is not None:
        ended |= values >= sound.high - margin
        if sound.low is not None and not sound.rectifies:
            ended |= values <= sound.low + margin
    return ended.float()


def judge(heard: Heard) -> Units:
    """Which units are dead, ignoring, saturated or correlated, from what was kept."""
    sound = heard.sound
    means, peaks, places = (torch.cat(p) for p in (heard.means, heard.peaks, heard.places))
    n = len(means)  # more than the images where the module runs on several crops of each
    on, ended = torch.stack(heard.on).sum(0) / n, torch.stack(heard.ended).sum(0) / n
    dead = on == 0 if sound.rectifies else torch.zeros(len(on), dtype=torch.bool)
    moves = torch.maximum(means.std(0), peaks.std(0))
    ignoring = dead | (moves <= STILL * means.abs().amax(0))
    pairs, typical = correlated(places, ~ignoring)
    live = means[:, ~dead]
    sparse = bool((means >= 0).all()) and live.shape[1] > 1
    return Units(
        name=sound.name,
        kind=sound.kind,
        dead=dead,
        ignoring=ignoring,
        saturated=ended >= MOSTLY,
        pairs=pairs,
        correlation=typical,
        active=float(on.mean()),
        sparse_images=float(sparseness(live.T).mean()) if sparse else None,
        sparse_units=float(sparseness(means).mean()) if sparse else None,
        means=means,
    )


def correlated(values: Tensor, living: Tensor) -> tuple[list[tuple[int, int]], float | None]:
    """Pairs (earlier, unit), one a unit that follows an earlier one; and the mean |r|. values: (M, units)."""
    at = (living & (values.std(0) > 0)).nonzero().flatten()
    if len(at) < 2:
        return [], None
    centred = (values[:, at] - values[:, at].mean(0)).double()
    unit = centred / centred.norm(dim=0).clamp_min(1e-300)
    alike = (unit.T @ unit).abs()
    alike.fill_diagonal_(0)
    typical = float(alike.sum() / (len(at) * (len(at) - 1)))
    first = (alike >= ALIKE).int().argmax(0)  # 0 also where there is none
    pairs = [
        (int(at[f]), int(at[u]))
        for u, f in enumerate(first.tolist())
        if f < u and float(alike[f, u]) >= ALIKE
    ]
    return pairs, typical


def sparseness(rows: Tensor) -> Tensor:
    """(R,) how unevenly each row (R, n) of values >= 0 is filled: 0 all alike, 1 a single one (Vinje and Gallant 2000)."""
    n = rows.shape[1]
    square = rows.square().mean(1).clamp_min(1e-30)
    return ((1 - rows.mean(1).square() / square) / (1 - 1 / n)).clamp(0, 1)


def verdict_of(layers: list[Units], images: int) -> tuple[str, Status, str]:
    """One sentence on the worst layer, or on all where none is bad."""
    total = sum(len(u.dead) for u in layers)
    worst = {k: max(layers, key=lambda u, k=k: u.shares[k]) for k in MANY}  # type: ignore[misc]
    sums = {k: sum(round(u.shares[k] * len(u.dead)) for u in layers) for k in MANY}
    parts: list[str] = []
    advice: list[str] = []
    if worst["ignoring"].shares["ignoring"] > MANY["ignoring"]:
        units = worst["ignoring"]
        verb = "never switch on" if torch.equal(units.dead, units.ignoring) else "ignore the input"
        parts.append(
            f"{share_of(units, 'ignoring')} {verb} in {images:,} images"
            + (
                f" ({sums['ignoring']:,} of {total:,} units in all layers)"
                if len(layers) > 1
                else ""
            )
        )
        advice.append(SPREAD)
    if worst["saturated"].shares["saturated"] > MANY["saturated"]:
        units = worst["saturated"]
        parts.append(
            f"{share_of(units, 'saturated')} ({units.kind}) are saturated, where hardly any gradient passes"
        )
        advice.append("Scale the first weights or the images down, or put batch norm before it.")
    if worst["correlated"].shares["correlated"] > MANY["correlated"]:
        units = worst["correlated"]
        parts.append(f"{share_of(units, 'correlated')} respond as another does (|r| ≥ {ALIKE:g})")
        if not advice:
            advice.append(
                "A narrower layer may do as well; where it trains badly, lower the learning rate."
            )
    if parts:
        text = "; ".join(parts)
        half = worst["ignoring"].shares["ignoring"] > 0.5
        return text[0].upper() + text[1:] + ".", "problem" if half else "warning", " ".join(advice)
    text = (
        f"Of {total:,} hidden units {sums['ignoring']:,} ignore the input, {sums['saturated']:,} are saturated and "
        f"{sums['correlated']:,} respond as another does, in {images:,} images"
    )
    rated = [u for u in layers if u.sparse_images is not None and u.sparse_units is not None]
    if rated:
        across = [sum(float(v or 0) for v in vs) / len(rated) for vs in
                  ([u.sparse_images for u in rated], [u.sparse_units for u in rated])]  # fmt: skip
        text += f"; sparseness is {across[0]:.2f} across images and {across[1]:.2f} across units (1: a single one is active)"
    return f"{text}.", "good", ""


def share_of(units: Units, fault: str) -> str:
    """`12 % of the 64 units of layer1.relu`."""
    return f"{percent(units.shares[fault], 0)} of the {len(units.dead):,} units of {units.name}"


def table_of(layers: list[Units]) -> Table:
    """A row a layer."""
    rows: list[tuple[Cell, ...]] = [
        (u.name, u.kind, len(u.dead), int(u.dead.sum()), int(u.ignoring.sum()), int(u.saturated.sum()),
         len(u.pairs), u.correlation, u.active, u.sparse_images, u.sparse_units)
        for u in layers
    ]  # fmt: skip
    return Table(
        columns=("layer", "kind", "units", "dead", "ignoring", "saturated", "correlated", "mean |r|", "active",
                 "sparse across images", "across units"),
        rows=tuple(rows),
        formats=("", "", ",", ",", ",", ",", ",", ".2f", ".0%", ".2f", ".2f"),
        caption="Ignoring: the same for every image, dead ones included. Correlated: responds as an earlier unit does, |r| "
        "of 0.95 or more over images and positions; the kernels may differ. Active: share of values that are "
        "not 0. Sparseness: 0 all alike, 1 a single one.",
    )  # fmt: skip
