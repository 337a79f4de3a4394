"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.data.files import Found
from striate.data.own import given_again, is_given
from striate.data.preprocessing import Preprocessing
from striate.errors import DataError
from striate.findings import Finding
from striate.models import build, full_size
from striate.tasks.examples import Examples
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.segment.batches import CropBatches
from striate.tasks.segment.data import IGNORE, MASK_SOURCES, MaskSource, is_mask_data, open_masks
from striate.tasks.segment.data.checks import check_masks
from striate.tasks.segment.data.decision import counted, unnamed
from striate.tasks.segment.data.description import describe_masks
from striate.tasks.segment.data.given import open_given_masks
from striate.tasks.segment.data.source import MaskSplit
from striate.tasks.segment.evaluate import Assessed, assess_masks, report_on, temperature_of
from striate.tasks.segment.examples import cut_examples, no_better, sampled_pixels
from striate.tasks.segment.loss import PixelCrossEntropy
from striate.tasks.segment.metric import MeanIoU
from striate.tasks.segment.predict import MaskPrediction, areas_of, predict_masks
from striate.tasks.segment.probe_shift import mask_shift
from striate.tasks.segment.settings import SegmentSettings
from striate.tasks.segment.tiling import tile_masks
from striate.tasks.segment.train import (
    MOST_VALIDATION,
    crop_batches,
    loss_of,
    plan_masks,
    validation_of,
)
from striate.tasks.task import (
    Enough,
    Evaluate,
    Progress,
    Say,
    Task,
    mute,
    never,
    refuse_shape,
    silent,
)
from striate.tasks.tiling import TileJob
from striate.tasks.trained import Trained
from striate.tasks.warp import Warp
from striate.training.recipe import Recipe


