"""Instance segmentation: a mask, a class and a score for every object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.answer import Aim, Part
from striate.data.files import Found
from striate.data.own import is_given
from striate.data.preprocessing import Preprocessing
from striate.errors import DataError
from striate.findings import Finding
from striate.models import is_own
from striate.models.centernet_masks import BESIDE
from striate.tasks.detect.data.source import BoxSource, BoxSplit
from striate.tasks.detect.evaluate import Assessed, assess_boxes
from striate.tasks.detect.evaluation.matching import region_overlap
from striate.tasks.detect.evaluation.threshold import threshold_of
from striate.tasks.detect.examples import cut_boxes
from striate.tasks.detect.explaining import aim_at
from striate.tasks.detect.findings.details import details
from striate.tasks.detect.predict import Picture, overlay_of, predict_objects, prediction_of
from striate.tasks.detect.region_loss import TAUGHT
from striate.tasks.detect.task import LEARNED, Detect
from striate.tasks.detect.tiling import tile_objects
from striate.tasks.detect.train import box_batches, plan_boxes, validation_of
from striate.tasks.examples import Examples
from striate.tasks.instances.batches import InstanceBatches
from striate.tasks.instances.cropping import InstanceTarget, cropped_regions, instance_target
from striate.tasks.instances.data import with_masks
from striate.tasks.instances.drawing import drawn_masks
from striate.tasks.instances.examples import warped_target
from striate.tasks.instances.findings.headline import headline_instances
from striate.tasks.instances.form import instances_in, voting
from striate.tasks.instances.labels import labels_of, write_labels
from striate.tasks.instances.loss import InstanceLoss
from striate.tasks.instances.metric import InstanceQuality
from striate.tasks.instances.prediction import InstancePrediction
from striate.tasks.instances.settings import MASKS, PIXELS, VOTES, InstanceSettings
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.task import Enough, Evaluate, Progress, Say, mute, never, silent
from striate.tasks.tiling import TileJob
from striate.tasks.trained import Trained
from striate.tasks.warp import Warp
from striate.training.recipe import Recipe
from striate.wording import counted

PICTURES: Mapping[str, tuple[str, Picture]] = {
    "overlay": ("-overlay.webp", partial(overlay_of, draw=drawn_masks)),
    "labels": ("-objects.png", labels_of),
}
WRITERS = {".tif": write_labels, ".tiff": write_labels}


class Instances(Detect):
    """Detection with masks, by pixels that vote for centres or by regions; average precision of masks, panoptic quality."""

    name = "instances"
    about = "a mask for every object"
    settings = InstanceSettings
    beside = BESIDE
    sources: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def accepts(self, data: str | Path) -> bool:
        """Never unasked: whoever has masks of objects may want boxes or the class of every pixel; see `docs`."""
        return False

    def open(self, recipe: Recipe, progress: Progress | None = None) -> BoxSource:
        """See Task; raises DataError for boxes without masks."""
        source = super().open(recipe, progress)
        return source if is_given(recipe.data) else with_masks(source)

    def owns(self, data: Any) -> bool:
        """See Task."""
        return False

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Any:
        """See Task; a Dataset of (image, {"boxes", "labels", "masks"}), or a dict as COCO has it."""
        return with_masks(super().take(data, recipe, progress))

    def plan(self, recipe: Recipe, source: BoxSource, device: torch.device) -> Plan:
        """See Task."""
        plan = plan_boxes(recipe, source, device, masks=True)
        own, model = plan.recipe.settings, plan.recipe.model
        pixels = own.pixels
        if pixels is None and not is_own(
            model
        ):  # of a network of one's own the output says which kind it is
            pixels = MASKS if str(model).startswith("mask-rcnn") else PIXELS
        settings = replace(own, pixels=pixels, votes=VOTES if own.votes is None else own.votes)
        return replace(plan, recipe=plan.recipe.replace(settings=settings))

    def batches(
        self, plan: Plan, split: str, *, device: torch.device, progress: Progress = silent
    ) -> InstanceBatches:
        """See Task."""
        made = box_batches(plan, split, device, InstanceBatches)
        assert isinstance(made, InstanceBatches)
        return made

    def loss(self, plan: Plan) -> InstanceLoss:  # type: ignore[override]
        """See Task."""
        own = plan.recipe.settings
        return InstanceLoss(
            len(plan.source.classes), edges=own.edges, pixels=own.pixels, votes=own.votes, regions=own.regions or TAUGHT
        )  # fmt: skip

    def validation(
        self, plan: Plan, *, device: torch.device, progress: Progress = silent
    ) -> Evaluate | None:
        """See Task."""
        metric = self.metric(plan.source.classes)
        return validation_of(plan, device, self.loss(plan), metric, forms=voting, target=instance_target)  # fmt: skip

    def refuse_output(self, output: Any, images: Tensor, outputs: int) -> None:
        """See Task."""
        voting(output).refuse(output, images, outputs)

    def metric(self, classes: Sequence[str]) -> InstanceQuality:  # type: ignore[override]
        """See Task."""
        return InstanceQuality(len(classes), instances_in)

    def assess(
        self, trained: Trained, split: BoxSplit, *, device: torch.device, progress: Progress = silent,
        enough: Enough = never,
    ) -> Assessed:  # fmt: skip
        """See Task."""
        metric = replace(self.metric(trained.classes), sure=threshold_of(trained.calibration))
        made = assess_boxes(trained, split, metric, device, progress, enough, forms=voting)
        return replace(made, overlap=region_overlap, what="mask")

    def results(self, assessed: Assessed, classes: Sequence[str]) -> dict[str, float]:
        """See Task."""
        if not any(one.masks.counted[0].any() for one in assessed.evidence):
            return {}  # of images without objects nothing is known
        scores = self.metric(classes).score(assessed.evidence)
        return {name: float(value) for name, value in scores.items()}

    def report(
        self, trained: Trained, source: BoxSource, split: BoxSplit, assessed: Assessed, *, say: Say = mute
    ) -> Iterator[Finding]:  # fmt: skip
        """See Task."""
        sure = threshold_of(trained.calibration)
        yield headline_instances(assessed, len(trained.classes), sure, seed=trained.seed)
        evidence = np.empty(len(assessed), dtype=object)
        evidence[:] = [seen.masks for seen in assessed.evidence]
        by_mask = replace(assessed, evidence=evidence)
        yield from details(trained, source, split, by_mask, drawn_masks)

    def load_examples(
        self, source: BoxSource, split: BoxSplit, preprocessing: Preprocessing, classes: Sequence[str], *,
        limit: int | None = None, seed: int = 0,
    ) -> Examples:  # fmt: skip
        """See Detect."""
        return cut_boxes(
            split, preprocessing, limit, seed,
            lambda objects, crop: instance_target(cropped_regions(objects, crop), crop.height, crop.width),
        )  # fmt: skip

    def warp(self, targets: list[InstanceTarget], warp: Warp) -> list[InstanceTarget]:  # type: ignore[override]
        """Masks move like their images, and are cut where these end."""
        return [warped_target(target, warp) for target in targets]

    def guessing(self, evidence: np.ndarray, classes: Sequence[str]) -> str | None:
        """Where it finds next to nothing."""
        if not any(one.masks.counted[0].any() for one in evidence):
            raise DataError(
                f"none of {counted(len(evidence), 'image')} holds an object, so that none could be found; give images with "
                "objects"
            )
        value = float(self.metric(classes).score(evidence)["mask_ap50"])
        if value >= LEARNED:
            return None
        return (
            f"its mask AP50 is {value:.3f} on {len(evidence):,} images, so it finds next to nothing"
        )

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """The objects of each image; nothing is written."""
        found, size = instances_in(output, len(trained.classes)), voting(output).extent(output)
        return [
            prediction_of(objects, str(i), size, trained, InstancePrediction)
            for i, objects in enumerate(found)
        ]

    def predict(
        self, trained: Trained, inputs: Found, *, top: int = 5, device: str = "auto", out: Path | None = None,
        force: bool = False,
    ) -> Iterator[Prediction]:  # fmt: skip
        """See Task; overlays, label images and a COCO file of all objects are written into the folder `out`, if given."""
        return predict_objects(
            trained, inputs, out=out, force=force, device=device, forms=voting, kind=InstancePrediction,
            pictures=PICTURES,
        )  # fmt: skip

    def aim(
        self, trained: Trained, image: Tensor, size: tuple[int, int] | None, *, index: int | None = None,
        at: Part | None = None, number: int | None = None, edge: str | None = None,
    ) -> Aim:  # fmt: skip
        """See Detect; objects are numbered as `predict` lists them and label images have them."""
        return aim_at(trained, image, size, index=index, at=at, number=number, edge=edge, forms=voting)  # fmt: skip

    def tile(self, job: TileJob) -> Finding:
        """See Task; the objects with their run lengths are written into `job.out`, or their label image into a TIFF."""
        return tile_objects(job, voting, InstancePrediction, WRITERS)
