"""What each probe of a command may take: of multiply-adds, or of the seconds of a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from striate.errors import StriateError
from striate.findings import Finding, Table
from striate.geometry import trace
from striate.robustness import Context, Probe
from striate.tasks.trained import Trained

# Multiply-adds of a command that says neither how long nor on how many images. A network of FULL an image or fewer takes
# all of its images within WORK; a larger one is given less the larger it is, down to LEAST, which is about a minute of two
# cores, so that the time of a command changes by no step from one size of network to the next.
WORK, FULL = 1.5e13, 3e7
LEAST, LARGE = 3e12, 3e8


@dataclass
class Work:
    """Multiply-adds: of one image's pass through the network, and what is left of those that a command may take."""

    image: float
    left: float


def work_of(trained: Trained, context: Context, most: float | None) -> Work | None:
    """The multiply-adds to share out among the probes; None where the network cannot be traced."""
    try:
        each = trace(trained.model, (1, *context.images.shape[1:])).total_macs
    except StriateError:
        return None
    if each is None:
        return None
    return Work(each, usual_work(each) if most is None else most)


def usual_work(image: float) -> float:
    """Multiply-adds that a command may take, from those of an image: a straight line between the two on logarithmic axes."""
    at = math.log(max(image, 1) / FULL) / math.log(LARGE / FULL)
    return WORK * (LEAST / WORK) ** min(max(at, 0.0), 1.0)


def affordable(
    probe: Probe, most: int, left: float, pace: float, least: int, classes: int = 10
) -> int:
    """Images for a probe that is to take no more than `left`; at least `least`, as far as there are.

    left, and pace of an image's forward pass: both in seconds, or both in multiply-adds.
    """
    count = most
    while count > least and probe.passes(count, classes) * pace > left:
        count = int(0.95 * count)
    return min(most, max(least, count))


def bounded(finding: Finding, count: int, of: int, budget: float | None) -> Finding:
    """The finding, saying why it looks at fewer images than there are."""
    remark = (
        f" (Sampled {count:,} of {of:,} images, because all would take minutes more with a network as large as this, so its "
        f"intervals are wider; --limit {of} takes all.)"
        if budget is None
        else f" (Sampled {count:,} of {of:,} images to keep to {budget:g} s, so its intervals are wider.)"
    )
    return replace(finding, verdict=finding.verdict + remark)


@dataclass(frozen=True)
class LeftOut:
    """A probe that was not made: the fewest images it takes, and the seconds that these need."""

    name: str
    images: int
    seconds: float


def left_out(probes: Sequence[LeftOut], of: int, budget: float, used: float) -> Finding:
    """Which of the `of` probes were not made, because even the fewest images that they take do not fit into the budget.

    used: seconds that the others took. The advice is a budget in which all fit, in whole minutes.
    """
    names = ", ".join(probe.name for probe in probes)
    longer = 60 * math.ceil(1.2 * (used + sum(probe.seconds for probe in probes)) / 60)
    return Finding(
        name="probe-left-out",
        title="Left out",
        verdict=f"{len(probes)} of {of} probes are left out to keep to {budget:g} s, because even the fewest images that "
        f"they take need longer: {names}.",
        status="note",
        advice=f"Name those that matter (`striate probe RUN {probes[0].name}`), or give about --budget {longer}s for all.",
        tables=(
            Table(
                columns=("probe", "images at least", "seconds"),
                rows=tuple((probe.name, probe.images, probe.seconds) for probe in probes),
                formats=("", "d", ".0f"),
                caption="What each needs on its fewest images, by the pace of this network on this machine now.",
            ),
        ),
        data={"budget": budget, "left_out": {p.name: p.seconds for p in probes}, "enough": longer},
    )
