"""Proof: whether an engine gives the answers of the network that a file came from, check by check, with every number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np

from striate.errors import ExactnessError, RunError
from striate.export.engines import Session
from striate.export.references import BATCH, PIXELS, SHARE, References
from striate.export.script import reader
from striate.findings import Finding, Table

Row = dict[str, Any]
Listed = Callable[[Mapping[str, np.ndarray]], list[list[Row]]]
GREY = 0.01  # grey levels by which a pixel of the network's input may differ
PROBABILITY = 1e-5
BATCHES = (1, 2, 7)
NEAR = 1e-3  # of a score
PLACE = 0.05  # pixels by which an edge of a box may move


@dataclass(frozen=True)
class Check:
    """One comparison: how far apart at most, and what is allowed; `words` say where."""

    name: str
    value: float
    limit: float
    words: str = ""

    @property
    def passed(self) -> bool:
        """Also not where the value is no number."""
        return bool(self.value <= self.limit)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was compared on one machine, and how it ended.

    changed: decisions that differ where two classes are as good as equal, in words.
    """

    engine: str
    precision: str
    checks: tuple[Check, ...]
    changed: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> list[Check]:
        """Those that did not."""
        return [check for check in self.checks if not check.passed]

    def document(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "passed": self.passed, "engine": self.engine, "precision": self.precision, **self.where,
            "checks": [
                {"name": c.name, "value": c.value if np.isfinite(c.value) else None, "limit": c.limit, "words": c.words}
                for c in self.checks
            ],
            "changed": list(self.changed),
        }  # fmt: skip

    def refuse(self, what: str) -> None:
        """Raise ExactnessError where a check failed. what: was not written, or is not to be used."""
        if self.passed:
            return
        below = [sentence(check) for check in self.failed]
        raise ExactnessError(
            f"{self.engine} answers differently from the network: {below[0]}; {what}", self.document(), below[1:]
        )  # fmt: skip

    def finding(self, name: str, title: str, words: str) -> Finding:
        """For people."""
        rows = tuple((c.name, c.value, c.limit, "yes" if c.passed else "NO", c.words) for c in self.checks)  # fmt: skip
        failed = self.failed
        verdict = (
            f"{words}: {self.engine} in {self.precision} gives the network's answers in {len(rows)} of {len(rows)} checks."
            if not failed
            else f"{words}: {self.engine} does not give the network's answers: {sentence(failed[0])}."
        )
        return Finding(
            name=name,
            title=title,
            verdict=verdict,
            status="problem" if failed else "good",
            advice=" ".join(self.changed),
            tables=(
                Table(
                    columns=("compared", "largest difference", "allowed", "equal", "where"),
                    rows=rows,
                    formats=("", ".2g", ".2g", "", ""),
                ),
            ),
            data=self.document(),
        )


def sentence(check: Check) -> str:
    """A check that failed, in words."""
    where = f" ({check.words})" if check.words else ""
    return f"{check.name} {check.value:.3g}, allowed {check.limit:.3g}{where}"


def compared(
    made: References, session: Session, about: Mapping[str, Any], listed: Listed | None = None
) -> Proof:
    """A session's answers to all cases against the references.

    about: what the file says of itself: its labels, outputs and precision. listed: the rows of what is found in images by
    outputs (N, ...), for tasks that find objects. The answers must lie within the references' limit, 1e-4 of their
    deviation in f32 or what torch's own rounding needs; no decision may change where its margin exceeds twice the error;
    the objects must be the same; and image files must be seen as Striate sees them.
    """
    share = SHARE.get(session.precision, 0.0)
    if made.allowed is not None:
        share = made.allowed / made.deviation
    names = made.names
    first = names[1]
    limit = made.limit(session.precision)
    checks = [
        Check("labels that differ", _unequal(about.get("labels", ()), made.labels), 0),
        Check(
            "precision asked and found", float(session.precision != about.get("precision")), 0,
            f"asked {about.get('precision')}, found {session.precision}",
        ),
    ]  # fmt: skip
    worst: dict[str, Check] = {}
    changed: list[str] = []

    def note(name: str, value: float, allowed: float, where: str) -> None:
        known = worst.get(name)
        if known is None or not value / max(allowed, 1e-300) <= known.value / max(known.limit, 1e-300):  # fmt: skip
            worst[name] = Check(name, value, allowed, where)

    for case, images in made.images.items():
        expected = made.outputs[case]
        for count in BATCHES if case == BATCH else (1,):
            found = session(images[:count], names)
            where = f"batch of {count}" if case == BATCH else case
            error = _distance(found[first], expected[first][:count])
            # A softmax and a sigmoid move by half of what their logits do at most.
            explained = error / float(about.get("temperature", 1.0)) / 2 if error <= limit else 0.0
            of = "" if case != BATCH or count == 1 else ", in batches"
            for name in names:
                right = expected[name][:count]
                value = _distance(found[name], right)
                if name == PIXELS:
                    note("grey levels of the network's input" + of, value, GREY, where)
                elif name == first:
                    note(name + of, value, limit, where)
                elif name == "probabilities":
                    note(name + of, value, PROBABILITY + explained, where)
                elif right.dtype.kind == "f":
                    own = share * max(float(right.std()), float(np.abs(right).max()) * 0.1, 1e-6)
                    note(name + of, value, own, where)
            if listed is not None:
                lists = listed(found), listed({n: v[:count] for n, v in expected.items()})
                note("objects that differ", unlike(*lists), 0, where)
            firm, near = _decisions(found, expected, first, count, made, error)
            note("decisions that changed", firm, 0, where)
            if near:
                changed.append(f"{where}: {near} decisions between two that are as good as equal.")
    for name, (data, pixels) in made.files.items():
        try:
            given = reader().read(BytesIO(data), about)
        except (OSError, ValueError) as error:
            raise RunError(f"Pillow cannot read {name} of the proof: {error}; update it") from error
        shown = session(given, [PIXELS])[PIXELS]
        note("grey levels of the network's input, of files", _distance(shown, pixels), GREY, name)
    return Proof(
        engine=session.engine,
        precision=session.precision,
        checks=(*checks, *worst.values()),
        changed=tuple(changed),
    )


