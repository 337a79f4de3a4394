"""The findings of a dissection: how many units of each layer find what, their pictures, and what they are for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from striate.findings import Cell, Finding, Table
from striate.units.concept_silencing import SilencedConcept
from striate.units.dissection import (
    BY_CHANCE,
    LEAST,
    SHUFFLES,
    Dissection,
    LayerDissection,
)
from striate.units.dissection_figure import draw_counts, draw_named
from striate.units.network import Network
from striate.units.overview import class_name
from striate.wording import as_sentence

BEST = 40  # units listed; the data has all


def find_dissection(
    network: Network, dissection: Dissection, *, name: str = "dissection"
) -> Finding:
    """How many units of each layer find what, with chance beside it and the pictures of the best."""
    d = dissection
    units = sum(x.layer.units for x in d.layers)
    named = sum(int(x.named.sum()) for x in d.layers)
    found = Counter(d.concepts.names[int(b)] for x in d.layers for b in x.best[x.named])
    figures = [draw_counts(d)] if named else []
    figures += [draw_named(network, d)] if named else []
    most = ", ".join(f"{n} {c}" for c, n in found.most_common(3))
    verdict = (
        f"{named:,} of {units:,} units have a name, and {len(found)} of {len(d.concepts.names)} concepts have a unit; most "
        f"have {most}."
        if named
        else f"None of {units:,} units finds a concept better than chance."
    )
    strange = "; ".join(d.concepts.remarks)
    return Finding(
        name=name,
        title="What units find",
        verdict=verdict,
        advice=as_sentence(strange) if strange else "",
        tables=(_layers(d), *([_concepts(d, found), _best(d)] if named else [])),
        figures=tuple(figures),
        data={
            "images": d.images,
            "where": d.concepts.where,
            "quantile": d.quantile,
            "memory_bytes": d.state_bytes,
            "concepts": [
                {"name": n, "kind": k, "area": float(a), "units": found[n]}
                for n, k, a in zip(d.concepts.names, d.concepts.kinds, d.areas, strict=True)
            ],
            "layers": {x.layer.name: _layer(d, x) for x in d.layers},
        },
    )


def _layers(d: Dissection) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for x in d.layers:
        found = Counter(d.concepts.names[int(b)] for b in x.best[x.named])
        random = float(x.random.max()) if len(x.random) else None
        top = found.most_common(1)
        rows.append(
            (
                x.layer.name, x.layer.units, int(x.named.sum()), len(found), float(np.median(x.score)),
                x.chance if x.shuffled else None, random,
                f"{top[0][0]} ({top[0][1]})" if top else None,
            )
        )  # fmt: skip
    return Table(
        columns=("layer", "units", "named", "concepts", "median IoU", "chance", "random unit", "most"),
        rows=tuple(rows),
        formats=("", ",", ",", ",", ".3f", ".3f", ".3f", ""),
        caption=(
            f"Over {d.images:,} images. A unit is named where its IoU is above {LEAST} and above chance, the IoU that masks "
            f"of other images exceed for one unit in {1 / BY_CHANCE:.0f}. Random unit: the highest of units with the same "
            "spectrum and random places."
        ),
    )  # fmt: skip


def _concepts(d: Dissection, found: Counter[str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for number, concept in enumerate(d.concepts.names):
        if not found[concept]:
            continue
        scores = [np.where((x.best == number) & x.named, x.score, -1) for x in d.layers]
        at = max(range(len(scores)), key=lambda i: float(scores[i].max()))
        unit = int(scores[at].argmax())
        rows.append(
            (
                concept, d.concepts.kinds[number], float(d.areas[number]), found[concept],
                f"{d.layers[at].layer.name}: {unit}", float(scores[at][unit]),
            )
        )  # fmt: skip
    rows.sort(key=lambda r: (-int(str(r[3])), str(r[0])))
    return Table(
        columns=("concept", "kind", "share of pixels", "units", "best unit", "IoU"),
        rows=tuple(rows),
        formats=("", "", ".2%", ",", "", ".3f"),
        caption="Concepts that have a unit.",
    )


def best_units(d: Dissection) -> list[tuple[LayerDissection, int]]:
    """The named units, the highest IoU first."""
    named = [(x, u) for x in d.layers for u in np.flatnonzero(x.named).tolist()]
    return sorted(named, key=lambda one: -float(one[0].score[one[1]]))


def _best(d: Dissection) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for x, u in best_units(d)[:BEST]:
        rows.append(
            (
                x.layer.name, u, d.concepts.names[int(x.best[u])], float(x.score[u]), f"{x.low[u]:.3f}–{x.high[u]:.3f}",
                float(x.p[u]),
            )
        )  # fmt: skip
    return Table(
        columns=("layer", "unit", "finds", "IoU", "95 %", "p"),
        rows=tuple(rows),
        formats=("", "", "", ".3f", "", ".2g"),
        caption=(
            f"The {len(rows)} units of the highest IoU. The interval is of resampled images; p is how often masks of other "
            f"images fit a unit of the layer as well{_least(d)}."
        ),
    )


def _least(d: Dissection) -> str:
    """The smallest p that the shuffles can show."""
    least = max(x.least_p for x in d.layers)
    if least == 1:
        return ": of a single image there are none, so that it is 1"
    return f": of {SHUFFLES} shuffles of the images it is at least {least:.2g} in a layer"


def _layer(d: Dissection, x: LayerDissection) -> dict[str, object]:
    def number(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return {
        "chance": x.chance if x.shuffled else None,
        "shuffled": x.shuffled,
        "least_p": x.least_p,
        "random": [float(v) for v in x.random],
        "units": [
            {
                "unit": u,
                "concept": d.concepts.names[int(x.best[u])] if x.best[u] >= 0 else None,
                "named": bool(x.named[u]),
                "iou": float(x.score[u]),
                "low": number(x.low[u]),
                "high": number(x.high[u]),
                "p": float(x.p[u]),
                "threshold": number(float(x.thresholds[u])),
            }
            for u in range(x.layer.units)
        ],
    }


def find_silenced(
    silenced: Sequence[SilencedConcept],
    classes: Sequence[str],
    images: int,
    *,
    name: str = "dissection-silenced",
) -> Finding:
    """What the classes lose without the units of a concept. silenced must have one at least."""
    rows: list[tuple[Cell, ...]] = []
    for s in silenced:
        worst = int(np.nanargmin(s.per_class))
        rows.append(
            (
                s.concept, s.units, s.change * 100, f"{s.low * 100:+.1f} to {s.high * 100:+.1f}",
                float(s.random.mean()) * 100, class_name(classes, worst), float(s.per_class[worst]) * 100,
            )
        )  # fmt: skip
    most = min(silenced, key=lambda s: s.change - float(s.random.mean()))
    lost = (most.change - float(most.random.mean())) * 100
    return Finding(
        name=name,
        title="What named units are for",
        verdict=(
            f"Without its {most.units} units for {most.concept} accuracy changes by {most.change * 100:+.1f} points, "
            f"{abs(lost):.1f} {'more' if lost < 0 else 'less'} than without as many random ones."
        ),
        tables=(
            Table(
                columns=(
                    "concept", "units", "accuracy (points)", "95 %", "random units", "class that loses most",
                    "its recall (points)",
                ),
                rows=tuple(rows),
                formats=("", ",", "+.1f", "", "+.1f", "", "+.1f"),
                caption=(
                    f"The responses of all units of a concept are set to 0 together, on {images:,} images with labels; "
                    "random: as many units of the same layers, the mean of three draws."
                ),
            ),
        ),
        data={
            "images": images,
            "concepts": [
                {
                    "concept": s.concept, "units": s.units, "accuracy": s.accuracy, "without": s.without,
                    "interval": [s.low, s.high], "random": s.random.tolist(),
                    "per_class": {
                        class_name(classes, c): None if math.isnan(v) else v for c, v in enumerate(s.per_class.tolist())
                    },
                }
                for s in silenced
            ],
        },
    )  # fmt: skip


def names_of(data: Mapping[str, object], layer: str) -> dict[int, str]:
    """The names of a layer's units, such as "red (IoU 0.21)", from the data of a finding of `find_dissection`."""
    layers = data.get("layers")
    one = layers.get(layer) if isinstance(layers, dict) else None
    units = one.get("units") if isinstance(one, dict) else None
    if not isinstance(units, list):
        return {}
    return {
        int(u["unit"]): f"{u['concept']} (IoU {u['iou']:.2f})"
        for u in units
        if isinstance(u, dict) and u.get("named")
    }
