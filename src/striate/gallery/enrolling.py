"""Enrolling: images of known names into a gallery, with the threshold that they give."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import striate
from striate.errors import DataError, UsageError
from striate.findings import Cell, Finding, Status, Table
from striate.gallery.changing import Change, changing
from striate.gallery.choosing import (
    Cohort,
    Impostors,
    choose,
    errors_of_group,
    impostors_of,
    reached_by_own,
)
from striate.gallery.document import FORMAT
from striate.gallery.faces import refuse_other_detector
from striate.gallery.gallery import Gallery, kind_of, network_of, refuse_other
from striate.gallery.left_out import left_out
from striate.gallery.part import Rows
from striate.gallery.people import People, alike_names
from striate.gallery.seeing import reader
from striate.statistics.clusters import Share
from striate.tasks.embedding import Embedder, Embedding
from striate.wording import as_sentence, as_text, counted, in_quotes, percent

AT_ONCE = 1024  # images that wait for a part
SUSPECT = 0.97  # similarity of images of different names from which on a person should look at them
Progress = Callable[[int, int], None]


def enrol(
    path: Path, embedder: Embedder, people: People | None, *, where: str | None, rate: float | None = None,
    strangers: People | None = None, faces: bool = False, detector: Mapping[str, Any] | None = None, seed: int = 0,
    progress: Progress = lambda done, of: None,
) -> Finding:  # fmt: skip
    """Enrol people into the gallery at `path`, which is made, and choose its threshold anew; None: choose it alone.

    where: by what the network is opened again. rate: of false accepts; that of the gallery, or 0.01, if None. strangers:
    images of nobody who is enrolled, to choose the threshold by; the enrolled of other names if None. faces: by `faces` of
    the people. detector: what found them, as the document says it. A gallery stays as it was wherever this raises:
    UsageError for a rate that the images do not resolve, GalleryError for another network's gallery, DataError where no
    image can be used or one image is of two names, WriteError.
    """
    with changing(path, new=people is not None) as change:
        before = change.before
        if before is not None:
            refuse_other(path, before.document, embedder)
            held, given = before.holds, kind_of(faces, detector)
            if people is not None and held != given:
                raise UsageError(
                    f"{path} holds {held}, and these are {given}; enrol them into a gallery of their own"
                )
            if before.detector is not None and detector is not None:
                refuse_other_detector(path, before.detector, detector)
        taken = Taken()
        if people is not None:
            for rows in _rows(embedder, people, faces, before, taken, progress):
                change.add(rows)
            change.flush()
        if not change.parts or (people is not None and not taken.names and not taken.again):
            reason = taken.left[0][1] if taken.left else "there is none"
            raise DataError(
                f"none of {counted(len(people or ()), 'image')} can be enrolled: {reason}"
            )
        cohort = (
            None
            if strangers is None
            else _cohort(embedder, strangers, faces, path, change, progress)
        )
        document = _document(change, embedder, where, faces, detector)
        gallery = change.opened(document)
        if cohort is not None:
            _refuse_enrolled(gallery, cohort, strangers)
        found = impostors_of(gallery, cohort, seed)
        default = None if before is None else float(before.threshold["rate"])
        threshold = choose(found, rate, default=default, seed=seed)
        document = {**document, "threshold": threshold}
        gallery = Gallery(path, document, gallery.parts)
        former = None if before is None or cohort is not None else before.threshold["source"]
        finding = enrolled_finding(gallery, people, taken, found, former)
        change.commit(document)
    return finding


class Taken:
    """What became of the images: how many of each name, those that were there already, and those left out with reasons."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self.again: list[str] = []
        self.changed: list[str] = []
        self.left: list[tuple[str, str]] = []


def _rows(
    embedder: Embedder, people: People, faces: bool, before: Gallery | None, taken: Taken, progress: Progress
) -> Iterator[Rows]:  # fmt: skip
    """The images' rows, some at a time. Raises DataError for an image of two names."""
    known: dict[bytes, tuple[str, str]] = {}

    def same(content: bytes) -> tuple[str, str] | None:
        row = None if before is None or content in known else before.row_of(content)
        if before is not None and row is not None:
            return before.name_of(row), before.path_of(row)
        return known.get(content)

    paths = set[int]()
    if before is not None:
        rows = range(len(before))
        paths = {hash((before.name_of(row), before.path_of(row))) for row in rows}
    read = reader(embedder.trained, people.path, people.faces if faces else None)
    waiting: list[tuple[Embedding, str, str]] = []
    stream = embedder.stream(people.keys, read)
    for done, (one, name, group) in enumerate(zip(stream, people.names, people.groups, strict=True), 1):  # fmt: skip
        progress(done, len(people))
        if one.vector is None:
            taken.left.append((one.path, str(one.error)))
            continue
        if (twin := same(one.content)) is not None:
            other, first = twin
            if other != name:
                raise DataError(
                    f"{one.path} of {in_quotes(name)} and {first} of {in_quotes(other)} are the same image, which cannot be "
                    "of two names; delete one of them (nothing was enrolled)"
                )
            taken.again.append(one.path)
            continue
        if hash((name, as_text(one.path))) in paths:
            taken.changed.append(one.path)
        known[one.content] = name, one.path
        taken.names[name] += 1
        waiting.append((one, name, group))
        if len(waiting) == AT_ONCE:
            yield _as_rows(waiting)
            waiting = []
    if waiting:
        yield _as_rows(waiting)


