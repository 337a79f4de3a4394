"""The images of the sample experiment in memory: to learn from, to be tested on, and how they may be changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.data import Source, choose_preprocessing, load_memory
from striate.data.augment import Augmentation
from striate.data.preprocessing import Preprocessing
from striate.data.subsets import stratified_order
from striate.errors import DataError, UsageError
from striate.lectures.experiments.setting import Setting
from striate.tasks.table import recipe_for, task_of

NATIVE = (
    32  # pixels a side up to which images are taken as they are; larger ones are made this small
)
TESTED = 2000  # test images at most
SHARE = 0.3  # of the images that is kept for testing where the data say nothing


@dataclass(frozen=True)
class Images:
    """train, test: (N, C, H, W) uint8 with labels (N,) int64; the first of a kind by a seed are a stratified sample."""

    source: Source
    preprocessing: Preprocessing
    train: Tensor
    labels: Tensor
    test: Tensor
    truth: Tensor

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.source.classes)

    def order(self, seed: int) -> np.ndarray:
        """The order (N,) in which training images are taken."""
        return stratified_order(self.labels.numpy(), seed)

    def normalised(self, images: Tensor) -> Tensor:
        """Float images (N, C, H, W) as networks read them."""
        return self.preprocessing.normalise(images)

    @property
    def augmentation(self) -> Augmentation:
        """Small shifts, turns and crops; where it keeps the class, mirror images."""
        height, width = self.preprocessing.size
        return Augmentation(
            shift=min(height, width) // 16,  # a pixel of the smallest digits is an eighth of them
            rotate=10.0,
            scale=0.9,
            flip=bool(self.source.horizontal_flip),
        )


def opened(setting: Setting, default: str = "digits") -> Source:
    """The labelled images of the setting. Raises UsageError for data of another kind, DataError without test images."""
    data = setting.data or default
    task = task_of(data)
    if "labels" not in task.offers:
        raise UsageError(
            f"the experiment samples learns one class an image, and {data} has {task.about}; give a folder with a folder a "
            "class"
        )
    settings: dict[str, Any] = {"data": data, "seed": setting.seed, "val": 0.0}
    if data == "digits":
        settings["test"] = SHARE
    source: Source = task.open(
        recipe_for(task, settings), lambda done, of: setting.progress("reading images", done, of)
    )
    if not len(source.test) or len(source.classes) < 2:
        raise DataError(
            f"{data} has {len(source.train):,} images in {len(source.classes)} classes and leaves none to test on; give "
            "two classes with at least two images each"
        )
    return source


def load(source: Source, setting: Setting, *, limit: int | None, side: int | None = None) -> Images:
    """Prepare them. limit: training images at most, a stratified sample. side: pixels, by the images' own if not given."""
    train, test = source.train, source.test
    if limit is not None and limit < len(train):
        train = train.take(np.sort(stratified_order(train.labels, setting.seed)[:limit]))
    if len(test) > TESTED:
        test = test.take(np.sort(stratified_order(test.labels, setting.seed)[:TESTED]))
    least = int(min(train.sizes.min(), NATIVE))
    same = bool((train.sizes == train.sizes[0]).all() and train.sizes[0][0] == train.sizes[0][1])
    size = side or (least if same and least < NATIVE else NATIVE)
    preprocessing = choose_preprocessing(source, size=size)
    progress = lambda done, of: setting.progress("preprocessing", done, of)  # noqa: E731
    images, labels = load_memory(train, preprocessing, progress=progress)
    tested, truth = load_memory(test, preprocessing, progress=progress)
    return Images(source, preprocessing, images, labels, tested, truth)


def as_channels(images: Tensor, channels: int) -> Tensor:
    """Images (N, C, H, W) with one or three channels: repeated, or their mean."""
    if images.shape[1] == channels:
        return images
    if channels == 1:
        return images.float().mean(1, keepdim=True).round().to(torch.uint8)
    return images.repeat(1, channels // images.shape[1], 1, 1)
