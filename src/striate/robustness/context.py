"""Context: a network, the images that it is probed on with their targets, and scores of its predictions with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.borrow import forward
from striate.errors import DataError, UsageError
from striate.findings import Finding
from striate.robustness.activation_shift import Recorder
from striate.robustness.amounts import Amounts
from striate.statistics.clusters import cluster_draws, clustered_bounds, clustered_quantiles
from striate.statistics.intervals import paired, wilson
from striate.tasks.metric import Paired, clusters_of
from striate.tasks.table import find_task
from striate.tasks.task import Task
from striate.tasks.warp import Warp
from striate.training.batch import Batch
from striate.wording import percent

if TYPE_CHECKING:
    from striate.tasks.metric import Metric

BATCH = 256
PIXELS = 2**18  # of a batch of images whose outputs may be as large as they are
RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class Context:
    """A network from pixels in [0, 1] (N, C, H, W) to its task's output, with images, targets and a seed.

    images: float in [0, 1] or uint8, (N, C, H, W). targets: N of them, as in `Batch`; (N,) int64 where an image has one
    class. classes: K names. recorder: keeps how far each layer and channel moves in the same passes; None for none.
    temperature: what logits are divided by where a confidence is asked for. trained: the recipe's shift (pixels), rotate
    (degrees), scale and flip, where known; advice goes beyond it. task: gives the metric, and warps targets along with a
    warp; one class an image if not given. stride: pixels between positions of the network's coarsest map. Raises DataError
    for images and targets that do not fit, and, once asked, for outputs that are not finite.
    """

    model: nn.Module
    images: Tensor
    targets: Any
    classes: Sequence[str]
    seed: int = 0
    recorder: Recorder | None = field(default=None, repr=False)
    temperature: float = 1.0
    trained: Mapping[str, float] = field(default_factory=dict)
    task: Task = field(default_factory=lambda: find_task("classify"))
    stride: int = 1

    def __post_init__(self) -> None:
        if self.images.dim() != 4 or not len(self.images):
            raise DataError(
                f"a probe needs images (N, C, H, W), at least one; got the shape {tuple(self.images.shape)}"
            )
        if isinstance(self.targets, Tensor | list) and len(self.images) != len(self.targets):
            raise DataError(
                f"a probe needs a target for each image; got {len(self.images)} images and {len(self.targets)} targets"
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

    @property
    def labelled(self) -> bool:
        """Whether an image has one class, and the network gives it one logit a class."""
        return "labels" in self.task.offers

    @property
    def labels(self) -> Tensor:
        """The class of each image, (N,) int64; only where `labelled`."""
        assert self.labelled
        return self.targets  # type: ignore[no-any-return]

    @cached_property
    def metric(self) -> Metric:
        """The task's metric."""
        return self.task.metric(self.classes)

    @cached_property
    def amounts(self) -> Amounts:
        """How scores are written: shares in per cent, others as numbers."""
        return Amounts(self.metric.name, self.metric.hit)

    @cached_property
    def moves(self) -> bool:
        """Whether targets follow what is warped, as masks do."""
        return self.warped_targets(Warp(flip=(-1,))) is not self.targets

    def warped_targets(self, warp: Warp) -> Any:
        """The targets of the warped images."""
        height, width = self.images.shape[-2:]
        return self.task.warp(self.targets, replace(warp, size=(height, width)))

    def generator(self, stream: int = 0) -> torch.Generator:
        """Random numbers that depend on the seed and the stream's number alone."""
        return torch.Generator().manual_seed(1_000_003 * self.seed + stream)

    # Predictions

    def logits(self, images: Tensor, *, note: str = "") -> Tensor:
        """The prediction, (N, K, ...) float32. note: names the condition for the recorder, which then keeps it.

        Raises DataError where a number is not finite.
        """
        recorder = self.recorder if note and len(images) == len(self) else None
        with torch.inference_mode():
            parts = []
            for part in images.split(self._at_once(images)):
                with nullcontext() if recorder is None else recorder.listening():
                    parts.append(answer_of(forward(self.model, part)).float())
        logits = torch.cat(parts).clone()
        k = len(self.classes)
        fits = logits.dim() == 2 if self.labelled else logits.dim() >= 2
        if "choices" in self.task.offers and not (fits and logits.shape[1] == k):
            shape = f"(N, {k})" if self.labelled else f"(N, {k}, ...)"
            raise DataError(
                f"a probe needs logits {shape}, one a class; the network gives {tuple(logits.shape)}"
            )
        self._require_finite(logits, note)
        if recorder is not None:
            recorder.close(note, images, logits.argmax(1) == self.labels)
        return logits

    def predicted(self, images: Tensor, *, note: str = "") -> Tensor:
        """The most likely class of each choice, (N, ...) int64."""
        parts = images.split(self._at_once(images))
        return torch.cat([self.logits(part, note=note).argmax(1) for part in parts])

    def evidence(self, images: Tensor, targets: Any = None, *, note: str = "") -> np.ndarray:
        """What each image adds to the metric, (N, ...). targets: those of the context if not given."""
        batch = Batch(images, self.targets if targets is None else targets)
        if self.labelled:
            return self.metric.evidence(self.logits(images, note=note), batch.targets)
        parts = []
        for part in batch.split(self._at_once(images)):
            with torch.inference_mode():
                output = forward(self.model, part.images)
                with suppress(UsageError):  # what is no tensor only its task understands
                    self._require_finite(answer_of(output), note)
                parts.append(self.metric.evidence(output, part.targets))
        made = np.concatenate(parts)
        if (
            isinstance(self.metric, Paired)
            and images is not self.images
            and len(images) == len(self)
        ):
            return self.metric.beside(made, self.clean_evidence)
        return made

    def choices(self, images: Tensor, targets: Any) -> tuple[Tensor, Tensor]:
        """Logits (M, K) and classes (M,) of choices that images (float or uint8) hold; of tasks that offer them."""
        if images is self.images and self.labelled:
            return self.clean, self.labels
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        generator, parts = self.generator(41), []
        for part in Batch(images, targets).split(self._at_once(images)):
            parts.append(self.task.choices(self.logits(part.images), part.targets, generator))
        logits, classes = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(classes)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Confidences (N, K) of logits, at the temperature in use."""
        return (logits / self.temperature).softmax(1)

    def is_correct(self, images: Tensor, *, note: str = "") -> np.ndarray:
        """Which images get their own class, (N,) bool; only where `labelled`. note: as in `logits`."""
        return (self.logits(images, note=note).argmax(1) == self.labels).numpy()

    @cached_property
    def clean(self) -> Tensor:
        """Logits of the images as they are."""
        return self.logits(self.images, note="clean")

    @property
    def predictions(self) -> Tensor:
        """Predicted classes of the images as they are."""
        return self.clean.argmax(1)

    @property
    def clean_correct(self) -> np.ndarray:
        """Which images get their own class as they are, (N,) bool."""
        return (self.predictions == self.labels).numpy()

    @property
    def accuracy(self) -> float:
        """Share of images that get their own class as they are."""
        return float(self.clean_correct.mean())

    def _at_once(self, images: Tensor) -> int:
        if self.labelled:
            return BATCH
        return max(1, min(BATCH, PIXELS // (images.shape[-1] * images.shape[-2])))

    def _require_finite(self, output: Tensor, note: str) -> None:
        bad = int((~torch.isfinite(output)).flatten(1).any(1).sum())
        if bad:
            where = f" under {note}" if note and note != "clean" else ""
            raise DataError(
                f"the network's output is not finite for {bad} of {len(output)} images{where}; "
                "train it again, or look for a division or a logarithm with `striate diagnose`"
            )

    # Scores

    @cached_property
    def clean_evidence(self) -> np.ndarray:
        """Evidence of the images as they are."""
        if self.labelled:
            return self.metric.evidence(self.clean, self.targets)
        return self.evidence(self.images, note="clean")

    @cached_property
    def clean_score(self) -> float:
        """The metric's headline of the images as they are."""
        return self.score(self.clean_evidence)

    @cached_property
    def clusters(self) -> np.ndarray | None:
        """(N,) the cluster of each image, such as its identity; None where images are independent."""
        return clusters_of(self.metric, self.clean_evidence)

    @cached_property
    def draws(self) -> np.ndarray:
        """How often each image counts in each resample, (RESAMPLES, N); whole clusters where images come in such."""
        n = len(self)
        if self.clusters is not None:
            return cluster_draws(self.clusters, RESAMPLES, seed=self.seed)
        return np.random.default_rng(self.seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)

    def score(self, evidence: np.ndarray) -> float:
        """The metric's headline."""
        return float(next(iter(self.metric.score(evidence).values())))

    def resampled(self, evidence: np.ndarray) -> np.ndarray:
        """The headline (RESAMPLES,) of the same resamples of the images each time."""
        return np.asarray(next(iter(self.metric.score(evidence, self.draws).values())))

    def interval(self, evidence: Sequence[np.ndarray]) -> tuple[float, float]:
        """95 % interval of the mean headline of some conditions: Wilson's of hits, else from resampled images."""
        if self.metric.hit:
            return wilson(np.mean(evidence, 0).sum(), len(self))
        drawn = np.mean([self.resampled(e) for e in evidence], 0)
        if self.clusters is None:
            return quantiles(drawn)
        value = float(np.mean([self.score(e) for e in evidence]))
        return clustered_quantiles(drawn, value, len(np.unique(self.clusters)))

    def difference(
        self, before: Sequence[np.ndarray], after: Sequence[np.ndarray]
    ) -> tuple[float, float, float]:
        """Mean headline of `after` minus that of `before`, each evidence of the same images, with its 95 % interval.

        Paired: Newcombe's of hits, else from the same resamples of the images for both.
        """
        if self.metric.hit:
            return paired(np.mean(before, 0), np.mean(after, 0))
        value = np.mean([self.score(e) for e in after]) - np.mean([self.score(e) for e in before])
        drawn = [np.mean([self.resampled(e) for e in side], 0) for side in (before, after)]
        if self.clusters is None:
            return float(value), *quantiles(drawn[1] - drawn[0])
        count = len(np.unique(self.clusters))
        low, high = clustered_bounds(drawn[1] - drawn[0], float(value), count)
        return float(value), max(-1.0, low), min(1.0, high)

    def take(self, count: int) -> Context:
        """The first `count` images in an order drawn by the seed; itself where there are no more. Records nothing."""
        if count >= len(self):
            return self
        chosen = torch.randperm(len(self), generator=self.generator(77))[:count].sort().values
        part = Batch(self.images, self.targets).take(chosen.tolist())
        smaller = replace(self, images=part.images, targets=part.targets, recorder=None)
        if self.labelled:
            smaller.__dict__["clean"] = self.clean[chosen]
        return smaller


