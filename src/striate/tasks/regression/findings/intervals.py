"""Whether the prediction intervals hold what they promise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from striate.data.numbers import unit_of
from striate.findings import Cell, Finding, Status, Table
from striate.statistics.intervals import wilson
from striate.tasks.regression.conformal import LEVEL, least_images
from striate.tasks.regression.findings.headline import spec_for
from striate.wording import percent, quoted

UNLIKELY = 2.58  # standard errors below what is promised, of 1 in 200


def intervals(
    values: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    radii: Sequence[float] | None,
    *,
    calibrated_on: int,
    independent: bool,
) -> Finding:
    """How many of targets (N, K) lie within the intervals of values (N, K). radii: (K,), or None where there are none.

    calibrated_on: validation images from which the radii come; independent: whether the targets are of other images.
    """
    n = len(targets)
    title = "Whether its intervals can be trusted"
    if radii is None:
        return Finding(
            name="intervals", title=title, status="note",
            verdict=f"Predictions have no intervals: a {LEVEL:.0%} interval needs {least_images()} validation images, and "
            f"there {'is' if calibrated_on == 1 else 'are'} {calibrated_on}.",
            advice="Give more images, or a larger share for validation, such as --set val=0.2.",
        )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    covered: list[float] = []
    short: list[str] = []
    error = math.sqrt(LEVEL * (1 - LEVEL) * (1 / n + 1 / (calibrated_on + 2)))
    for i, heading in enumerate(names):
        name, unit = unit_of(heading)
        inside = int((np.abs(values[:, i] - targets[:, i]) <= radii[i]).sum())
        low, high = wilson(inside, n)
        covered.append(inside / n)
        if inside / n < LEVEL - UNLIKELY * error:
            short.append(name)
        spec = spec_for(radii[i])
        rows.append(
            (name, f"± {radii[i]:{spec}}", unit, inside / n, f"{100 * low:.1f}–{100 * high:.1f} %")
        )
    status: Status = "good" if independent else "note"
    advice = ""
    of = f"of the {n:,} held-out values"
    if len(names) > 1:
        of += (
            f" of {quoted(unit_of(names[int(np.argmin(covered))])[0])}, and not fewer of the others"
        )
    verdict = f"The {LEVEL:.0%} intervals hold {percent(min(covered))} {of}."
    if not independent:
        verdict += " They were fitted on these same images, so that this proves nothing."
        advice = "Hold out test images too, such as --set test=0.2."
    elif short:
        status = "warning"
        verdict += " That is less than they promise."
        advice = (
            "The held-out images differ from the validation images: see how the two were chosen."
        )
    return Finding(
        name="intervals",
        title=title,
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=(
                    "number",
                    "interval",
                    "unit",
                    "holds the true number",
                    "95 % interval of that",
                ),
                rows=tuple(rows),
                formats=("", "", "", ".1%", ""),
                caption=f"Split conformal prediction (Lei et al. 2018): as wide as {LEVEL:.0%} of the errors on "
                f"{calibrated_on:,} validation images. The promise holds for images of the same kind, on average over them, "
                "not for each kind of image alone: every image has the same width.",
            ),
        ),
        data={
            "level": LEVEL,
            "radii": list(map(float, radii)),
            "coverage": covered,
            "calibrated_on": calibrated_on,
            "independent": independent,
        },
    )