class Segment(Task):
    """A class for every pixel, by cross-entropy with the Dice loss, and mean intersection over union."""

    name = "segment"
    about = "a class for every pixel"
    decides = "class"
    settings = SegmentSettings
    folder = "masks"
    explained = False
    exclusive = True
    axes = 4
    offers = MappingProxyType({"choices": "pixels"})
    probes = MappingProxyType({"shift": mask_shift})
    remedies = MappingProxyType(
        {
            "scale": "Train with a wider zoom (`--set zoom=1.5`), or resize so that objects come at the size they had in "
            "training.",
            "flip": "If mirrored images will come, train with `--set flip=true`.",
            "corruption": "Train with images changed in that way (`--set jitter=` for contrast and brightness), or keep "
            "such images out.",
        }
    )
    probed = (64, 4)  # a mask has thousands of pixels to be right about
    sources = MappingProxyType({name: about for name, (_, about) in MASK_SOURCES.items()})
    unused = MappingProxyType(
        {
            "shift": "",
            "scale": "; --set zoom=1 turns crops of other sizes off",
            "erase": "",
            "mixup": "",
            "fit": "",
        }
    )

    def accepts(self, data: str | Path) -> bool:
        """A folder of images and masks, or a generated source of such."""
        return is_mask_data(data)

    def open(self, recipe: Recipe, progress: Progress | None = None) -> MaskSource:
        """See Task."""
        if is_given(recipe.data):
            return given_again(recipe.data)  # type: ignore[no-any-return]
        return open_masks(
            recipe.data,
            seed=recipe.seed,
            val=recipe.val,
            test=recipe.test,
            count=recipe.count,
            masks=recipe.settings.masks,
            ignore=recipe.settings.ignore,
            progress=progress,
        )

    def owns(self, data: Any) -> bool:
        """See Task."""
        return isinstance(data, MaskSource)

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Any:
        """See Task; a Dataset of (image, mask), or (images, masks)."""
        if hasattr(data, "splits"):
            return super().take(data, recipe, progress)
        return open_given_masks(
            data, seed=recipe.seed, val=recipe.val, test=recipe.test, progress=progress
        )

    def check(self, source: MaskSource) -> Finding:
        """See Task."""
        return check_masks(source)

    def describe(self, source: MaskSource, preprocessing: Preprocessing | None = None) -> Finding:
        """See Task."""
        return describe_masks(source, preprocessing)

    def plan(self, recipe: Recipe, source: MaskSource, device: torch.device) -> Plan:
        """See Task."""
        return plan_masks(recipe, source, device)

    def build(
        self, recipe: Recipe, preprocessing: Preprocessing, outputs: int, *, fresh: bool = False, check: bool = False
    ) -> nn.Module:  # fmt: skip
        """See Task; (N, C, H, W) -> (N, outputs, H, W)."""
        network = build(
            str(recipe.model),
            in_channels=preprocessing.channels,
            num_classes=outputs,
            size=None,
            pretrained=bool(recipe.pretrained) and not fresh,
            weights=None if fresh else recipe.weights,
            check=check,
            **recipe.model_options,
        )
        return full_size(network)

    def batches(
        self, plan: Plan, split: str, *, device: torch.device, progress: Progress = silent
    ) -> CropBatches:
        """See Task."""
        return crop_batches(plan, split, device)

    def loss(self, plan: Plan) -> PixelCrossEntropy:
        """See Task."""
        return loss_of(plan)

    def validation(
        self, plan: Plan, *, device: torch.device, progress: Progress = silent
    ) -> Evaluate | None:
        """See Task."""
        return validation_of(plan, device)

    def validated(self, plan: Plan) -> int:
        """See Task."""
        return min(len(plan.source.val), MOST_VALIDATION)

    def passes(self, plan: Plan) -> int:
        """See Task."""
        source = plan.source
        tested = len(source.test) if len(source.test) else len(source.val)
        return tested + (len(source.val) if len(source.test) else 0)

    def refuse_output(self, output: Any, images: torch.Tensor, outputs: int) -> None:
        """See Task; (N, outputs, H, W)."""
        expected = (len(images), outputs, *images.shape[-2:])
        refuse_shape(answer_of(output), expected, f"{outputs} numbers a pixel")

    def metric(self, classes: Sequence[str]) -> MeanIoU:
        """See Task."""
        return MeanIoU(len(classes))

    def calibrate(
        self, trained: Trained, source: MaskSource, device: torch.device
    ) -> dict[str, Any]:
        """See Task."""
        temperature = temperature_of(trained, source, device)
        return {} if temperature is None else {"temperature": temperature}

    def assess(
        self, trained: Trained, split: MaskSplit, *, device: torch.device, progress: Progress = silent,
        enough: Enough = never,
    ) -> Assessed:  # fmt: skip
        """See Task."""
        return assess_masks(trained, split, device, progress, enough)

    def results(self, assessed: Assessed, classes: Sequence[str]) -> dict[str, float]:
        """See Task."""
        scores = self.metric(classes).score(assessed.scores.counts)
        return {"accuracy": float(scores["accuracy"]), "mean_iou": float(scores["iou"])}

    def report(
        self, trained: Trained, source: MaskSource, split: MaskSplit, assessed: Assessed, *, say: Say = mute
    ) -> Iterator[Finding]:  # fmt: skip
        """See Task."""
        return report_on(trained, source, split, assessed, say=say)

    def read(self, trained: Trained, image: Path | np.ndarray) -> np.ndarray:
        """An image file, or an image (H, W, C), at its own size: (C, H, W) uint8. Raises DataError."""
        if isinstance(image, np.ndarray):
            return trained.preprocessing.colours(image)
        return trained.preprocessing.read_colours(image)

    def load_examples(
        self, source: MaskSource, split: MaskSplit, preprocessing: Preprocessing, classes: Sequence[str], *,
        limit: int | None = None, seed: int = 0,
    ) -> Examples:  # fmt: skip
        """The middle of some images, at most 256 pixels wide and high, all of the smallest one's size."""
        return cut_examples(split, preprocessing, limit, seed)

    def match(self, source: MaskSource, classes: Sequence[str], name: str) -> MaskSource:
        """See Task; masks that hold numbers without names take the network's."""
        if not unnamed(source.classes) or unnamed(classes):
            return super().match(source, classes, name)
        if len(source.classes) == len(classes) and counted(source.classes):
            return replace(source, classes=tuple(classes))
        raise DataError(
            f"the masks of {name} hold {len(source.classes)} numbers without names, and the network knows "
            f"{len(classes)} classes ({', '.join(classes[:10])}); put a classes.txt into {name}, with the network's names "
            "one a line, by number from 0"
        )

    def warp(self, targets: Tensor, warp: Warp) -> Tensor:
        """Masks move like their images; what was outside is IGNORE."""
        return warp.maps(targets, IGNORE)

    def choices(
        self, output: Any, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Some pixels of each image."""
        return sampled_pixels(answer_of(output).float(), targets, generator)

    def guessing(self, evidence: np.ndarray, classes: Sequence[str]) -> str | None:
        """Where it is no better than the commonest class everywhere."""
        return no_better(evidence, classes)

    def answers(self, output: Any, trained: Trained) -> dict[str, Tensor]:
        """See Task; logits (N, K, H, W) and the mask (N, H, W) uint8."""
        logits = answer_of(output).float()
        return {"logits": logits, "mask": logits.argmax(1).to(torch.uint8)}

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """The areas of classes in each image's predicted mask; nothing is written."""
        masks = answer_of(output).argmax(1).byte().cpu().numpy()
        return [
            MaskPrediction(path=str(i), size=m.shape, areas=areas_of(m, trained.classes), pixels=m)
            for i, m in enumerate(masks)
        ]

    def predict(
        self, trained: Trained, inputs: Found, *, top: int = 5, device: str = "auto", out: Path | None = None,
        force: bool = False,
    ) -> Iterator[Prediction]:  # fmt: skip
        """See Task; masks and overlays are written into the folder `out`, where one is given."""
        return predict_masks(trained, inputs, out=out, force=force, device=device)

    def tile(self, job: TileJob) -> Finding:
        """See Task; the predicted mask is written into `job.out`."""
        return tile_masks(job)
