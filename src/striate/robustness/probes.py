"""The probes by name, what each needs of the context, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from striate.errors import UsageError
from striate.findings import Finding
from striate.plugins import Table
from striate.robustness.attacking import attack
from striate.robustness.calibration import calibration
from striate.robustness.context import Context
from striate.robustness.corruption import corruption
from striate.robustness.deformation import deformation
from striate.robustness.domain import domain
from striate.robustness.failure_localisation import locate_failure
from striate.robustness.invariance import flip, rotation, scale, shift
from striate.robustness.shortcuts import shortcuts
from striate.robustness.spectrum import spectrum
from striate.tasks.task import Task
from striate.wording import in_quotes

Cost = tuple[tuple[int, int], ...]
Run = Callable[[Context], Finding]
ALL = 10**9  # more than any number of images
LOCATE = (11, 512)  # what finding the layer of a failure costs
NEEDS = {"labels": "one class an image", "choices": "a choice among classes with a logit for each"}
"""What a probe may need beside images, targets and a metric, in words; `Task.offers` names what a task has."""


@dataclass(frozen=True)
class Probe:
    """run: makes the finding. needs: of `NEEDS`, or nothing.

    cost: in passes forward or back, as a guess that a budget starts from: (passes, over at most so many images); a_class:
    passes over all images for each class. least: images that it is not taken below, the task's own number if not given.
    named: runs only where it is asked for by name, because it costs far more than the others.
    """

    run: Run
    cost: Cost = ((10, ALL),)
    needs: str | None = None
    named: bool = False
    a_class: int = 0
    least: int | None = None

    def passes(self, count: int, classes: int = 10) -> int:
        """About how many images it sends through the network, forward or back, where there are `count`."""
        each_class = self.a_class * classes * count
        return each_class + sum(each * min(count, most) for each, most in self.cost)


def _needs_a_run(context: Context) -> Finding:
    raise UsageError(
        "the probe samples trains a run again on parts of its images; probe a run that `striate train` made"
    )


_OWN: dict[str, Probe] = {
    "shift": Probe(shift, ((40, ALL), (24, 64), LOCATE), least=12),
    "rotation": Probe(rotation, ((16, ALL), (40, 24), LOCATE), least=12),
    "scale": Probe(scale, ((9, ALL), LOCATE)),
    "flip": Probe(flip, ((3, ALL), LOCATE)),
    "deformation": Probe(deformation, ((4, ALL),), "labels"),
    "corruption": Probe(corruption, ((110, ALL), LOCATE), least=12),
    "domain": Probe(domain, ((1, 1000), (8, 256)), "labels"),
    "spectrum": Probe(spectrum, ((14, ALL), (90, 128), LOCATE), "labels", least=12),
    # Of 256: six strengths and six lengths of PGD, forward and back, of a network that withstands the smaller ones. Of 64:
    # the checks. Of 16: stickers, by crops.
    "attack": Probe(attack, ((4, ALL), (200, 256), (56, 64), (60, 16), LOCATE), "labels", least=8),
    "calibration": Probe(calibration, ((1, ALL), (2, 4000)), "choices"),
    "shortcuts": Probe(shortcuts, ((8, ALL), LOCATE), "labels", a_class=5),
    "samples": Probe(_needs_a_run, ((1, ALL),), "labels", named=True),
}


def _plugged(name: str, probe: Any) -> Probe:
    """A Probe, or a function that takes a context and returns a finding."""
    if isinstance(probe, Probe):
        return probe
    if not callable(probe):
        raise UsageError(
            f"a probe is a function (context) -> Finding, or a Probe; got {type(probe).__name__}"
        )
    return Probe(probe)


PROBES: Table[Probe] = Table("striate.probes", _OWN, _plugged)


def probes_of(task: Task) -> dict[str, Probe]:
    """The probes that a task has what they need for, with its own in place of those of the same name."""
    probes = {
        name: replace(probe, run=task.probes.get(name, probe.run))
        for name, probe in PROBES.items()
        if probe.needs is None or probe.needs in task.offers
    }
    return {**probes, **{n: Probe(run) for n, run in task.probes.items() if n not in probes}}


def resolve_probes(names: Sequence[str | Probe | Run], task: Task) -> dict[str, Probe]:
    """The probes of these names in their order; if none is given, all that the task has but those that must be named.

    names: also probes of your own, a Probe or a function (context) -> Finding, which are called as the function is. Raises
    UsageError with the nearest name for an unknown one, and with the reason for one that the task lacks.
    """
    known = probes_of(task)
    own = {name_of(probe): _plugged("", probe) for probe in names if not isinstance(probe, str)}
    called = [name for name in names if isinstance(name, str)]
    for name in called:
        if name in known:
            continue
        needs = PROBES[name].needs if name in PROBES else None
        if needs is not None:
            raise UsageError(
                f"there is no probe {name} for a network that gives {task.about}: it needs {NEEDS[needs]}; there are "
                f"{', '.join(known)}"
            )
        near = get_close_matches(name, known, 1, 0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"there is no probe {in_quotes(name)}; {hint}Probes are {', '.join(known)}"
        )
    chosen = {
        n: probe for n, probe in known.items() if n in called or (not names and not probe.named)
    }
    return chosen | own


def name_of(probe: Probe | Run) -> str:
    """What a probe of a person's own is called: as its function, with dashes."""
    run = probe.run if isinstance(probe, Probe) else probe
    return str(getattr(run, "__name__", type(run).__name__)).replace("_", "-").strip("<>")


def run_probe(
    context: Context, name: str, run: Callable[[Context], Finding] | None = None
) -> Finding:
    """Run one probe, and where the context has a recorder add where its worst condition makes it fail.

    run: instead of the table's, such as one with arguments of its own.
    """
    if context.recorder is not None:
        context.recorder.forget()
        _ = context.clean
    finding = (run or probes_of(context.task)[name].run)(context)
    location = locate_failure(context) if context.labelled else None
    if location is None:
        return finding
    return replace(
        finding,
        tables=(*finding.tables, *location.tables()),
        data={**finding.data, "failure_location": location.to_dict()},
    )
