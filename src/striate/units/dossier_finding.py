"""The finding of a dossier: verdict, table and figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from striate.findings import Cell, Finding, Table
from striate.units.dossier import Dossier
from striate.units.dossier_figure import draw_dossier
from striate.units.overview import class_name, sees, sides

HARDLY = 0.05  # of the unit's strongest known drive: gratings that reach less do not show what it prefers


def reached(d: Dossier) -> tuple[float, float]:
    """What the best grating drives it to, and the strongest drive that is known of any image."""
    gratings = float(d.tuning.curves["orientation"].response.max())
    real = [p.response for p in d.peaks]
    return gratings, max([gratings, *real, *d.synthesis.end.tolist()])


def find_dossier(
    dossier: Dossier, classes: Sequence[str] = (), *, concept: str = "", name: str = "dossier"
) -> Finding:
    """The dossier as a Finding with one figure. concept: what a dissection found that the unit finds, or empty."""
    d, t = dossier, dossier.tuning
    rows: list[tuple[Cell, Cell]] = [("sees", sees(d.layer))]
    if concept:
        rows.append(("finds", f"{concept}, by dissection"))
    if d.index is not None:
        rows.append(("active", f"{float(d.index.active[d.unit]):.1%} of images and positions"))
        rows.append(("sparseness over images", f"{float(d.index.sparseness[d.unit]):.2f}"))
        if (
            d.index.preferred is not None
            and d.index.selectivity is not None
            and int(d.index.preferred[d.unit]) >= 0
        ):
            word = class_name(classes, int(d.index.preferred[d.unit]))
            rows.append(
                ("prefers", f"{word}, selectivity {float(d.index.selectivity[d.unit]):.2f}")
            )
    if t.driven:
        width = (
            "never falls to half"
            if t.bandwidth is None
            else f"{t.bandwidth:.0f}° half-width at half-height"
        )
        rows += [
            ("orientation", f"{t.orientation:.0f}° (0° horizontal, 90° vertical), {width}"),
            ("circular variance", f"{t.circular_variance:.2f}"),
            ("spatial frequency", f"{t.frequency:.3f} cycles/pixel"),
            ("F1/F0", f"{t.modulation:.2f}: {t.kind}"),
            (
                "bars",
                "none drives it"
                if math.isnan(t.bar_orientation)
                else f"{'bright' if t.bar_bright else 'dark'}, {t.bar_orientation:.0f}°",
            ),
        ]
        rows.append(("best grating", "{:.2g}, where other images reach {:.2g}".format(*reached(d))))
    else:
        rows.append(("gratings", "none drives it above its response to grey"))
    rows.append(
        (
            "white noise",
            f"{d.noise.significance:.0f} standard errors at its strongest pixel, {d.noise.samples:,} samples",
        )
    )
    rows.append(
        (
            "synthesis",
            f"drive {float(d.synthesis.start.max()):.2f} → {float(d.synthesis.end.max()):.2f}",
        )
    )
    if d.silenced is not None:
        s = d.silenced
        points = [100 * v for v in (s.change, *s.interval, *s.random_interval)]
        rows.append(
            (
                "silenced",
                f"accuracy {s.accuracy:.1%} → {s.without:.1%} ({points[0]:+.1f} points, 95 % {points[1]:+.1f} to "
                f"{points[2]:+.1f}); a random unit {points[3]:+.1f} to {points[4]:+.1f}",
            )
        )
    dead = d.index is not None and bool(d.index.dead[d.unit])
    return Finding(
        name=name,
        title=f"Unit {d.unit} of {d.layer.name}",
        verdict=_verdict(d, classes, dead, concept),
        status="warning" if dead else "note",
        advice=f"No projections: {d.unprojected}" if d.unprojected else "",
        tables=(Table(columns=("what", "measured"), rows=tuple(rows)),),
        figures=(draw_dossier(dossier, classes),),
        data={**_data(d, classes), "finds": concept or None},
    )


def _verdict(d: Dossier, classes: Sequence[str], dead: bool, concept: str) -> str:
    if dead:
        return f"Unit {d.unit} of {d.layer.name} is dead: it responds to no image, or to all alike."
    t = d.tuning
    parts = [f"finds {concept}"] if concept else []
    if t.driven and d.layer.grid:
        gratings, most = reached(d)
        if gratings < HARDLY * most:
            parts.append(f"gratings hardly drive it ({gratings:.2g} of {most:.2g})")
        elif t.circular_variance < 0.8:
            parts.append(
                f"a {t.kind} cell that prefers {t.orientation:.0f}° at {t.frequency:.2f} cycles a pixel"
            )
        else:
            parts.append(f"a {t.kind} cell without a preferred orientation")
    if (
        d.index is not None
        and d.index.preferred is not None
        and int(d.index.preferred[d.unit]) >= 0
    ):
        parts.append(f"most active on {class_name(classes, int(d.index.preferred[d.unit]))}")
    if d.silenced is not None:
        parts.append(f"without it accuracy changes by {d.silenced.change * 100:+.1f} points")
    return f"Unit {d.unit} of {d.layer.name}: {', '.join(parts) or 'no grating drives it'}."


def _json(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _data(d: Dossier, classes: Sequence[str]) -> dict[str, object]:
    t, s = d.tuning, d.silenced
    return {
        "layer": d.layer.name,
        "unit": d.unit,
        "field": sides(d.layer).removesuffix(" *"),
        "orientation": _json(t.orientation),
        "bandwidth": _json(t.bandwidth),
        "frequency": _json(t.frequency),
        "octaves": _json(t.octaves),
        "circular_variance": _json(t.circular_variance),
        "modulation": _json(t.modulation),
        "kind": t.kind,
        "bar_orientation": _json(t.bar_orientation),
        "noise_significance": _json(d.noise.significance),
        "synthesis": {"start": d.synthesis.start.tolist(), "end": d.synthesis.end.tolist()},
        "top": [
            {"image": p.image, "position": list(p.position), "response": p.response, "box": [list(b) for b in p.box]}
            for p in d.peaks
        ],
        "silenced": None if s is None else {
            "accuracy": s.accuracy, "without": s.without, "interval": list(s.interval),
            "random": list(s.random_interval),
            "per_class": {class_name(classes, c): [_json(a), _json(b)]
                          for c, (a, b) in enumerate(zip(s.per_class.tolist(), s.without_per_class.tolist(), strict=True))},
        },
    }  # fmt: skip