def _as_rows(several: list[tuple[Embedding, str, str]]) -> Rows:
    return Rows(
        vectors=np.stack([one.vector for one, _, _ in several if one.vector is not None]),
        contents=[one.content for one, _, _ in several], names=[name for _, name, _ in several],
        paths=[as_text(one.path) for one, _, _ in several], groups=[group for _, _, group in several],
    )  # fmt: skip


def _cohort(
    embedder: Embedder, strangers: People, faces: bool, path: Path, change: Change, progress: Progress
) -> Cohort:  # fmt: skip
    """Embeddings of strangers. Raises DataError where none can be used."""
    read = reader(embedder.trained, strangers.path, strangers.faces if faces else None)
    vectors, names, paths, groups, seen, reason = [], [], [], [], set[bytes](), "there is none"
    stream = embedder.stream(strangers.keys, read)
    for done, (one, name, group) in enumerate(
        zip(stream, strangers.names, strangers.groups, strict=True), 1
    ):
        progress(done, len(strangers))
        if one.vector is None:
            reason = str(one.error)
        elif one.content not in seen:
            seen.add(one.content)
            vectors.append(one.vector)
            names.append(name)
            paths.append(as_text(one.path))
            groups.append(group)
    if not vectors:
        raise DataError(
            f"none of the images of strangers in {strangers.root} can be used: {reason}"
        )
    return Cohort(
        vectors=np.stack(vectors), names=names, paths=paths, groups=groups, where=as_text(str(strangers.root)),
        contents=frozenset(seen),
    )  # fmt: skip


def _refuse_enrolled(gallery: Gallery, cohort: Cohort, strangers: People | None) -> None:
    """Raise UsageError where a stranger is enrolled: by name, or by the very image."""
    names = set(strangers.names if strangers is not None else ()) & set(gallery.names)
    if names:
        raise UsageError(
            f"{in_quotes(sorted(names)[0])} is enrolled and is among the strangers in {cohort.where} too; give images of "
            "others there"
        )
    for content in cohort.contents:
        if (row := gallery.row_of(content)) is not None:
            raise UsageError(
                f"an image of the strangers in {cohort.where} is enrolled as {in_quotes(gallery.name_of(row))} "
                f"({gallery.path_of(row)}); give images of others there"
            )


def _document(
    change: Change, embedder: Embedder, where: str | None, faces: bool, detector: Mapping[str, Any] | None
) -> dict[str, Any]:  # fmt: skip
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    if change.before is not None:
        return {**change.before.document, "parts": change.parts}
    return {
        "format": FORMAT, "created": now, "network": network_of(embedder, where), "parts": change.parts, "threshold": {},
        "faces": faces, "consent": now if faces else "", "detector": None if detector is None else dict(detector),
        "striate": striate.__version__,
    }  # fmt: skip


def enrolled_finding(
    gallery: Gallery, people: People | None, taken: Taken, found: Impostors, former: str | None = None
) -> Finding:  # fmt: skip
    """What was enrolled, the thresholds with their errors, by group, the closest pairs, and what was left out. former: the
    strangers by whom the threshold was chosen until now, and no longer is."""
    t = gallery.threshold
    new = sum(taken.names.values())
    total = f"{counted(len(gallery), 'image')} of {counted(len(gallery.names), 'name')}"
    said = f"{counted(new, 'image')} of {counted(len(taken.names), 'name')} enrolled; the gallery holds {total}."
    if people is None:
        said = f"The threshold was chosen anew; the gallery holds {total}."
    status, advice = _status(t, found)
    if t["identify"] is not None:
        low = t["identify"]
        said += (
            f" From a similarity of {low['value']:.3f} on somebody is named; {low['accepted']:,} of {low['pairs']:,} "
            f"strangers reach it."
        )
    else:
        said += " Everybody is unknown for now: no threshold could be chosen."
    tables = [_thresholds(t)]
    again = None if t["identify"] is None else reached_by_own(found, t["identify"]["value"])
    if again is not None and again.of:
        tables.append(_again(again))
    if t["groups"]:
        tables.append(_by_group(t, found))
    if found.closest:
        tables.append(
            Table(
                columns=("similarity", "name", "image", "other name", "other image"),
                rows=tuple((s, a or "(stranger)", b, c, d) for s, a, b, c, d in found.closest),
                formats=(".3f", "", "", "", ""),
                caption="The most similar images of different names: look whether they are one after all",
            )
        )
    tables += left_out(taken.left, "enrolled")
    notes = [*(people.left_out if people else ()), alike_names(gallery.names)]
    if taken.again:
        notes.append(
            f"{counted(len(taken.again), 'image')} enrolled already and left as they are ({taken.again[0]})"
        )
    if taken.changed:
        notes.append(
            f"{counted(len(taken.changed), 'image')} of a name and a path that are enrolled with other pixels already "
            f"({taken.changed[0]}): both are kept; where a file was replaced, forget the name and enrol it again"
        )
    if former:
        notes.append(
            f"the threshold was chosen by the strangers in {former}, whose images are not kept, and is now chosen by the "
            f"enrolled of other names; give --impostors {former} again to choose it by them"
        )
    notes = [note for note in notes if note]
    if notes:
        tables.append(Table(columns=("remark",), rows=tuple((note,) for note in notes)))
    return Finding(
        name="gallery-enrolled", title="What was enrolled", verdict=said, status=status, advice=advice, tables=tuple(tables),
        data={
            "gallery": str(gallery.path), "images": len(gallery), "names": len(gallery.names), "enrolled": new,
            "enrolled_names": len(taken.names), "again": len(taken.again), "changed": taken.changed,
            "left_out": [{"path": p, "error": e} for p, e in taken.left],
            "threshold": {k: v for k, v in t.items() if k != "impostors"}, "remarks": notes,
            "own": _share(again),
            "own_by_group": {
                g["group"]: _share(reached_by_own(found, t["identify"]["value"], i)) for i, g in enumerate(t["groups"])
            } if t["identify"] is not None else {},
        },
        seed=int(t["seed"]),
    )  # fmt: skip