def controlled(wrong: Mapping[str, References], session: Session, about: Mapping[str, Any]) -> list[Check]:  # fmt: skip
    """A check a fault: 0 where the comparison tells it apart from the network, as it must."""
    checks = []
    for name, made in wrong.items():
        caught = not compared(made, session, about).passed
        checks.append(Check(f"control: {name} is noticed", float(not caught), 0))
    return checks


def with_controls(proof: Proof, checks: list[Check], where: Mapping[str, str]) -> Proof:
    """The proof with the controls and the machine."""
    return replace(proof, checks=(*proof.checks, *checks), where=where)


def unlike(one: list[list[Row]], other: list[list[Row]]) -> float:
    """Rows of objects, a list an image, that have no partner: another class, place or score; without those whose score is as
    good as that from which on objects are listed, `sure`."""
    count = float(abs(len(one) - len(other)))
    for mine, theirs in zip(one, other, strict=False):
        free, alone = list(theirs), list[Row]()
        for row in mine:
            partner = next((r for r in free if _alike(row, r)), None)
            if partner is None:
                alone.append(row)
            else:
                free.remove(partner)
        count += sum(r["score"] > r["sure"] + NEAR for r in (*alone, *free))
    return count


def _alike(one: Row, other: Row) -> bool:
    """Whether two rows are of the same object: equal words, and numbers that are as good as equal."""
    if one.keys() != other.keys():
        return False
    for key, value in one.items():
        numbers = isinstance(value, (float, int)) and isinstance(other[key], (float, int))
        allowed = NEAR if key == "score" else max(PLACE, 5e-3 * abs(value)) if numbers else 0
        if value != other[key] and not (numbers and abs(value - other[key]) <= allowed):
            return False
    return True


def _unequal(one: Any, other: Any) -> float:
    one, other = list(one), list(other)
    return float(sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other)))


def _distance(found: np.ndarray, right: np.ndarray) -> float:
    """Largest absolute difference; infinite for another shape or numbers that are none where there should be one."""
    if found.shape != right.shape:
        return float("inf")
    a, b = found.astype(np.float64), right.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    difference = np.where(same, 0.0, np.abs(a - b))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def _decisions(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], first: str, count: int, made: References,
    error: float,
) -> tuple[float, int]:  # fmt: skip
    """Decisions that differ: where the margin exceeds twice the error, and elsewhere."""
    right = expected[first][:count].astype(np.float64)
    if made.decides == "tags" and right.shape == found[first].shape:
        cuts = np.clip(np.array(made.thresholds, dtype=np.float64), 1e-12, 1 - 1e-12)
        from_cut = right - np.log(cuts / (1 - cuts))  # in logits
        differs = (found["probabilities"] >= cuts) != (from_cut >= 0)
        firm = differs & (np.abs(from_cut) > 2 * error)
        return float(firm.sum()), int((differs & ~firm).sum())
    if made.decides != "class" or right.shape != found[first].shape or right.shape[1] < 2:
        return 0.0, 0
    top = np.sort(right, axis=1)
    margin = np.take(top, -1, 1) - np.take(top, -2, 1)
    own = found.get("mask", found[first].argmax(1))
    differs = own != right.argmax(1)
    firm = differs & (margin > 2 * error)
    return float(firm.sum()), int((differs & ~firm).sum())
