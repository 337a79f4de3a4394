"""Exam: a network, the images that it is examined on, and its answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from striate.borrow import forward
from striate.errors import DataError, UsageError
from striate.findings import Finding
from striate.robustness.recording import Recorder
from striate.statistics.intervals import percent, wilson

BATCH = 256


@dataclass(frozen=True, eq=False)
class Exam:
    """A network from pixels in [0, 1] (N, C, H, W) to logits (N, K), with labelled images and a seed.

    images: float in [0, 1] or uint8, (N, C, H, W). labels: (N,) int64. classes: K names. recorder: keeps how far each
    layer and channel moves in the same passes; None for none. temperature: what logits are divided by where a
    confidence is asked for. trained: the recipe's shift (pixels), rotate (degrees), scale and flip, where known; advice
    goes beyond it. Raises DataError for images and labels that do not fit, and, once asked, for outputs that are not
    finite.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    classes: Sequence[str]
    seed: int = 0
    recorder: Recorder | None = field(default=None, repr=False)
    temperature: float = 1.0
    trained: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.dim() != 4 or not len(self.images):
            raise DataError(
                f"a probe needs images (N, C, H, W), at least one; got the shape {tuple(self.images.shape)}"
            )
        if len(self.images) != len(self.labels):
            raise DataError(
                f"a probe needs a label for each image; got {len(self.images)} and {len(self.labels)}"
            )
        if self.images.dtype == torch.uint8:
            object.__setattr__(self, "images", self.images.float() / 255)
        low, high = float(self.images.min()), float(self.images.max())
        if not (low >= 0 and high <= 1):
            raise UsageError(
                f"a probe takes pixels in [0, 1], got {low:.3g} to {high:.3g}; put the normalisation into the module"
            )
        if self.model.training:
            raise UsageError("a probe takes a module in evaluation mode; call .eval() first")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        """Pixels of the shorter side."""
        return min(self.images.shape[-2:])

    def generator(self, stream: int = 0) -> torch.Generator:
        """Random numbers that depend on the seed and the stream's number alone."""
        return torch.Generator().manual_seed(1_000_003 * self.seed + stream)

    def logits(self, images: Tensor, *, note: str = "") -> Tensor:
        """What the network says, (N, K) float32. note: names the condition for the recorder, which then keeps it.

        Raises DataError where a number is not finite.
        """
        recorder = self.recorder if note and len(images) == len(self) else None
        found = []
        with torch.inference_mode():
            for part in images.split(BATCH):
                if recorder is not None:
                    with recorder.listening():
                        found.append(forward(self.model, part).float())
                else:
                    found.append(forward(self.model, part).float())
        logits = torch.cat(found).clone()
        if logits.dim() != 2 or logits.shape[1] != len(self.classes):
            raise DataError(
                f"a probe needs logits (N, {len(self.classes)}), one a class; the network gives {tuple(logits.shape)}"
            )
        bad = int((~torch.isfinite(logits)).any(1).sum())
        if bad:
            where = f" under {note}" if note and note != "clean" else ""
            raise DataError(
                f"the network's output is not finite for {bad} of {len(images)} images{where}; "
                "train it again, or look for a division or a logarithm with `striate diagnose`"
            )
        if recorder is not None:
            recorder.close(note, images, logits.argmax(1) == self.labels)
        return logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """Confidences (N, K) of logits, at the temperature in use."""
        return (logits / self.temperature).softmax(1)

    def right(self, images: Tensor, *, note: str = "") -> np.ndarray:
        """Which images (N,) bool are answered right."""
        return (self.logits(images, note=note).argmax(1) == self.labels).numpy()

    @cached_property
    def clean(self) -> Tensor:
        """Logits of the images as they are."""
        return self.logits(self.images, note="clean")

    @property
    def said(self) -> Tensor:
        """Classes that the network says of the images as they are."""
        return self.clean.argmax(1)

    @property
    def clean_right(self) -> np.ndarray:
        """Which images are answered right as they are."""
        return (self.said == self.labels).numpy()

    @property
    def accuracy(self) -> float:
        """Share that is answered right."""
        return float(self.clean_right.mean())

    def take(self, count: int) -> Exam:
        """The first `count` images in an order drawn by the seed; itself where there are no more. Records nothing."""
        if count >= len(self):
            return self
        chosen = torch.randperm(len(self), generator=self.generator(77))[:count].sort().values
        smaller = replace(
            self, images=self.images[chosen], labels=self.labels[chosen], recorder=None
        )
        smaller.__dict__["clean"] = self.clean[chosen]
        return smaller


def at_chance(exam: Exam) -> Finding | None:
    """The finding that stops all probes: the network does no better than guessing; None where it does.

    It does not where the 95 % interval of its accuracy holds 1/K, or it says one class of images of several.
    """
    n, k = len(exam), len(exam.classes)
    low, high = wilson(exam.clean_right.sum(), n)
    constant = n > 1 and len(exam.said.unique()) == 1 and len(exam.labels.unique()) > 1
    if (n == 1 and exam.clean_right[0]) or not (low <= 1 / k or constant):
        return None
    one = f"; it says “{exam.classes[int(exam.said[0])]}” of every image" if constant else ""
    return Finding(
        name="probe-clean",
        title="Where it breaks",
        verdict=f"Nothing was probed: it is right on {percent(exam.accuracy)} of {n:,} clean image{'s' * (n > 1)} (95 % "
        f"interval {percent(low)} to {percent(high)}), which is no better than guessing among {k} classes "
        f"({percent(1 / k)}){one}.",
        status="problem",
        advice="Train it until it learns, then probe it; `striate diagnose` says why it does not. "
        "If it did learn, check that these are its classes and its kind of image, or take more images.",
        data={"accuracy": exam.accuracy, "interval": [low, high], "chance": 1 / k, "images": n},
        seed=exam.seed,
    )
