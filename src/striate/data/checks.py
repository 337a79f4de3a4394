"""The check before training: what in the data would spoil a result, said before the first step."""

from __future__ import annotations

from collections.abc import Sequence

from striate.data.deep_remarks import deep_remarks
from striate.data.problems import Remark, find, names
from striate.data.source import Source, refuse_empty
from striate.errors import DataError
from striate.findings import Finding, Status, Table

LISTED = 100  # rows in a table
RANK: dict[Status, int] = {"good": 0, "note": 1, "warning": 2, "problem": 3}


def check(source: Source) -> Finding:
    """Look for what would spoil the training: damage, duplicates, leaks, few images, imbalance,
    odd sizes, and properties that give the class away.

    Raises DataError where training cannot start at all: fewer than two classes, or no training
    images.
    """
    if len(source.classes) < 2:
        raise DataError(f"{source.name} has one class; at least two are needed")
    refuse_empty(source)
    total = f"{len(source):,} images in {len(source.classes)} classes"
    return checked(source, [*find(source), *deep_remarks(source.splits)], total)


def checked(source: Source, found: Sequence[Remark], total: str) -> Finding:
    """The check's finding from its remarks. total: what the source holds, in words."""
    remarks = sorted(found, key=lambda r: -RANK[r.status])
    worst: Status = remarks[0].status if remarks else "good"
    serious = [r for r in remarks if RANK[r.status] >= RANK["warning"]]
    if serious:
        more = f" ({len(serious) - 1} more below)" if len(serious) > 1 else ""
        verdict = serious[0].sentence + more
    elif remarks:
        verdict = f"{total}; nothing stands in the way, {len(remarks)} remarks below."
    else:
        verdict = f"{total}; nothing stands in the way."
    tables = [
        Table(
            columns=("what", "how bad", "found", "what to do"),
            rows=tuple((r.kind, r.status, r.sentence, r.advice) for r in remarks),
            caption="What was found",
        )
    ]
    if source.damaged:
        tables.append(
            Table(
                columns=("file", "reason"),
                rows=tuple((d.path, d.reason) for d in source.damaged[:LISTED]),
                caption=_caption("Files that cannot be used", len(source.damaged)),
            )
        )
    if source.duplicates:
        groups = sorted(source.duplicates, key=lambda d: (not d.conflicting, not d.dropped))
        tables.append(
            Table(
                columns=("images", "classes", "splits", "left out"),
                rows=tuple(
                    (
                        names(d.keys),
                        ", ".join(dict.fromkeys(d.classes)),
                        ", ".join(dict.fromkeys(d.splits)),
                        names(d.dropped),
                    )
                    for d in groups[:LISTED]
                ),
                caption=_caption("Images with the same content", len(source.duplicates)),
            )
        )
    return Finding(
        name="data-check",
        title="Check of the data",
        verdict=verdict,
        status=worst,
        advice=serious[0].advice if serious else "",
        tables=tuple(tables) if remarks else (),
        data={
            "fingerprint": source.fingerprint,
            "images": len(source),
            "classes": len(source.classes),
            "remarks": [
                {
                    "kind": r.kind,
                    "status": r.status,
                    "sentence": r.sentence,
                    "advice": r.advice,
                    "count": r.count,
                    "where": list(r.where[:LISTED]),
                }
                for r in remarks
            ],
            "damaged": [{"path": d.path, "reason": d.reason} for d in source.damaged],
        },
    )


def _caption(text: str, count: int) -> str:
    return text if count <= LISTED else f"{text} (the first {LISTED} of {count:,})"
