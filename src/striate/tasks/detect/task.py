"""Detection: a box, a class and a score for every object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import Aim, Part
from striate.data.files import Found
from striate.data.own import given_again, is_given
from striate.data.preprocessing import Preprocessing
from striate.errors import DataError
from striate.findings import Finding
from striate.models import build
from striate.tasks.detect.advice import REMEDIES
from striate.tasks.detect.batches import BoxBatches
from striate.tasks.detect.data.checks import check_boxes
from striate.tasks.detect.data.description import describe_boxes
from striate.tasks.detect.data.given import open_given_boxes
from striate.tasks.detect.data.source import BoxSource, BoxSplit
from striate.tasks.detect.data.sources import (
    BOX_SOURCES,
    is_box_data,
    open_boxes,
)
from striate.tasks.detect.evaluate import Assessed, assess_boxes
from striate.tasks.detect.evaluation.threshold import best_threshold
from striate.tasks.detect.examples import cut_boxes, warped
from striate.tasks.detect.explaining import aim_at
from striate.tasks.detect.findings.details import details
from striate.tasks.detect.findings.headline import headline_boxes
from striate.tasks.detect.forms.table import CENTERS, DetectionLoss, form_of, objects_in
from striate.tasks.detect.metric import AveragePrecision
from striate.tasks.detect.peaks import STRIDE
from striate.tasks.detect.predict import predict_objects, prediction_of
from striate.tasks.detect.probes.crowding import crowding
from striate.tasks.detect.probes.size import size_probe
from striate.tasks.detect.probes.truncation import truncation
from striate.tasks.detect.settings import DetectSettings
from striate.tasks.detect.tiling import tile_objects
from striate.tasks.detect.train import (
    MOST_VALIDATION,
    box_batches,
    loss_of,
    plan_boxes,
    validation_of,
)
from striate.tasks.examples import Examples
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.segment.data import MASK_SOURCES
from striate.tasks.task import (
    Enough,
    Evaluate,
    Progress,
    Say,
    Task,
    mute,
    never,
    silent,
)
from striate.tasks.tiling import TileJob
from striate.tasks.trained import Trained
from striate.tasks.warp import Warp
from striate.training.recipe import Recipe
from striate.wording import counted


class Detect(Task):
    """Boxes with classes and scores, see `Form` for how, and COCO's average precision."""

    name = "detect"
    about = "a box for every object"
    settings = DetectSettings
    folder = "objects"
    exclusive = True
    axes = 4
    beside = 4
    cell = STRIDE
    objects = True
    probed = (64, 12)
    remedies: ClassVar[Mapping[str, str]] = MappingProxyType(REMEDIES)
    sources: ClassVar[Mapping[str, str]] = MappingProxyType(
        {name: about for name, (_, about) in BOX_SOURCES.items() if name not in MASK_SOURCES}
    )
    probes: ClassVar[Mapping[str, Callable[[Any], Finding]]] = MappingProxyType(
        {"size": size_probe, "crowding": crowding, "truncation": truncation}
    )
    unused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "label_smoothing": "",
            "shift": "; crops lie anywhere as it is",
            "scale": "; --set zoom=1 turns crops of other sizes off",
            "rotate": "; a turned box is no box",
            "erase": "",
            "mixup": "",
            "fit": "",
            "flip_test": "",
        }
    )

    def accepts(self, data: str | Path) -> bool:
        """A folder or file of images with boxes; the generated scenes are for masks, unless boxes are asked for."""
        return str(data) not in MASK_SOURCES and is_box_data(data)

    def open(self, recipe: Recipe, progress: Progress | None = None) -> BoxSource:
        """See Task."""
        if is_given(recipe.data):
            return given_again(recipe.data)  # type: ignore[no-any-return]
        return open_boxes(
            recipe.data, seed=recipe.seed, val=recipe.val, test=recipe.test, count=recipe.count, progress=progress
        )  # fmt: skip

    def owns(self, data: Any) -> bool:
        """See Task."""
        return isinstance(data, BoxSource)

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Any:
        """See Task; a Dataset of (image, {"boxes", "labels"}), or a dict as COCO has it."""
        if hasattr(data, "splits"):
            return super().take(data, recipe, progress)
        return open_given_boxes(
            data, seed=recipe.seed, val=recipe.val, test=recipe.test, progress=progress
        )

    def check(self, source: BoxSource) -> Finding:
        """See Task."""
        return check_boxes(source)

    def describe(self, source: BoxSource, preprocessing: Preprocessing | None = None) -> Finding:
        """See Task."""
        return describe_boxes(source, preprocessing)

    def plan(self, recipe: Recipe, source: BoxSource, device: torch.device) -> Plan:
        """See Task."""
        return plan_boxes(recipe, source, device)

    def build(
        self, recipe: Recipe, preprocessing: Preprocessing, outputs: int, *, fresh: bool = False, check: bool = False
    ) -> nn.Module:  # fmt: skip
        """See Task; (N, C, H, W) -> what one of the forms reads."""
        return build(
            str(recipe.model),
            in_channels=preprocessing.channels,
            num_classes=outputs,
            size=None,
            pretrained=bool(recipe.pretrained) and not fresh,
            weights=None if fresh else recipe.weights,
            check=check,
            **recipe.model_options,
        )

    def batches(
        self, plan: Plan, split: str, *, device: torch.device, progress: Progress = silent
    ) -> BoxBatches:
        """See Task."""
        return box_batches(plan, split, device)

    def loss(self, plan: Plan) -> DetectionLoss:
        """See Task."""
        return loss_of(plan)

    def validation(
        self, plan: Plan, *, device: torch.device, progress: Progress = silent
    ) -> Evaluate | None:
        """See Task."""
        return validation_of(plan, device, self.loss(plan), self.metric(plan.source.classes))

    def validated(self, plan: Plan) -> int:
        """See Task."""
        return min(len(plan.source.val), MOST_VALIDATION)

    def refuse_output(self, output: Any, images: Tensor, outputs: int) -> None:
        """See Task and `Form.refuse`."""
        form_of(output).refuse(output, images, outputs)

    def reads(self, output: Any) -> bool:
        """See Task: one map, or what one of the other forms has."""
        return form_of(output) is not CENTERS or super().reads(output)

    def metric(self, classes: Sequence[str]) -> AveragePrecision:
        """See Task."""
        return AveragePrecision(len(classes), objects_in)

    def calibrate(
        self, trained: Trained, source: BoxSource, device: torch.device
    ) -> dict[str, Any]:
        """The score from which on an object is taken for one; see `best_threshold`."""
        if not len(source.val):
            return {}
        chosen = best_threshold(self.assess(trained, source.val, device=device).judged())
        return {} if chosen is None else {"calibration": {"score": chosen}}

    def assess(
        self, trained: Trained, split: BoxSplit, *, device: torch.device, progress: Progress = silent,
        enough: Enough = never,
    ) -> Assessed:  # fmt: skip
        """See Task."""
        return assess_boxes(trained, split, self.metric(trained.classes), device, progress, enough)

    def results(self, assessed: Assessed, classes: Sequence[str]) -> dict[str, float]:
        """See Task."""
        if not any(one.counted[0].any() for one in assessed.evidence):
            return {}  # of images without objects nothing is known
        scores = self.metric(classes).score(assessed.evidence)
        return {name: float(value) for name, value in scores.items()}

    def report(
        self, trained: Trained, source: BoxSource, split: BoxSplit, assessed: Assessed, *, say: Say = mute
    ) -> Iterator[Finding]:  # fmt: skip
        """See Task."""
        classes = trained.classes
        yield headline_boxes(assessed, len(classes), seed=trained.seed)
        yield from details(trained, source, split, assessed)

    def read(self, trained: Trained, image: Path | np.ndarray) -> np.ndarray:
        """An image file, or an image (H, W, C), at its own size or that of its frame: (C, H, W) uint8. Raises DataError."""
        if isinstance(image, np.ndarray):
            return trained.preprocessing.colours(image)
        return trained.preprocessing.read_colours(image)

    def load_examples(
        self, source: BoxSource, split: BoxSplit, preprocessing: Preprocessing, classes: Sequence[str], *,
        limit: int | None = None, seed: int = 0,
    ) -> Examples:  # fmt: skip
        """The middle of some images, at most 256 pixels wide and high, all of the smallest one's size."""
        return cut_boxes(split, preprocessing, limit, seed)

    def warp(self, targets: list[Tensor], warp: Warp) -> list[Tensor]:
        """Boxes move like their images, and are cut where these end."""
        return [warped(target, warp, *warp.size) for target in targets]

    def guessing(self, evidence: np.ndarray, classes: Sequence[str]) -> str | None:
        """Where it finds next to nothing."""
        if not any(one.counted[0].any() for one in evidence):
            raise DataError(
                f"none of {counted(len(evidence), 'image')} holds an object, so that none could be found; give images with "
                "objects"
            )
        value = float(self.metric(classes).score(evidence)["ap50"])
        if value >= LEARNED:
            return None
        return f"its AP50 is {value:.3f} on {len(evidence):,} images, so it finds next to nothing"

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """The objects of each image; nothing is written."""
        found, size = objects_in(output, len(trained.classes)), form_of(output).extent(output)
        return [prediction_of(objects, str(i), size, trained) for i, objects in enumerate(found)]

    def predict(
        self, trained: Trained, inputs: Found, *, top: int = 5, device: str = "auto", out: Path | None = None,
        force: bool = False,
    ) -> Iterator[Prediction]:  # fmt: skip
        """See Task; overlays and a COCO file of all objects are written into the folder `out`, where one is given."""
        return predict_objects(trained, inputs, out=out, force=force, device=device)

    def examples(self, split: BoxSplit, classes: Sequence[str], limit: int) -> list[tuple[int, str]]:  # fmt: skip
        """See Task: images with objects, of as many classes as may be."""
        chosen: list[tuple[int, str]] = []
        seen: set[int] = set()
        for i, objects in enumerate(split.objects):
            new = set(objects.labels[~objects.crowd].tolist()) - seen
            if new and len(chosen) < limit:
                seen |= new
                held = np.unique(objects.labels[~objects.crowd]).tolist()
                chosen.append((i, ", ".join(classes[c] for c in held[:4])))
        return chosen

    def aim(
        self, trained: Trained, image: Tensor, size: tuple[int, int] | None, *, index: int | None = None,
        at: Part | None = None, number: int | None = None, edge: str | None = None,
    ) -> Aim:  # fmt: skip
        """See Task; the raw score of one object, or an edge of its box in pixels."""
        return aim_at(trained, image, size, index=index, at=at, number=number, edge=edge)

    def tile(self, job: TileJob) -> Finding:
        """See Task; the objects are written into `job.out`."""
        return tile_objects(job)


LEARNED = 0.02  # AP50 from which on something was learned
