"""Each identity: how often its images find one another, and whom it is taken for."""

from __future__ import annotations

import numpy as np

from striate.findings import Cell, Finding, Table
from striate.tasks.embed.evaluation.verification import accepted_at
from striate.tasks.embed.findings.held import Held, written
from striate.wording import counted, percent, quoted

SHOWN = 200  # rows; of more identities, the weakest


def identities(held: Held) -> Finding:
    """Recall at 1, true and false accepts of each identity, weakest first, and who else lies nearest to it."""
    embedded, found = held.embedded, held.retrieval
    threshold, _ = held.in_use
    seen = accepted_at(embedded, threshold)
    centres = np.add.reduceat(embedded.embeddings, embedded.starts, axis=0)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    labels = embedded.labels[embedded.starts]
    rows: list[tuple[Cell, ...]] = []
    for g, label in enumerate(labels):
        mine = found.first[found.identity == label]
        near = centres @ centres[g]
        near[g] = -2
        other = int(near.argmax())
        genuine, impostor = seen.genuine_pairs[g], seen.impostor_pairs[g]
        rows.append(
            (
                str(held.names[int(label)]), int(embedded.counts[g]), float((mine <= 1).mean()) if len(mine) else None,
                float(seen.genuine[g] / genuine) if genuine else None,
                float(seen.impostors[g] / impostor) if impostor else None,
                str(held.names[int(labels[other])]), float(near[other]),
            )
        )  # fmt: skip
    rows.sort(key=lambda r: (2.0 if r[2] is None else r[2], 2.0 if r[3] is None else r[3]))  # type: ignore[operator,return-value]
    known = [r for r in rows if r[2] is not None]
    lost = sum(r[2] == 0 for r in known)
    alarming = max(rows, key=lambda r: r[4] or 0.0)  # type: ignore[arg-type,return-value]
    worst = known[0]
    verdict = (
        f"All images of all {counted(len(known), 'identity', 'identities')} have one of their own nearest."
        if worst[2] == 1
        else f"Hardest is {quoted(str(worst[0]))}: {percent(float(worst[2] or 0))} of its images have one of their own "
        "nearest."
    )
    if lost > 1:
        verdict += f" {lost:,} of {len(known):,} identities are never found."
    if alarming[4]:
        verdict += (
            f" {quoted(str(alarming[0]))} is most often taken for others, in {percent(float(alarming[4]))} of its pairs, "
            f"and lies nearest to {quoted(str(alarming[5]))}."
        )
    alone = len(rows) - len(known)
    return Finding(
        name="per-identity",
        title="Each identity",
        verdict=verdict,
        status="note" if worst[2] != 1 else "good",
        advice=f"{counted(alone, 'identity', 'identities')} with a single image cannot be found; a second one of each would "
        "show whether it is." if alone else "",
        tables=(
            Table(
                columns=("identity", "images", "recall at 1", "true accepts", "false accepts", "nearest to", "similarity"),
                rows=tuple(rows[:SHOWN]),
                formats=("", ",", ".1%", ".1%", ".2%", "", ".3f"),
                caption=("Weakest first" if len(rows) <= SHOWN else f"The {SHOWN} weakest of {len(rows):,}")
                + f"; accepts at a similarity of {written(threshold)}, false ones over its pairs with all others. The "
                "nearest other identity by the mean embedding.",
            ),
        ),
        data={"identities": len(rows), "never_found": lost, "single_image": alone},
        seed=held.seed,
    )  # fmt: skip
