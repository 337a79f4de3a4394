"""The probes by name, and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from striate.errors import UsageError
from striate.findings import Finding
from striate.robustness.attacking import attack
from striate.robustness.blame import blame
from striate.robustness.calibration import calibration
from striate.robustness.corruption import corruption
from striate.robustness.domain import domain
from striate.robustness.exam import Exam
from striate.robustness.invariance import flip, rotation, scale, shift
from striate.robustness.shortcuts import shortcuts
from striate.robustness.spectrum import spectrum

Probe = Callable[[Exam], Finding]
PROBES: dict[str, Probe] = {
    "shift": shift, "rotation": rotation, "scale": scale, "flip": flip, "corruption": corruption, "domain": domain,
    "spectrum": spectrum, "attack": attack, "calibration": calibration, "shortcuts": shortcuts,
}  # fmt: skip
# What each costs in forward passes, as a guess that a budget starts from: (passes, over at most so many images).
Cost = tuple[tuple[int, int], ...]
ALL, BLAME = 10**9, (14, 512)
COST: dict[str, Cost] = {
    "shift": ((24, ALL), (90, 64), BLAME), "rotation": ((16, ALL), (40, 24), BLAME), "scale": ((9, ALL), BLAME),
    "flip": ((3, ALL), BLAME), "corruption": ((115, ALL), BLAME), "domain": ((2, 1000), (16, 256)),
    "spectrum": ((14, ALL), (90, 128), BLAME), "attack": ((17, ALL), (320, 256), (200, 64), BLAME),
    "calibration": ((1, ALL), (2, 4000)), "shortcuts": ((9, ALL), BLAME),
}  # fmt: skip


def passes(name: str, count: int) -> int:
    """About how many images a probe of `count` images sends through the network."""
    return sum(each * min(count, most) for each, most in COST[name])


def resolve_probes(names: Sequence[str]) -> list[str]:
    """The probes' names in their order, all where none is given. Raises UsageError with the nearest for an unknown one."""
    for name in names:
        if name not in PROBES:
            near = get_close_matches(name, PROBES, 1, 0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"there is no probe {name!r}; {hint}Probes are {', '.join(PROBES)}")
    return [name for name in PROBES if not names or name in names]


def examine(exam: Exam, name: str, probe: Probe | None = None) -> Finding:
    """Run one probe, and where the exam has a recorder add the layer and the channels to blame for its worst condition.

    probe: instead of the table's, such as one with arguments of its own.
    """
    if exam.recorder is not None:
        exam.recorder.forget()
        _ = exam.clean
    found = (probe or PROBES[name])(exam)
    to_blame = blame(exam)
    if to_blame is None:
        return found
    return replace(
        found,
        tables=(*found.tables, *to_blame.tables()),
        data={**found.data, "blame": to_blame.to_dict()},
    )
