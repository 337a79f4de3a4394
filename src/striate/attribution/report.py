"""Found: an explanation as a Finding, and as arrays."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from striate.attribution.explanation import Explanation, Region
from striate.attribution.faithfulness import BASELINES
from striate.attribution.hidden import Hidden
from striate.attribution.methods import row
from striate.attribution.picture import both, picture
from striate.attribution.randomisation import STAGES
from striate.figures import BLUE, CYCLE, GRID, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table

LABELS = {"random": "chance", "edges": "an edge detector"}


def finding(explanation: Explanation, *, name: str, title: str, figures: bool = True) -> Finding:
    """One explanation as a Finding: verdict, a row a method, the page of maps and the curves."""
    e = explanation
    drawn: tuple[Figure, ...] = ()
    if figures:
        drawn = (both(partial(picture, e, title=title)), *((chart(e),) if e.curves else ()))
    return Finding(
        name=name,
        title=title,
        verdict=e.verdict,
        status="warning" if e.empty or (e.curves and not e.convincing) else "note",
        advice=e.advice,
        tables=(table(e),),
        figures=drawn,
        data=data(e),
        seed=e.seed,
        seconds=round(e.seconds, 2),
    )


def table(e: Explanation) -> Table:
    """A row a method, and one each for chance and the edge detector; without trust scores what each method does."""
    if not e.curves and not e.shuffled_similarity:
        return Table(
            columns=("method", "what it shows"),
            rows=tuple((one.title, one.remark) for one in e.maps.values()),
        )
    rows: list[tuple[Cell, ...]] = []
    for method, one in e.maps.items():
        by_stage = e.shuffled_similarity.get(method, {})
        rows.append((one.title, *_areas(e, method), *(by_stage.get(s) for s in STAGES)))
    for other in BASELINES:
        if other in e.curves:
            rows.append((LABELS[other], *_areas(e, other), None, None))
    return Table(
        columns=("method", "faithful", "put in", "taken out", "half shuffled", "all shuffled"),
        rows=tuple(rows),
        formats=("", "+.2f", ".2f", ".2f", ".2f", ".2f"),
        caption=f"Put in and taken out: area under {_score(e)} while the cells that the map marks most are put "
        "into a blurred image, or taken out of this one; faithful is their difference. Shuffled: rank correlation with the "
        "map of the network whose upper half of weights, or all of them, are shuffled; near 1, the map shows the image "
        "and not the network.",
    )


def _score(e: Explanation) -> str:
    """What the curves show: the probability of a class, or the score of any other target."""
    if e.probability is not None:
        return "the target's probability"
    return "the target's score (1 for this image and 0 for one without content, where it is no probability)"


def _areas(e: Explanation, name: str) -> tuple[float | None, float | None, float | None]:
    c = e.curves.get(name)
    return (None, None, None) if c is None else (c.faithfulness, c.insertion_area, c.deletion_area)


def data(e: Explanation) -> dict[str, Any]:
    """The numbers, as JSON types."""
    return {
        "target": e.target,
        "probability": e.probability,
        "top": [{"class": name, "probability": share} for name, share in e.top],
        "best": e.best,
        "convincing": e.convincing,
        "p": e.p,
        "methods": {
            method: {
                "remark": one.remark,
                "empty": one.empty,
                "shuffled_similarity": dict(e.shuffled_similarity.get(method, {})),
            }
            for method, one in e.maps.items()
        },
        "curves": {
            name: {**{k: list(v) for k, v in asdict(c).items()}, "faithfulness": c.faithfulness}
            for name, c in e.curves.items()
        },
        "refused": dict(e.refused),
        **({} if e.region is None else {"region": _sides(e.region)}),
        **({} if e.cone is None else {"cone": _sides(e.cone)}),
        **({"beside": {name: one.remark for name, one in e.beside.items()}} if e.beside else {}),
        **({"occlusion_probability": _hidden(e.hidden)} if e.hidden is not None else {}),
    }


def _sides(part: Region) -> dict[str, int]:
    rows, columns = part
    return {"top": rows.start, "left": columns.start, "bottom": rows.stop, "right": columns.stop}


def _hidden(h: Hidden) -> dict[str, Any]:
    return {
        "values": h.values.tolist(), "rows": list(h.tops), "columns": list(h.lefts), "patch": list(h.patch),
        "whole": h.whole,
    }  # fmt: skip


def chart(e: Explanation) -> Figure:
    """Insertion and deletion curves: the best methods in colour, the others and the baselines in grey."""
    order = sorted(e.maps, key=lambda m: -e.curves[m].faithfulness)
    with style():
        figure = new_figure(7.2, 3.4)
        axes = figure.subplots(1, 2, sharey=True)
        for place, (what, heading) in enumerate(
            (("insertion", "Put in, most marked first"), ("deletion", "Taken out, most marked first"))
        ):  # fmt: skip
            for name, dashes in (("random", ":"), ("edges", "--")):
                c = e.curves[name]
                axes[place].plot(c.fractions, getattr(c, what), dashes, color=GRID, label=LABELS[name])  # fmt: skip
            for i, method in enumerate(order):
                c = e.curves[method]
                first = i < 3
                colour = CYCLE[i] if first else GRID
                label = row(method).title if first else None
                axes[place].plot(c.fractions, getattr(c, what), color=colour or BLUE, label=label,
                                 lw=2 if first else 0.7, zorder=3 if first else 1)  # fmt: skip
            axes[place].set(title=heading, xlabel="share of the image", xlim=(0, 1))
        what, scaled = "probability", ""
        if e.probability is None:
            what, scaled = (
                "score",
                "; 1 is this image and 0 one without content, where it is no probability",
            )
        axes[0].set_ylabel(f"{what} of {e.target}"[:40])
        axes[0].set_ylim(bottom=min(0, axes[0].get_ylim()[0]))
        axes[1].legend(loc="best")
        return render(
            figure,
            caption=(
                f"The {what} of “{e.target}” while what each map marks is put in and taken out"
                f"{scaled}."
            ),
            alt="Insertion and deletion curves of the methods, of chance and of an edge detector",
        )


def arrays(explanation: Explanation) -> dict[str, np.ndarray]:
    """`image` (C, H, W) in [0, 1], each method's values under its name, and `occlusion-probability`, the class's with the
    patch at each place (rows, columns), where that is known; occlusion of the numbers beside it; float32."""
    by_name = {"image": explanation.image.numpy()}
    for method, one in explanation.maps.items():
        by_name[method] = one.values.float().contiguous().numpy()
    for name, one in explanation.beside.items():
        by_name[f"occlusion-{name.lower().replace(' ', '-')}"] = (
            one.values.float().contiguous().numpy()
        )
    if explanation.hidden is not None:
        by_name["occlusion-probability"] = explanation.hidden.values.float().numpy()
    return by_name
