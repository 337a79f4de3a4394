"""Probing runs that label pixels: their images and masks brought to the probes of maps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.borrow import forward
from striate.errors import DataError, RunError, StriateError, UsageError
from striate.findings import Finding
from striate.geometry import trace
from striate.robustness import checklist
from striate.robustness.map_probes import MAP_PROBES, map_calibration, resolve_map_probes
from striate.robustness.maps import MapExam, maps_at_chance
from striate.runs.evaluate import report_run
from striate.runs.images import open_again
from striate.runs.opening import Trained
from striate.runs.run import Run
from striate.tasks.segment.data import IGNORE, MaskSource, open_masks
from striate.tasks.segment.data.source import MaskSplit
from striate.training.answer import answer_of

IMAGES = 64  # a map has thousands of answers an image
CUT = 256  # pixels of an image's side that are looked at
LEAST = 4
# Passes over all images, as a guess that a budget starts from.
COST = {"shift": 46, "scale": 9, "flip": 4, "corruption": 52, "calibration": 2}


class Maps(nn.Module):
    """A trained's network from pixels in [0, 1] to the logits of every pixel, without other outputs."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.pixels = trained.pixels

    def forward(self, images: Tensor) -> Any:
        """Logits (N, K, H, W) of images (N, C, H, W)."""
        return answer_of(forward(self.pixels, images))


def probe_mask_run(
    trained: Trained,
    names: Sequence[str] = (),
    *,
    data: str | None = None,
    against: str | None = None,
    images: int = IMAGES,
    budget: float | None = None,
    seed: int = 0,
    store_temperature: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Finding]:
    """Probe a run that labels pixels, as `probe_run` does; 64 images at most, and the middle 256 pixels of each.

    Raises UsageError for a probe that does not fit maps, RunError where the run's images are gone.
    """
    started = time.perf_counter()
    wanted = resolve_map_probes(names)
    if against is not None:
        raise UsageError(
            "--against has no use for a network that labels pixels; give images and masks of the other domain with --data"
        )
    run = trained.run
    assert run is not None
    source = mask_source_of(run, data)
    exam = map_exam_of(trained, source, images, seed)
    tick = time.perf_counter()
    why = maps_at_chance(exam)
    pace = (time.perf_counter() - tick) / len(exam)
    if why is not None:
        stopped = Finding(
            name="probe-clean", title="Where it breaks", verdict=why, status="problem", seed=seed,
            advice="Train it until it learns, then probe it.", data={"images": len(exam)},
        )  # fmt: skip
        run.add(stopped)
        report_run(run)
        return [stopped]
    (run.path / "findings" / "probe-clean.json").unlink(missing_ok=True)
    if budget is not None:
        left = 0.9 * budget - (time.perf_counter() - started)
        count = int(max(LEAST, left / (1.3 * pace * sum(COST[n] for n in wanted))))
        if count < len(exam):
            exam = replace(exam, images=exam.images[:count], masks=exam.masks[:count])
    found = []
    try:
        for i, name in enumerate(wanted):
            if progress is not None:
                progress(name, i, len(wanted))
            probe = MAP_PROBES[name]
            if name == "calibration":
                probe = partial(
                    map_calibration, validation=validation(run, source, seed), current=run.temperature
                )  # fmt: skip
            finding = probe(exam)
            if name == "calibration" and store_temperature:
                finding = stored(run, finding)
            found.append(run.add(finding))
    finally:
        if found:
            found.append(run.add(checklist(list(run.findings()), maps=True)))
            report_run(run)
    return found


def map_exam_of(trained: Trained, source: MaskSource, images: int, seed: int) -> MapExam:
    """The exam of a run's network on its test images, or on the others where it has none."""
    run = trained.run
    assert run is not None
    split = source.test if len(source.test) else source.val if len(source.val) else source.train
    pictures, masks = cut_images(run, split, min(images, IMAGES), seed)
    return MapExam(
        Maps(trained).eval(), pictures, masks, run.classes, coarsest(run), seed, run.temperature
    )


def stored(run: Run, finding: Finding) -> Finding:
    """Store the temperature that was fitted, if one was; the finding says what happened."""
    if finding.data["fitted"]:
        run.info["temperature"] = round(float(finding.data["temperature"]), 4)
        run.save_info()
        remark = f" {run.temperature:g} is stored with the run; `striate predict` uses it."
    else:
        remark = f" None is stored; `striate predict` goes on with {run.temperature:g}."
    return replace(finding, verdict=finding.verdict + remark, advice="")


def mask_source_of(run: Run, data: str | None = None) -> MaskSource:
    """The run's own images and masks with its own split, or `data`. Raises RunError where they are gone or others."""
    recipe = run.recipe
    source = open_again(
        run, data, "images and masks",
        lambda where, count: open_masks(
            where, seed=recipe.seed, val=recipe.val, test=recipe.test, count=count,
            masks=recipe.settings.masks, ignore=recipe.settings.ignore,
        ),
    )  # fmt: skip
    if tuple(source.classes) != run.classes:
        raise RunError(
            f"{data or recipe.data} has the classes {', '.join(source.classes[:10])}, and {run.path} knows "
            f"{', '.join(run.classes[:10])}; give images with masks of the same classes"
        )
    return source


def cut_images(run: Run, split: MaskSplit, limit: int, seed: int) -> tuple[Tensor, Tensor]:
    """The middle of some images, uint8 (N, C, H, W), and of their masks (N, H, W), all of the smallest one's size."""
    if not len(split):
        raise RunError(f"{run.path} has no images to be probed on; give others with --data")
    order = np.random.default_rng(seed).permutation(len(split))[:limit]
    size = np.minimum(split.sizes[order].min(0), CUT)
    images, masks = [], []
    for i in np.sort(order).tolist():
        top, left = (np.asarray(split.sizes[i]) - size) // 2
        rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
        images.append(
            np.ascontiguousarray(run.preprocessing.colours(split.image(i))[:, rows, columns])
        )
        masks.append(np.ascontiguousarray(split.mask(i)[rows, columns]))
    found = torch.from_numpy(np.stack(masks)), torch.from_numpy(np.stack(images))
    if bool((found[0] == IGNORE).all()):
        raise DataError(
            f"the masks of {run.path} hold only pixels that do not count; give others with --data"
        )
    return found[1], found[0]


def validation(run: Run, source: MaskSource, seed: int) -> tuple[Tensor, Tensor] | None:
    """Images and masks that were not tested on, for a temperature; None where there are none."""
    try:
        return cut_images(run, source.val, IMAGES, seed) if len(source.test) else None
    except StriateError:
        return None


def coarsest(run: Run) -> int:
    """Pixels between positions of the network's coarsest map; 1 where it cannot be traced."""
    try:
        layers = trace(run.model, (1, run.preprocessing.channels, *run.preprocessing.size))
    except StriateError:
        return 1
    strides = [
        int(axis.stride)
        for layer in layers
        for axis in layer.receptive_field or ()
        if axis is not None
    ]
    return max(strides, default=1)
