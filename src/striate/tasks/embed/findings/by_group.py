"""By group: false and true accepts of the pairs within each group, at one threshold, with intervals over identities."""

from __future__ import annotations

import numpy as np

from striate.findings import Cell, Finding, Table
from striate.statistics.clusters import Share
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.verification import rates_at
from striate.tasks.embed.findings.held import Held, written
from striate.wording import counted, in_quotes, percent

MOST = 50  # groups that are measured; more are numbers of something else


def by_group(held: Held, column: str, groups: list[str]) -> Finding:
    """What the threshold accepts within each group. groups: of each image, "" for none; column: that names them.

    A pair of two groups is in none of them. A group is named as worse or better where its interval over identities lies off
    the rate of all pairs.
    """
    names = np.array(groups)
    known = [str(name) for name in np.unique(names) if name]
    threshold, origin = held.in_use
    whole = rates_at(held.embedded, threshold)
    rows: list[tuple[Cell, ...]] = []
    data, off = [], []
    for name in known[:MOST]:
        some = names == name
        images = Embedded.of(held.embeddings[some], held.labels[some])
        rates = rates_at(images, threshold)
        rows.append(
            (name, images.identities, int(some.sum()), *_cells(rates.far), *_cells(rates.tar))
        )
        data.append({
            "group": name, "identities": images.identities, "images": int(some.sum()), "far": _numbers(rates.far),
            "tar": _numbers(rates.tar),
        })  # fmt: skip
        if rates.far.of and rates.far.low > whole.far.value:
            off.append((name, rates.far))
    if off:
        name, share = max(off, key=lambda one: one[1].value)
        verdict = (
            f"Within {in_quotes(name)} {percent(share.value, 2)} of pairs of different identities are accepted (95 % "
            f"interval over identities {percent(share.low, 2)} to {percent(share.high, 2)}), and "
            f"{percent(whole.far.value, 2)} of all such pairs."
        )
    else:
        verdict = (
            f"In none of {counted(len(data), 'group')} are more pairs of different identities accepted than in all of them "
            f"({percent(whole.far.value, 2)}), as far as the intervals tell."
        )
    if len(known) > MOST:
        verdict += f" The first {MOST} of {len(known):,} groups were measured."
    return Finding(
        name="by-group", title=f"Errors by {column}", verdict=verdict, status="warning" if off else "note",
        advice=(
            "Choose the threshold within that group, or train on more of its identities: people of it are taken for others "
            "more often than the rate promises."
            if off
            else ""
        ),
        tables=(
            Table(
                columns=(
                    column, "identities", "images", "impostor pairs", "accepted", "95 %", "genuine pairs", "accepted ",
                    "95 % ",
                ),
                rows=tuple(rows), formats=("", ",", ",", ",", ".2%", "", ",", ".2%", ""),
                caption=f"Pairs within each group at {written(threshold)}, {origin}; intervals over identities. Pairs of "
                "two groups, which are easier to tell apart where groups look different, are in none.",
            ),
        ),
        data={
            "column": column, "threshold": threshold, "far": _numbers(whole.far), "tar": _numbers(whole.tar), "groups": data,
        },
        seed=held.seed,
    )  # fmt: skip


def _cells(share: Share) -> tuple[Cell, ...]:
    if not share.of:
        return (0, None, None)
    return (share.of, share.value, f"{percent(share.low, 2)} to {percent(share.high, 2)}")


def _numbers(share: Share) -> dict[str, float | int] | None:
    if not share.of:
        return None
    return {"pairs": share.of, "accepted": share.hits, "low": share.low, "high": share.high}