def quantiles(values: np.ndarray) -> tuple[float, float]:
    """The 2.5 % and the 97.5 % quantile."""
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def at_chance(context: Context) -> Finding | None:
    """The finding that stops all probes: the network does no better than guessing; None where it does, or nobody knows.

    Of one class an image it does not where the 95 % interval of its accuracy holds 1/K, or it predicts one class for
    images of several.
    """
    n = len(context)
    if not context.labelled:
        try:
            why = context.task.guessing(context.clean_evidence, context.classes)
        except DataError as error:  # it is not the network's fault, and no training mends it
            return _stopped(context, str(error), {"images": n}, advice="")
        return None if why is None else _stopped(context, why, {"images": n})
    k = len(context.classes)
    low, high = wilson(context.clean_correct.sum(), n)
    constant = n > 1 and len(context.predictions.unique()) == 1 and len(context.labels.unique()) > 1
    if (n == 1 and context.clean_correct[0]) or not (low <= 1 / k or constant):
        return None
    one = (
        f"; it predicts “{context.classes[int(context.predictions[0])]}” for every image"
        if constant
        else ""
    )
    why = (
        f"its accuracy on {n:,} clean image{'s' * (n > 1)} is {percent(context.accuracy)} (95 % interval {percent(low)} to "
        f"{percent(high)}), which is no better than guessing among {k} classes ({percent(1 / k)}){one}"
    )
    data = {"accuracy": context.accuracy, "interval": [low, high], "chance": 1 / k, "images": n}
    return _stopped(context, why, data)


UNTRAINED = (
    "Train it until it learns, then probe it; `striate diagnose` looks for the reason why it does not. If it did learn, "
    "check that these are its classes and its kind of image, or take more images."
)


def _stopped(
    context: Context, why: str, data: dict[str, Any], *, advice: str = UNTRAINED
) -> Finding:
    return Finding(
        name="probe-clean",
        title="Where it breaks",
        verdict=f"Nothing was probed: {why}.",
        status="problem",
        advice=advice,
        data=data,
        seed=context.seed,
    )