def _status(t: Any, found: Impostors) -> tuple[Status, str]:
    if t["identify"] is None:
        return "warning", as_sentence(t["why"])
    shares = [(errors_of_group(found, i, t)[0], g["group"]) for i, g in enumerate(t["groups"])]
    wide = [(s.value, name) for s, name in shares if s is not None and s.low > t["rate"]]
    if wide:
        value, group = max(wide)
        share = percent(value)
        return "warning", (
            f"Of the strangers of the group {in_quotes(group)} {share} are taken for somebody, more than was asked "
            "for: ask for a lower --far, or enrol and compare more images of that group."
        )
    if found.closest and found.closest[0][0] >= SUSPECT:
        s, a, b, c, d = found.closest[0]
        return "warning", (
            f"{b} ({a or 'a stranger'}) and {d} ({c}) are {s:.3f} alike, as images of one are: if they are, the "
            "threshold is far too high."
        )
    return "good", ""


def _thresholds(t: Any) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for key, what, noun in (
        ("identify", "who is it?", "strangers"), ("compare", "are two images one?", "pairs of different names")
    ):  # fmt: skip
        c = t[key]
        if c is None:
            rows.append((what, None, noun, None, None, None))
            continue
        rows.append((
            what, c["value"], f"{c['pairs']:,} {noun}", c["accepted"], c["accepted"] / c["pairs"],
            f"{percent(c['low'], 2)} to {percent(c['high'], 2)}",
        ))  # fmt: skip
    source = (
        f"images in {t['source']}"
        if t["source"]
        else f"{counted(t['images'], 'enrolled image')} of {counted(t['names'], 'name')}"
    )
    return Table(
        columns=("question", "threshold", "chosen from", "reach it", "rate", "95 % interval"), rows=tuple(rows),
        formats=("", ".4f", "", ",", ".2%", ""),
        caption=(
            f"Asked for: {t['rate']:g}, of {source}. The interval is over names, since images of one are not independent"
        ),
    )  # fmt: skip


def _share(share: Share | None) -> dict[str, float] | None:
    if share is None or not share.of:
        return None
    return {"reached": share.hits, "of": share.of, "low": share.low, "high": share.high}


def _again(share: Share) -> Table:
    return Table(
        columns=("enrolled images", "reach it", "share", "95 % interval"),
        rows=(
            (share.of, share.hits, share.value, f"{percent(share.low)} to {percent(share.high)}"),
        ),
        formats=(",", ",", ".1%", ""),
        caption=(
            "How many of the enrolled that have another image of their name reach the threshold by it; the interval is over "
            "names"
        ),
    )


def _by_group(t: Any, found: Impostors) -> Table:
    rows = []
    for i, g in enumerate(t["groups"]):
        again = None if t["identify"] is None else reached_by_own(found, t["identify"]["value"], i)
        taken, accepted = errors_of_group(found, i, t)
        rows.append((
            g["group"], g["images"], g["strangers"], *_shown(taken), g["pairs"], *_shown(accepted),
            None if again is None or not again.of else again.value,
        ))  # fmt: skip
    return Table(
        columns=(
            "group", "images", "strangers", "taken for somebody", "95 %", "pairs within", "taken for one", "95 % ", "own"
        ),
        rows=tuple(rows), formats=("", ",", ",", ".2%", "", ",", ".2%", "", ".1%"),
        caption=(
            "Errors by group, at the thresholds above, with intervals over names; own: images that reach it by another of "
            "their name"
        ),
    )  # fmt: skip


def _shown(share: Share | None) -> tuple[float | None, str | None]:
    if share is None:
        return None, None
    return share.value, f"{percent(share.low, 2)} to {percent(share.high, 2)}"
