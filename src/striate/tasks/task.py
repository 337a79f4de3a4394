"""Task: what is learned from images. A folder each; everything that differs between tasks is in its folder.

A task of your own derives from `Task`, or from `ImageTask` where it gives one answer an image, and is passed to
`striate.train(task=...)` or named by an entry point of the group `striate.tasks`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import Aim, Part, answer_of
from striate.data import Preprocessing
from striate.errors import DataError, UsageError
from striate.findings import Finding
from striate.tasks.examples import Examples
from striate.tasks.metric import Metric
from striate.tasks.mirroring import MOST
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.warp import Warp
from striate.training.batch import LossFunction
from striate.training.loop import Batches
from striate.training.recipe import Recipe

if TYPE_CHECKING:
    from striate.data.files import Found
    from striate.tasks.tiling import TileJob
    from striate.tasks.trained import Trained

Progress = Callable[[int, int], None]
Evaluate = Callable[[nn.Module], dict[str, float]]
Say = Callable[[str], None]
Enough = Callable[[int], bool]


def silent(done: int, of: int) -> None:
    """No progress is shown."""


def never(done: int) -> bool:
    """It is never enough: all images are taken."""
    return False


def mute(text: str) -> None:
    """No message is shown."""


def refuse_shape(answer: torch.Tensor, expected: Sequence[int], words: str) -> None:
    """Raise UsageError where a network's prediction has another shape than its task needs.

    answer: any shape, (N, K) for one prediction an image or (N, K, H, W) for masks. words: the expected shape in words.
    """
    if tuple(answer.shape) != tuple(expected):
        raise UsageError(
            f"the network gives {tuple(answer.shape)} for {expected[0]} images, and these data need {words}: "
            f"{tuple(expected)}; change its last layer, or give a function "
            "factory(in_channels=, num_classes=) that makes it to measure"
        )


class Task(ABC):
    """One kind of learning.

    name: in `run.toml` and on the command line. about: what it gives, in a few words. settings: the frozen dataclass of its
    own settings, nested in the recipe; None for none. folder: what `striate predict` writes into, if it writes files.
    explained: whether the report explains some of its predictions and shows its units. unused: settings of the recipe that
    mean nothing here, and what to do instead, if anything, as the end of a sentence. sources: named sources that it adds,
    and what they are. exclusive: whether data that it accepts cannot be another task's. axes: of the network's output, 2 for
    (N, K), 4 for (N, K, H, W). offers: what analyses may count on beside images, targets and a metric, each with what it is
    counted in: "labels", targets (N,) of one class an image beside logits (N, K); "choices", see `choices`; "embeddings", an
    output (N, d) whose directions tell images apart; "groups", targets (N,) of a group an image that is no output, such as
    an identity, named by the source's classes. probes: its own probes, instead of those of the same name; they take a probe
    context. remedies: what to do against a loss under a probe, where the common advice does not fit. probed: how many
    images a probe takes at most, None for as many as are asked for, and how many a budget leaves it. outputs: what one
    output of the network stands for, and several. beside: how many the network has beside one a class, such as a detector's
    four distances. cell: pixels between places of its output, where it has places. named: what one of the data's classes is
    called, and several, where they are not the outputs, see `output_names`. objects: whether a prediction is a list of
    objects, one of which is explained, see `aim`. decides: what is decided by the first of `answers`: "class" by the largest
    of axis 1, "tags" by thresholds; "" for nothing.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    settings: ClassVar[type | None] = None
    folder: ClassVar[str | None] = None
    explained: ClassVar[bool] = True
    unused: ClassVar[Mapping[str, str]] = MappingProxyType({})
    sources: ClassVar[Mapping[str, str]] = MappingProxyType({})
    exclusive: ClassVar[bool] = False
    axes: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, str]] = ("class", "classes")
    named: ClassVar[tuple[str, str] | None] = None
    beside: ClassVar[int] = 0
    cell: ClassVar[int] = 1
    offers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    probes: ClassVar[Mapping[str, Callable[[Any], Finding]]] = MappingProxyType({})
    remedies: ClassVar[Mapping[str, str]] = MappingProxyType({})
    probed: ClassVar[tuple[int | None, int]] = (None, 24)
    objects: ClassVar[bool] = False
    decides: ClassVar[str] = ""

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def recipe(self, settings: Mapping[str, Any]) -> Recipe:
        """A recipe of this task from typed values or text. Raises UsageError for a name that no setting has."""
        return Recipe.from_dict({**settings, "task": self.name}, self.settings)

    def wrapped(self, classes: Sequence[str]) -> Any:
        """The settings of a network that was trained elsewhere; None for a task without any."""
        return None if self.settings is None else self.settings()

    # Data

    @abstractmethod
    def accepts(self, data: str | Path) -> bool:
        """Whether this source, folder or table is of this task."""

    @abstractmethod
    def open(self, recipe: Recipe, progress: Progress | None = None) -> Any:
        """The recipe's images and targets, split. Raises DataError or UsageError."""

    def owns(self, data: Any) -> bool:
        """Whether data given in Python can only be of this task."""
        return False

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Any:
        """A source made of data given in Python: a Dataset, arrays, a table, or a source, which is taken as it is.

        Raises UsageError where this task can make none, DataError where the data cannot be used.
        """
        if hasattr(data, "splits") and hasattr(data, "fingerprint"):
            return data
        raise UsageError(
            f"the task {self.name} learns from a Source, a folder or a table, and {type(data).__name__} is none; give one"
        )

    @abstractmethod
    def check(self, source: Any) -> Finding:
        """What in the data would spoil a result. Raises DataError where training cannot start at all."""

    @abstractmethod
    def describe(self, source: Any, preprocessing: Preprocessing | None = None) -> Finding:
        """What the data are: counts, sizes, formats."""

    def output_names(self, recipe: Recipe, source: Any) -> tuple[str, ...]:
        """Names of the network's outputs, in order: the data's classes, where the task has no others."""
        return tuple(source.classes)

    def names_for(self, outputs: int) -> tuple[str, ...]:
        """Names of the outputs of a network that was trained elsewhere, where nobody names them. Raises UsageError where
        the task needs their names."""
        raise UsageError(
            f"the network has {outputs:,} outputs, and the task {self.name} needs their names, in order; give classes"
        )

    # Training

    @abstractmethod
    def plan(self, recipe: Recipe, source: Any, device: torch.device) -> Plan:
        """Every open setting decided by the data, with the reasons. Raises UsageError."""

    @abstractmethod
    def build(
        self, recipe: Recipe, preprocessing: Preprocessing, outputs: int, *, fresh: bool = False, check: bool = False
    ) -> nn.Module:  # fmt: skip
        """The network, (N, C, H, W) -> what `loss` and `decode` take; `outputs` classes, tags or numbers.

        fresh: without the weights that the recipe names. check: raise UsageError with the layer at which images get stuck.
        """

    @abstractmethod
    def batches(
        self, plan: Plan, split: str, *, device: torch.device, progress: Progress = silent
    ) -> Batches:
        """Endless shuffled, augmented batches of a split."""

    @abstractmethod
    def loss(self, plan: Plan) -> LossFunction:
        """What a training makes small."""

    @abstractmethod
    def validation(
        self, plan: Plan, *, device: torch.device, progress: Progress = silent
    ) -> Evaluate | None:
        """A function from a network to "loss" and the metric on the validation images; None without any."""

    def refuse_output(self, output: Any, images: torch.Tensor, outputs: int) -> None:
        """Raise UsageError where a person's own network gives something else for images (N, C, H, W) than `loss` takes."""
        answer_of(output)

    def reads(self, output: Any) -> bool:
        """Whether `decode` and `loss` take a network's output as it is; of any other, its prediction, see `answer_of`."""
        return isinstance(output, torch.Tensor)

    def passes(self, plan: Plan) -> int:
        """Images that go through the network in evaluation: what a budget keeps time for."""
        source, recipe = plan.source, plan.recipe
        tested = len(source.test) if len(source.test) else len(source.val)
        calibrated = len(source.val) if len(source.test) else 0
        decided = 3 * min(len(source.val), MOST) if recipe.flip_test is None else 0
        return (1 if recipe.flip_test is False else 2) * (tested + calibrated) + decided

    def validated(self, plan: Plan) -> int:
        """Validation images that are looked at after each epoch."""
        return len(plan.source.val)

    # Evaluation

    @abstractmethod
    def metric(self, classes: Sequence[str]) -> Metric:
        """How good predictions are."""

    def mirroring(self, trained: Trained, source: Any, device: torch.device) -> Finding | None:
        """What the mirrored pass gains on validation images, see `striate.tasks.mirroring`; None where there is none."""
        return None

    def calibrate(self, trained: Trained, source: Any, device: torch.device) -> dict[str, Any]:
        """What is fitted on the validation images after a training and stored with the run: a temperature, thresholds."""
        return {}

    @abstractmethod
    def assess(
        self, trained: Trained, split: Any, *, device: torch.device, progress: Progress = silent,
        enough: Enough = never,
    ) -> Any:  # fmt: skip
        """Predictions and targets of a split, in order, as `report` and `results` take them; its length is their number.

        enough: asked with the number of images so far; where it says so, the rest is left out.
        """

    @abstractmethod
    def results(self, assessed: Any, classes: Sequence[str]) -> dict[str, float]:
        """The numbers that stand in `run.toml`, headline first."""

    @abstractmethod
    def report(
        self, trained: Trained, source: Any, split: Any, assessed: Any, *, say: Say = mute
    ) -> Iterator[Finding]:
        """What the report says of the held-out images; the headline first."""

    # Analyses

    def match(self, source: Any, classes: Sequence[str], name: str) -> Any:
        """A source for a network of these classes. name: of the data. Raises DataError where it has others."""
        if tuple(source.classes) != tuple(classes):
            raise DataError(
                f"{name} has the classes {', '.join(source.classes[:10])}, and the network knows "
                f"{', '.join(classes[:10])}; give data of the same classes"
            )
        return source

    @abstractmethod
    def load_examples(
        self, source: Any, split: Any, preprocessing: Preprocessing, classes: Sequence[str], *,
        limit: int | None = None, seed: int = 0,
    ) -> Examples:  # fmt: skip
        """Images of one of the source's splits, all of one size, with targets in a network's classes.

        limit: at most so many, drawn by `seed`. Raises DataError where none can be used.
        """

    @abstractmethod
    def warp(self, targets: Any, warp: Warp) -> Any:
        """The targets of a batch after its images were warped; the same object where targets do not follow."""

    def choices(
        self, output: Any, targets: Any, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (M, K) and classes (M,) int64 of each choice among classes that a batch holds, or of some drawn ones.

        Only of tasks that offer "choices".
        """
        raise NotImplementedError

    def guessing(self, evidence: np.ndarray, classes: Sequence[str]) -> str | None:
        """How predictions are no better than guessing, as the end of a sentence; None where they are, or nobody knows.

        Raises DataError where no network could show it on these images, with what to add to them.
        """
        return None

    # Use

    def read(self, trained: Trained, image: Path | np.ndarray) -> np.ndarray:
        """An image file, or an image (H, W, C), as the network sees it: (C, H, W) uint8. Raises DataError."""
        if isinstance(image, np.ndarray):
            return trained.preprocessing.apply(image)
        return trained.preprocessing.read(image)

    def answers(self, output: Any, trained: Trained) -> dict[str, Tensor]:
        """What an exported file gives for a network's output (N, ...), by name; the first is the network's own prediction.

        Of operations on tensors alone, which export. Detectors give their dense heads, which are decoded outside.
        """
        from striate.geometry import leaves_of  # a prediction does without geometry

        found = [part for part in leaves_of(output) if isinstance(part, Tensor)]
        if len(found) == 1:
            return {"output": found[0].float()}
        return {f"output_{i}": part.float() for i, part in enumerate(found)}

    @abstractmethod
    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """What the network's output says of each image of a batch. top: alternatives of each, where there are any."""

    @abstractmethod
    def predict(
        self, trained: Trained, inputs: Found, *, top: int = 5, device: str = "auto", out: Path | None = None,
        force: bool = False,
    ) -> Iterator[Prediction]:  # fmt: skip
        """Predictions of images, in order, as they are ready; a file that cannot be read gives one with its error.

        top: as in `decode`. out, force: where files go, for tasks that write some. Raises UsageError before the first one.
        """

    def examples(self, split: Any, classes: Sequence[str], limit: int) -> list[tuple[int, str]]:
        """Images of a split that a report explains, as varied as they go, each with its target in words."""
        groups = np.unique(split.labels)[:limit]
        return [(int(np.flatnonzero(split.labels == g)[0]), classes[int(g)]) for g in groups]

    def explained_number(
        self, trained: Trained, output: Any, index: int | None
    ) -> tuple[Callable[[Any], torch.Tensor], str] | None:
        """Which number of the network's output (1, ...) is explained, as a function of it, (N, ...) -> (N,), and what it is.

        index: the class that was asked for; None leaves it to the task. None: the logit of a class.
        """
        return None

    def likeness(
        self, trained: Trained, output: Any, other: Any, name: str
    ) -> tuple[Callable[[Any], torch.Tensor], str]:
        """How like another image an image is to the network: a function of its output, (N, ...) -> (N,), and its words.

        output, other: the network's for both images (1, ...). name: of the other. Raises UsageError where images are not
        compared.
        """
        raise UsageError(
            f"{trained.name} gives {self.about}, which is not compared with another image's; leave out --against"
        )

    def aim(
        self, trained: Trained, image: torch.Tensor, size: tuple[int, int] | None, *, index: int | None = None,
        at: Part | None = None, number: int | None = None, edge: str | None = None,
    ) -> Aim:  # fmt: skip
        """What is explained of an image (C, h, w) uint8 as `read` gives it, which has (height, width) pixels itself,
        None where that is not known.

        index: a class. at: rows and columns of the image. number: of an object, from 1. edge: of its box. Only of tasks
        whose predictions are objects.
        """
        raise NotImplementedError

    def tile(self, job: TileJob) -> Finding:
        """What the network gives for one image of any size, tile by tile. Raises UsageError where the task has no such
        thing."""
        raise UsageError(
            f"{job.trained.name} gives {self.about}, which is not made tile by tile; use `striate predict`"
        )

    def refuse_out(self, trained: Trained, out: Path | None) -> None:
        """Raise UsageError for a folder that nothing would be written into."""
        if out is not None and self.folder is None:
            raise UsageError(
                f"{trained.name} gives {self.about} and writes no files; leave out --out (use --format csv > FILE)"
            )
