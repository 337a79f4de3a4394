"""ImageTask: what tasks with one prediction an image share: preprocessing, batches, validation, evaluation, prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.data import (
    Source,
    SplitDataset,
    choose_preprocessing,
    decoded_bytes,
    load_memory,
    open_given,
    open_source,
)
from striate.data.augment import Augmentation
from striate.data.files import Found
from striate.data.preprocessing import Preprocessing
from striate.documents import to_json
from striate.errors import DataError, UsageError
from striate.findings import Finding, Table
from striate.models import build, is_detector, is_own, is_segmenter, padding_of
from striate.models import preprocessing as preprocessing_of
from striate.tasks.defaults import AS_ASKED, Facts, choose, choose_model
from striate.tasks.examples import Examples
from striate.tasks.forward import Forward
from striate.tasks.mirroring import MOST, mirroring
from striate.tasks.plain import check_plain, describe_plain, headline_plain
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
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
from striate.tasks.tiling import SHOWN, TileJob
from striate.tasks.trained import Trained
from striate.tasks.warp import Warp
from striate.training.batch import Batch, LossFunction
from striate.training.batches import (
    DiskImages,
    Images,
    MemoryImages,
    OrderedBatches,
    TrainingBatches,
)
from striate.training.loop import predict_logits
from striate.training.machine import (
    available_memory,
    choose_device,
    choose_precision,
    require_memory,
)
from striate.training.own import OwnAugmentation, OwnLoss
from striate.training.recipe import Recipe
from striate.training.world import here
from striate.writing import write_atomically

VALIDATION_BATCH = 512
BATCH = 256
LEAST_IMAGES = 8  # that a training step must be able to hold


@dataclass(frozen=True, eq=False)
class Outputs:
    """A split's outputs (N, K) float32 and its targets (N, ...), on the CPU."""

    outputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.outputs)


