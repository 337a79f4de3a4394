"""Multi-label classification: any number of tags an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.data import Preprocessing, Source
from striate.data.own import given_again, is_given, open_given
from striate.data.own_targets import columns_named, named_as, tags_given
from striate.data.source import TargetSplit, splits_of
from striate.data.targets import open_targets, target_kind
from striate.findings import Finding
from striate.tasks.image_task import ImageTask, Outputs
from striate.tasks.multilabel.describing import check_tags, describe_tags
from striate.tasks.multilabel.findings.calibration import calibration
from striate.tasks.multilabel.findings.headline import headline
from striate.tasks.multilabel.findings.mistakes import mistakes
from striate.tasks.multilabel.findings.per_tag import per_tag
from striate.tasks.multilabel.loss import BinaryCrossEntropy
from striate.tasks.multilabel.metric import MeanAveragePrecision
from striate.tasks.multilabel.prediction import TagPrediction
from striate.tasks.multilabel.settings import MultilabelSettings
from striate.tasks.multilabel.thresholds import USUAL, thresholds_of
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.task import Progress, Say, Task, mute
from striate.tasks.trained import Trained
from striate.training.recipe import Recipe


class Multilabel(ImageTask):
    """Tags by binary cross-entropy and mean average precision, given from thresholds of their own."""

    name = "multilabel"
    about = "several tags an image"
    decides = "tags"
    settings = MultilabelSettings
    exclusive = True
    outputs = ("tag", "tags")
    unused: ClassVar[Mapping[str, str]] = MappingProxyType({"label_smoothing": ""})

    def accepts(self, data: str | Path) -> bool:
        """A table with a column of several tags, or with a column of yes and no for each tag."""
        return target_kind(data) == "tags"

    def open(self, recipe: Recipe, progress: Progress | None = None) -> Source:
        """See Task."""
        if is_given(recipe.data):
            return given_again(recipe.data)  # type: ignore[no-any-return]
        return open_targets(
            recipe.data, "tags", only=recipe.settings.targets, seed=recipe.seed, val=recipe.val, test=recipe.test,
            outside=bool(recipe.outside),
            progress=progress,
        )  # fmt: skip

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Any:
        """See Task; with lists of words, or rows of 0 and 1 whose columns `targets` names, as labels."""
        if isinstance(data, Source):
            return Task.take(self, data, recipe, progress)
        named = recipe.settings.targets
        return open_given(
            data, seed=recipe.seed, val=recipe.val, test=recipe.test, progress=progress,
            encode=lambda labels, names, where: tags_given(labels, columns_named(named) or names, where),
        )  # fmt: skip

    def match(self, source: Source, classes: Sequence[str], name: str) -> Source:
        """See Task; columns without names take the network's, and tags that no image has count as never given."""
        source = named_as(source, classes)
        if tuple(source.classes) != tuple(classes) and set(source.classes) <= set(classes):
            place = [classes.index(tag) for tag in source.classes]
            splits: dict[str, Any] = {}
            for part, split in zip(source.splits, splits_of(source), strict=True):
                targets = np.zeros((len(split), len(classes)), dtype=np.float32)
                targets[:, place] = split.targets
                splits[part] = replace(split, targets=targets)
            source = replace(source, classes=tuple(classes), **splits)
        return super().match(source, classes, name)  # type: ignore[no-any-return]

    def check(self, source: Source) -> Finding:
        """See Task."""
        return check_tags(source)

    def describe(self, source: Source, preprocessing: Preprocessing | None = None) -> Finding:
        """See Task."""
        return describe_tags(source, levels=preprocessing)

    def plan(self, recipe: Recipe, source: Source, device: torch.device) -> Plan:
        """See Task."""
        return super().plan(recipe.replace(label_smoothing=0.0), source, device)

    def targets(self, split: TargetSplit) -> Tensor:
        """(N, K) float32, 1 where an image has a tag."""
        return torch.from_numpy(split.targets)

    def loss(self, plan: Plan) -> BinaryCrossEntropy:
        """See Task."""
        return BinaryCrossEntropy()

    def validation_loss(self, plan: Plan) -> BinaryCrossEntropy:
        """See ImageTask."""
        return BinaryCrossEntropy()

    def metric(self, classes: Sequence[str]) -> MeanAveragePrecision:
        """See Task."""
        return MeanAveragePrecision()

    def calibrate(self, trained: Trained, source: Source, device: torch.device) -> dict[str, Any]:
        """The threshold of each tag, from the validation images."""
        if not len(source.val):
            return {}
        assessed = self.assess(trained, source.val, device=device)
        thresholds = thresholds_of(shares_of(assessed.outputs), assessed.targets.numpy())
        return {"calibration": {"thresholds": thresholds}}

    def report(
        self,
        trained: Trained,
        source: Source,
        split: TargetSplit,
        assessed: Outputs,
        *,
        say: Say = mute,
    ) -> Iterator[Finding]:
        """See Task."""
        shares, targets = shares_of(assessed.outputs), assessed.targets.numpy()
        tags, seed, cuts = trained.classes, trained.seed, thresholds(trained)
        yield headline(shares, targets, cuts, seed=seed)
        yield per_tag(shares, targets, tags, cuts, trained_on=source.train.targets, seed=seed)  # type: ignore[attr-defined]
        yield calibration(shares, targets, tags, seed=seed)
        yield mistakes(
            shares, targets, tags, cuts, lambda i: split.preprocess(i, trained.preprocessing), split.keys
        )  # fmt: skip

    def answers(self, output: Any, trained: Trained) -> dict[str, Tensor]:
        """See Task; logits and probabilities (N, K) of each tag."""
        logits = answer_of(output).float()
        return {"logits": logits, "probabilities": torch.sigmoid(logits)}

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """The tags whose probability reaches their threshold, and the `top` likeliest."""
        shares, cuts = shares_of(answer_of(output)), thresholds(trained)
        predictions: list[Prediction] = []
        for i, row in enumerate(shares):
            order = np.argsort(-row, kind="stable").tolist()
            pairs = [(trained.classes[k], float(row[k])) for k in order]
            predictions.append(
                TagPrediction(
                    path=str(i),
                    tags=tuple(pair for pair, k in zip(pairs, order, strict=True) if row[k] >= cuts[k]),
                    top=tuple(pairs[:top]),
                    scalars=dict(pairs),
                )
            )  # fmt: skip
        return predictions

    def failed(self, path: str, error: str) -> Prediction:
        """See ImageTask."""
        return TagPrediction(path=path, error=error)

    def examples(
        self, split: TargetSplit, classes: Sequence[str], limit: int
    ) -> list[tuple[int, str]]:
        """See Task: the first image of each rarest tag."""
        first = [int(np.flatnonzero(split.labels == g)[0]) for g in np.unique(split.labels)[:limit]]
        return [(i, words(split.targets[i], classes)) for i in first]

    def explained_number(
        self, trained: Trained, output: Any, index: int | None
    ) -> tuple[Callable[[Any], Tensor], str]:
        """The logit of a tag, the likeliest if none is asked for."""
        logits = answer_of(output)
        k = int(logits[0].argmax()) if index is None else index
        share = float(torch.sigmoid(logits[0, k].float()))
        return lambda given: answer_of(given)[:, k], f"{trained.classes[k]} ({share:.1%})"


def shares_of(logits: Tensor) -> np.ndarray:
    """Probabilities (N, K) float64 of logits (N, K)."""
    return torch.sigmoid(logits.detach().double().cpu()).numpy()


def thresholds(trained: Trained) -> np.ndarray:
    """(K,) the probability from which each tag is given; 0.5 where none was chosen."""
    known = trained.calibration.get("thresholds")
    return np.array(known if known else [USUAL] * len(trained.classes), dtype=np.float64)


def words(row: np.ndarray, tags: Sequence[str]) -> str:
    """The tags of a row of targets (K,) in words."""
    return ", ".join(tags[k] for k in np.flatnonzero(row > 0.5).tolist()) or "no tag"
