"""The probe `similarity`: how similar changed images of one identity stay, and of others become, at a fixed threshold."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from striate.figures import BLUE, GRID, INK, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.statistics.clusters import Share
from striate.tasks.embed.probes.changes import Change, changes
from striate.tasks.embed.probes.similarities import Gallery, Seen, embeddings_of
from striate.wording import percent, points

NOTABLE = 0.05  # a loss of true accepts that is worth acting on
LARGE = 0.2
MORE = 2.0  # times as many false accepts, from which on it is worth saying

ADVICE = {
    "shift": "Train with shifted images (`--set shift=`), or cut images so that what they show stands in the same place.",
    "rotation": "Train with rotated images (`--set rotate=`), or align images first.",
    "scale": "Train with images of other sizes (`--set scale=`), or cut them at the same size.",
    "light": "Train with images in other light, or even the light out before.",
    "blur": "Train with blurred images too, or ask for sharper ones.",
    "noise": "Train with noise, or ask for images with more light.",
    "occlusion": "Train with erased patches (`--set erase=`), or enrol several images of each identity.",
}


class Line(NamedTuple):
    """A change and what was seen under it."""

    change: Change | None
    seen: Seen

    @property
    def name(self) -> str:
        """What the change is called."""
        return "as they are" if self.change is None else self.change.name


def similarity(context: Any) -> Finding:
    """True and false accepts at a fixed threshold, and recall at 1, of changed images against images as they are.

    Intervals are over identities; the change of the true accept rate is of the same pairs. context: the probe context.
    """
    started = time.perf_counter()
    gallery = Gallery.of(context)
    clean = gallery.seen(gallery.embeddings)
    lines = [Line(None, clean)]
    for change in changes(context.side, context.seed):
        changed = embeddings_of(context, change.apply(context.images))
        lines.append(Line(change, gallery.seen(changed)))
    rows = []
    for line in lines:
        tar, far, recall = line.seen.tar, line.seen.far, line.seen.recall
        lost = line.seen.lost(clean)
        moved = "" if line.change is None else f"{100 * lost[1]:+.1f} to {100 * lost[2]:+.1f}"
        rows.append(
            (
                line.name, line.seen.genuine[1], line.seen.impostor[1], tar.value, moved, far.value, span(far, 2),
                recall.value, span(recall, 1),
            )
        )  # fmt: skip
    verdict, status, advice = judged(lines, clean, gallery)
    return Finding(
        name="probe-similarity",
        title="Similarity under changes",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("changed by", "same", "different", "true accepts", "change", "false accepts", "95 %", "recall at 1",
                         "95 % of it"),
                rows=tuple(rows),
                formats=("", ".3f", ".3f", ".1%", "", ".2%", "", ".1%", ""),
                caption=f"{len(context):,} images of {len(clean.asked):,} identities, each changed and compared with all "
                "others as they are. Same, different: the median similarity of pairs of one identity and of different ones. "
                f"Accepts at {gallery.threshold:.3f}, chosen for "
                f"{100 * gallery.rate:.0f} % of false ones among these images as they are. Intervals of 95 % "
                "over identities; the change of true accepts in points, of the same pairs.",
            ),
        ),
        figures=(chart(lines, gallery.threshold),),
        data={
            "threshold": gallery.threshold, "rate": gallery.rate, "changes": [line.name for line in lines],
            "true_accepts": [line.seen.tar.value for line in lines],
            "false_accepts": [line.seen.far.value for line in lines],
            "recall_at_1": [line.seen.recall.value for line in lines],
            "change": [line.seen.lost(clean)[0] for line in lines], "images": len(context),
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def span(share: Share, decimals: int) -> str:
    """An interval as a person reads it."""
    return f"{percent(share.low, decimals).removesuffix(' %')}–{percent(share.high, decimals)}"


def judged(lines: list[Line], clean: Seen, gallery: Gallery) -> tuple[str, Status, str]:
    """The sentence, the status and the advice: about what costs most of what may well happen."""
    known = [(line, line.change, line.seen.lost(clean)) for line in lines if line.change is not None]  # fmt: skip
    costly = [(a, c, lost) for a, c, lost in known if lost[0] <= -NOTABLE and lost[2] < 0]
    common = [one for one in costly if one[1].common]
    start = f"At a fixed threshold it accepts {percent(clean.tar.value)} of pairs of one identity"
    opened = max(known, key=lambda one: one[0].seen.far.value)
    far = opened[0].seen.far
    is_open = far.low > MORE * max(clean.far.value, 1e-9)
    more = (
        f"; {opened[0].name} raises false accepts from {percent(clean.far.value, 2)} to {percent(far.value, 2)} "
        f"({percent(far.low, 2)} to {percent(far.high, 2)})"
        if is_open
        else ""
    )
    if not costly:
        worst = min(known, key=lambda one: one[2][0])
        unsure = worst[2][1] <= -2 * NOTABLE
        told = "too few identities to tell whether a change" if unsure else "no change tried here"
        return (
            f"{start}; {told} costs it {points(NOTABLE)} (the worst, {worst[0].name}, {100 * worst[2][0]:+.1f} points, 95 % "
            f"interval {100 * worst[2][1]:+.1f} to {100 * worst[2][2]:+.1f}){more}.",
            "warning" if is_open else "note" if unsure else "good",
            "Probe it on more identities: `--limit`, or more with `--data`." if unsure else "",
        )  # fmt: skip
    line, change, lost = min(common or costly, key=lambda one: one[2][0])
    return (
        f"{start}, and loses {points(lost[0])} of them under {line.name} (95 % interval over identities "
        f"{abs(100 * lost[2]):.1f} to {abs(100 * lost[1]):.1f}){more}.",
        "warning" if is_open or (common and lost[0] < -LARGE) else "note",
        ADVICE[change.kind],
    )  # fmt: skip


def chart(lines: list[Line], threshold: float) -> Figure:
    """Both kinds of similarity under each change: the median and the middle 90 %, with the threshold."""
    with style():
        figure = new_figure(6.6, 1.1 + 0.27 * len(lines))
        axes = figure.subplots()
        for i, line in enumerate(lines):
            y = len(lines) - 1 - i
            for off, values, colour, mark, name in (
                (0.13, line.seen.genuine, BLUE, "o", "one identity"),
                (-0.13, line.seen.impostor, VERMILLION, "s", "different identities"),
            ):
                axes.hlines(y + off, values[0], values[2], color=colour, linewidth=2, alpha=0.5)
                axes.plot([values[1]], [y + off], mark, color=colour, markersize=4, label=None if i else name)  # fmt: skip
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"threshold {threshold:.3f}", (threshold, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom",
            fontsize=8,
        )  # fmt: skip
        axes.axhline(len(lines) - 1.5, color=GRID, linewidth=0.6)
        axes.set_yticks(range(len(lines))[::-1], [line.name for line in lines])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.7, len(lines) - 0.4)
        axes.set(xlabel="similarity (cosine)")
        axes.grid(axis="x")
        figure.legend(loc="outside upper right", ncols=2)
        return render(
            figure,
            caption="Similarity of changed images to images as they are: median, and the middle 90 % of pairs. What lies "
            "right of the threshold is accepted.",
            alt=f"Similarities under {len(lines) - 1} changes.",
        )  # fmt: skip