class ImageTask(Task):
    """A task that gives each image one prediction, (N, C, H, W) -> (N, K).

    A subclass says what its loss and metric are and what outputs mean; the rest has defaults. gives: names of the numbers
    that it gives; the data's classes, if None. Where they are given, images need no classes: `targets` finds the targets.
    """

    gives: ClassVar[tuple[str, ...] | None] = None

    def accepts(self, data: str | Path) -> bool:
        """See Task; none that do not name the task."""
        return False

    def open(self, recipe: Recipe, progress: Progress | None = None) -> Any:
        """See Task; the images of a named source, a folder or a table of labels."""
        source = open_source(
            recipe.data,
            seed=recipe.seed,
            val=recipe.val,
            test=recipe.test,
            count=recipe.count,
            progress=progress,
            outside=bool(recipe.outside),
        )
        return self.renamed(source)

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Any:
        """See Task; a Dataset of (image, label), (images, labels), a table of paths and labels, or a Source."""
        if not isinstance(data, Source):
            data = open_given(
                data,
                seed=recipe.seed,
                val=recipe.val,
                test=recipe.test,
                progress=progress,
                least=2 if self.gives is None else 1,
            )
        return self.renamed(data)

    def renamed(self, source: Source) -> Source:
        """The source with the task's own outputs for classes, where it has such."""
        if self.gives is None:
            return source
        splits: dict[str, Any] = {
            name: replace(split, labels=np.zeros(len(split), dtype=np.int64))
            for name, split in source.splits.items()
        }
        return replace(source, classes=self.gives, **splits)

    def check(self, source: Any) -> Finding:
        """See Task."""
        return check_plain(source)

    def describe(self, source: Any, preprocessing: Preprocessing | None = None) -> Finding:
        """See Task."""
        return describe_plain(source)

    def targets(self, split: Any) -> Tensor:
        """The targets of a split, (N,) int64 or (N, K) float."""
        return torch.from_numpy(split.labels)

    def validation_loss(self, plan: Plan) -> LossFunction:
        """The loss on validation images, without what only helps a training; the same as `loss` if not said."""
        return self.loss(plan)

    def plan(self, recipe: Recipe, source: Any, device: torch.device) -> Plan:
        """See Task."""
        if recipe.model is not None and is_segmenter(recipe.model):
            raise UsageError(
                f"{recipe.model} gives a class for every pixel, and {recipe.data} has {self.about}; take a model that "
                "gives one answer an image, such as resnet18, or give images with masks (a folder of images/ and masks/)"
            )
        if recipe.model is not None and is_detector(recipe.model):
            raise UsageError(
                f"{recipe.model} finds objects, and {recipe.data} has {self.about}; take a model that gives one answer an "
                "image, such as resnet18, or give images with boxes"
            )
        largest = int(source.train.sizes.max())
        spec, pretrained, reason = choose_model(
            recipe, photographs=source.photographs, size=recipe.size or largest
        )
        why = [f"model = {spec}: {reason}"] if reason != AS_ASKED else []
        if recipe.size is not None:  # before any image is brought to that size
            require_memory(
                4 * 16 * LEAST_IMAGES * recipe.size**2,
                f"{recipe.size} x {recipe.size}",
                device,
                images=LEAST_IMAGES,
            )
        known = preprocessing_of(spec) if pretrained and not is_own(spec) else None
        preprocessing = choose_preprocessing(
            source,
            size=recipe.size or (known.size if known else None),
            channels=recipe.channels or (3 if known else None),
            mean=known.mean if known else None,
            std=known.std if known else None,
            fit=cast(Any, recipe.fit),
            interpolation=cast(Any, known.interpolation) if known else None,
            black=recipe.black,
            white=recipe.white,
        )
        if padding := padding_of(spec, preprocessing.channels, preprocessing.size):
            why.append(padding)
        facts = Facts(
            images=min(len(source.train), recipe.limit or len(source.train)),
            height=preprocessing.height,
            width=preprocessing.width,
            channels=preprocessing.channels,
            classes=len(source.classes),
            photographs=source.photographs,
            flip=source.horizontal_flip,
            gpu=device.type == "cuda",
        )
        chosen, more = choose(recipe.replace(model=spec, pretrained=pretrained), facts)
        return Plan(
            recipe=chosen,
            source=source,
            preprocessing=preprocessing,
            why=[*why, *preprocessing.why, *more],
        )

    def build(
        self, recipe: Recipe, preprocessing: Preprocessing, outputs: int, *, fresh: bool = False, check: bool = False
    ) -> nn.Module:  # fmt: skip
        """See Task."""
        return build(
            str(recipe.model),
            in_channels=preprocessing.channels,
            num_classes=outputs,
            size=preprocessing.size,
            pretrained=bool(recipe.pretrained) and not fresh,
            weights=None if fresh else recipe.weights,
            check=check,
            **recipe.model_options,
        )

    def batches(
        self, plan: Plan, split: str, *, device: torch.device, progress: Progress = silent
    ) -> TrainingBatches:
        """See Task."""
        recipe = plan.recipe
        return TrainingBatches(
            images=self.images(plan, split, device, progress),
            preprocessing=plan.preprocessing,
            augmentation=OwnAugmentation.of(plan.augment)
            if plan.augment is not None
            else augmentation_of(recipe),
            classes=len(plan.source.classes),
            batch=int(recipe.batch or 1),
            seed=recipe.seed,
            device=device,
        )

    def images(self, plan: Plan, name: str, device: torch.device, progress: Progress) -> Images:
        """A split's preprocessed images: in memory when they fit into a quarter of what is free, else decoded by workers."""
        source, recipe = plan.source, plan.recipe
        split = source.splits[name]
        if name == "train" and recipe.limit and recipe.limit < len(split):
            order = torch.randperm(len(split), generator=torch.Generator().manual_seed(recipe.seed))
            split = split.take(order[: recipe.limit].numpy())
        room = available_memory() // (
            4 * here().local_size
        )  # every process of a machine holds them
        if decoded_bytes(source, plan.preprocessing) <= room:
            images, _ = load_memory(split, plan.preprocessing, progress=progress)
            return MemoryImages(images.to(device), self.targets(split))
        workers = recipe.workers
        if workers is None:
            workers = max(1, (torch.get_num_threads() + 1) // 2)
        return DiskImages(SplitDataset(split, plan.preprocessing), self.targets(split), workers)

    def validation(
        self, plan: Plan, *, device: torch.device, progress: Progress = silent
    ) -> Evaluate | None:
        """See Task."""
        if not len(plan.source.val):
            return None
        images = self.images(plan, "val", device, progress)
        loss, metric = self.validation_loss(plan), self.metric(plan.source.classes)
        given = plan.loss_or(loss)
        # A loss that takes the whole batch may look at the images, which are gone by then.
        loss = loss if isinstance(given, OwnLoss) and given.whole else given

        def evaluate(network: nn.Module) -> dict[str, float]:
            world = here()
            ordered = OrderedBatches(
                images=images,
                preprocessing=plan.preprocessing,
                batch=VALIDATION_BATCH,
                device=device,
                only=world.share(len(images)),
            )
            dtype = choose_precision(plan.recipe.precision, device)
            own = predict_logits(network, ordered, dtype=dtype) if len(ordered) else None
            outputs = world.rows_of_all(len(images), own)
            # The images themselves are not needed any more, only how many they are.
            whole = loss(outputs, Batch(outputs, images.labels))
            scores = metric.score(metric.evidence(outputs, images.labels))
            return {"loss": float(whole.mean), **{k: float(v) for k, v in scores.items()}}

        return evaluate

    def assess(
        self, trained: Trained, split: Any, *, device: torch.device, progress: Progress = silent,
        enough: Enough = never,
    ) -> Outputs:  # fmt: skip
        """See Task."""
        targets = self.targets(split)
        images = DiskImages(SplitDataset(split, trained.preprocessing), targets, workers=0)
        ordered = OrderedBatches(
            images=images, preprocessing=trained.preprocessing, batch=BATCH, device=device
        )
        model = trained.model.to(device)
        dtype = choose_precision(trained.precision, device)
        try:
            outputs = predict_logits(
                model, as_long_as(ordered, enough), dtype=dtype, flip=trained.flip_test
            )
        finally:
            model.cpu()
        return Outputs(outputs, targets[: len(outputs)])

    def mirroring(self, trained: Trained, source: Any, device: torch.device) -> Finding | None:
        """See Task."""
        split = source.val
        if not len(split):
            return None
        if len(split) > MOST:
            split = split.take(self.drawn(split, MOST, trained.seed))
        plain, mirrored = (
            self.assess(replace(trained, flip_test=on), split, device=device)
            for on in (False, True)
        )
        return mirroring(self.metric(trained.classes), plain, mirrored, seed=trained.seed)

    def refuse_output(self, output: Any, images: Tensor, outputs: int) -> None:
        """See Task; (N, outputs)."""
        refuse_shape(answer_of(output), (len(images), outputs), f"{outputs} numbers an image")

    def drawn(self, split: Any, limit: int, seed: int) -> np.ndarray:
        """Indices (limit,) of some images of a split, in order, drawn by `seed`."""
        return np.sort(np.random.default_rng(seed).permutation(len(split))[:limit])

    def load_examples(
        self, source: Any, split: Any, preprocessing: Preprocessing, classes: Sequence[str], *,
        limit: int | None = None, seed: int = 0,
    ) -> Examples:  # fmt: skip
        """See Task."""
        if limit is not None and limit < len(split):
            split = split.take(self.drawn(split, limit, seed))
        images, _ = load_memory(split, preprocessing)
        return Examples(images, self.targets(split), tuple(map(str, split.keys)))

    def warp(self, targets: Any, warp: Warp) -> Any:
        """What an image is, is the same wherever it is shown."""
        return targets

    def results(self, assessed: Outputs, classes: Sequence[str]) -> dict[str, float]:
        """See Task."""
        metric = self.metric(classes)
        scores = metric.score(metric.evidence(assessed.outputs, assessed.targets))
        return {name: float(value) for name, value in scores.items()}

    def report(
        self, trained: Trained, source: Any, split: Any, assessed: Outputs, *, say: Say = mute
    ) -> Iterator[Finding]:
        """See Task; the metric's scores."""
        metric = self.metric(trained.classes)
        yield headline_plain(
            metric, assessed.outputs, assessed.targets, about=self.about, seed=trained.seed
        )

    def predict(
        self, trained: Trained, inputs: Found, *, top: int = 5, device: str = "auto", out: Path | None = None,
        force: bool = False,
    ) -> Iterator[Prediction]:  # fmt: skip
        """See Task."""
        self.refuse_out(trained, out)
        if top < 1:
            raise UsageError(f"top must be at least 1, got {top}")
        return self._predictions(trained, inputs, top, device)

    def _predictions(
        self, trained: Trained, inputs: Found, top: int, device: str
    ) -> Iterator[Prediction]:
        forward = Forward(trained, choose_device(device), len(inputs.files))

        def read(name: str) -> np.ndarray | str:
            try:
                return trained.read(inputs.image(name))
            except DataError as error:
                return str(error)

        for files, outputs in forward.stream([name for _, name in inputs.chosen], read):
            predictions = iter(() if outputs is None else self.decode(outputs, trained, top=top))
            for name, error in files:
                yield named(next(predictions), name) if error is None else self.failed(name, error)

    def tile(self, job: TileJob) -> Finding:
        """See Task; the image as a whole has one prediction, written into `job.out` as JSON with the certificate."""
        job.refuse_taken()
        output, certificate = job.run()
        prediction = self.decode(
            answer_of(output).reshape(1, -1), job.trained, top=len(job.trained.classes)
        )[0]
        rows = self.alternatives(prediction)
        verdict, table = self.told(prediction, rows)
        finding = job.finding(verdict, certificate, table, rows, classes=rows)
        if job.out is not None:
            write_atomically(job.out, to_json(finding.data["document"]).encode())
        return finding

    def told(self, prediction: Prediction, rows: Sequence[Mapping[str, Any]]) -> tuple[str, Table]:
        """A prediction in a sentence and as a table that a person reads. rows: its `alternatives`."""
        first = ", ".join(cell(value) for value in rows[0].values())
        table = Table(
            columns=tuple(rows[0]),
            rows=tuple(tuple(row.values()) for row in rows[:SHOWN]),
            formats=tuple(".1%" if name == "probability" else "" for name in rows[0]),
        )
        return f"{first}.", table

    def alternatives(self, prediction: Prediction) -> list[dict[str, Any]]:
        """What a prediction says, best first, as rows of a table."""
        return [
            {k: v for k, v in row.items() if k not in ("path", "error")}
            for row in prediction.rows(1)
        ]

    def failed(self, path: str, error: str) -> Prediction:
        """The prediction of a file that cannot be read."""
        return Prediction(path=path, error=error)


def cell(value: Any) -> str:
    """A value of a prediction in a sentence; shares in per cent."""
    return f"{value:.1%}" if isinstance(value, float) and 0 <= value <= 1 else str(value)


def as_long_as(batches: Iterable[Tensor], enough: Enough) -> Iterator[Tensor]:
    """Batches (N, C, H, W) until there are enough images; one at least."""
    done = 0
    for x in batches:
        yield x
        done += len(x)
        if enough(done):
            return


def named(prediction: Prediction, path: str) -> Prediction:
    """The prediction with its file's name."""

    return replace(prediction, path=path)


def augmentation_of(recipe: Recipe) -> Augmentation:
    """The recipe's augmentation."""
    return Augmentation(
        shift=recipe.shift or 0,
        flip=bool(recipe.flip),
        scale=recipe.scale or 1.0,
        rotate=recipe.rotate or 0.0,
        erase=recipe.erase or 0.0,
        mixup=recipe.mixup or 0.0,
    )
