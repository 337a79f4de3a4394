"""Regression: one or several numbers an image."""

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
from striate.data.numbers import unit_of
from striate.data.own import given_again, is_given, open_given
from striate.data.own_targets import columns_named, named_as, numbers_given
from striate.data.source import TargetSplit, splits_of
from striate.data.targets import open_targets, target_kind
from striate.errors import DataError
from striate.findings import Finding
from striate.tasks.image_task import ImageTask, Outputs
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.regression.conformal import LEVEL, radius_of
from striate.tasks.regression.describing import check_numbers, describe_numbers
from striate.tasks.regression.findings.headline import headline
from striate.tasks.regression.findings.intervals import intervals
from striate.tasks.regression.findings.scatter import predicted_against_true
from striate.tasks.regression.findings.worst import worst
from striate.tasks.regression.loss import Huber
from striate.tasks.regression.metric import RSquared
from striate.tasks.regression.prediction import Number, NumberPrediction
from striate.tasks.regression.settings import RegressionSettings
from striate.tasks.task import Progress, Say, Task, mute
from striate.tasks.trained import Trained
from striate.training.recipe import Recipe


class Regression(ImageTask):
    """Numbers by Huber's loss; the network's outputs are standardised, predictions are in the units of the table."""

    name = "regression"
    about = "numbers"
    settings = RegressionSettings
    exclusive = True
    outputs = ("number", "numbers")
    unused: ClassVar[Mapping[str, str]] = MappingProxyType({"label_smoothing": ""})

    def accepts(self, data: str | Path) -> bool:
        """A table with a column of measured numbers, or several."""
        return target_kind(data) == "numbers"

    def open(self, recipe: Recipe, progress: Progress | None = None) -> Source:
        """See Task; a recipe that says how targets are standardised keeps that, whatever the data."""
        if is_given(recipe.data):
            return self.standardised(given_again(recipe.data), recipe)
        source = open_targets(
            recipe.data, "numbers", only=recipe.settings.targets, seed=recipe.seed, val=recipe.val, test=recipe.test,
            outside=bool(recipe.outside),
            progress=progress,
        )  # fmt: skip
        return self.standardised(source, recipe)

    def standardised(self, source: Source, recipe: Recipe) -> Source:
        """The source with what its numbers are standardised by: as the recipe says, else by its training images."""
        own = recipe.settings
        if own.center is not None and len(own.center) != len(source.classes):
            raise DataError(
                f"{recipe.data} has {len(source.classes)} columns of numbers ({', '.join(source.classes)}), and "
                f"{len(own.center)} were learned; choose them with --set targets=NAME"
            )
        values = splits_of(source)[0].targets.astype(np.float64)
        if not len(values):  # which `check` refuses
            values = np.zeros((1, len(source.classes)))
        center = np.array(values.mean(0) if own.center is None else own.center)
        spread = np.array(values.std(0) if own.spread is None else own.spread)
        if len(source.train) and (spread == 0).any():
            k = int((spread == 0).argmax())
            raise DataError(
                f"all training images of {recipe.data} have the same number in {source.classes[k]} ({values[0, k]:g}); "
                "there is nothing to learn from it"
            )
        train, val, test = (replace(s, center=center, spread=spread) for s in splits_of(source))
        return replace(source, train=train, val=val, test=test)

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Any:
        """See Task; with a number, or a row of numbers whose columns `targets` names, as labels."""
        if isinstance(data, Source):
            return Task.take(self, data, recipe, progress)
        named = recipe.settings.targets
        source = open_given(
            data, seed=recipe.seed, val=recipe.val, test=recipe.test, progress=progress,
            encode=lambda labels, names, where: numbers_given(labels, columns_named(named) or names, where),
        )  # fmt: skip
        return self.standardised(source, recipe)

    def wrapped(self, classes: Sequence[str]) -> RegressionSettings:
        """See Task; a network that was trained elsewhere gives numbers in their units."""
        return RegressionSettings(center=[0.0] * len(classes), spread=[1.0] * len(classes))

    def match(self, source: Source, classes: Sequence[str], name: str) -> Source:
        """See Task; columns without names take the network's."""
        return super().match(named_as(source, classes), classes, name)  # type: ignore[no-any-return]

    def check(self, source: Source) -> Finding:
        """See Task."""
        return check_numbers(source)

    def describe(self, source: Source, preprocessing: Preprocessing | None = None) -> Finding:
        """See Task."""
        return describe_numbers(source, levels=preprocessing)

    def plan(self, recipe: Recipe, source: Source, device: torch.device) -> Plan:
        """See Task; notes by what the targets are standardised."""
        center, spread = scale_of(source.train)
        own = replace(recipe.settings, center=tuple(center.tolist()), spread=tuple(spread.tolist()))
        changes: dict[str, Any] = {"label_smoothing": 0.0, "settings": own}
        why = []
        if recipe.scale is None:
            changes["scale"] = 1.0
            why.append(
                "scale = 1.0: no crops, which change sizes, and a number may depend on these"
            )
        plan = super().plan(recipe.replace(**changes), source, device)
        return replace(plan, why=[*plan.why, *why])

    def targets(self, split: TargetSplit) -> Tensor:
        """(N, K) float32, standardised."""
        center, spread = scale_of(split)
        return torch.from_numpy(((split.targets - center) / spread).astype(np.float32))

    def loss(self, plan: Plan) -> Huber:
        """See Task."""
        return Huber(plan.recipe.settings.huber)

    def validation_loss(self, plan: Plan) -> Huber:
        """See ImageTask."""
        return Huber(plan.recipe.settings.huber)

    def metric(self, classes: Sequence[str]) -> RSquared:
        """See Task."""
        return RSquared()

    def calibrate(self, trained: Trained, source: Source, device: torch.device) -> dict[str, Any]:
        """What brings outputs back to units, and how far intervals reach: from the errors on the validation images."""
        center, spread = scale_of(source.train)
        calibration: dict[str, Any] = {"center": center.tolist(), "spread": spread.tolist()}
        if len(source.val):
            assessed = self.assess(trained, source.val, device=device)
            errors = (assessed.outputs - assessed.targets).abs().double().numpy() * spread
            radii = [radius_of(errors[:, k]) for k in range(errors.shape[1])]
            if None not in radii:
                calibration |= {"radii": radii, "level": LEVEL}
        return {"calibration": calibration}

    def report(
        self, trained: Trained, source: Source, split: TargetSplit, assessed: Outputs, *, say: Say = mute
    ) -> Iterator[Finding]:  # fmt: skip
        """See Task."""
        values, targets = (
            in_units(assessed.outputs, trained),
            split.targets[: len(assessed)].astype(np.float64),
        )
        names, seed, radii = trained.classes, trained.seed, trained.calibration.get("radii")
        # Nothing was learned from a source of test images alone: then these say what guessing would give.
        train = splits_of(source)[0]
        taught = (train if len(train) else split).targets.astype(np.float64)
        independent = bool(len(source.test))
        yield headline(values, targets, names, taught, seed=seed)
        yield predicted_against_true(values, targets, names, radii)
        yield intervals(
            values, targets, names, radii, calibrated_on=len(source.val), independent=independent
        )
        yield worst(
            values, targets, names, scale_of(split)[1], lambda i: split.preprocess(i, trained.preprocessing), split.keys
        )  # fmt: skip

    def answers(self, output: Any, trained: Trained) -> dict[str, Tensor]:
        """See Task; the network's numbers (N, K), and the same in the units of the table."""
        own = answer_of(output).float()
        center, spread = (torch.from_numpy(part).float() for part in _scale(trained))
        return {"output": own, "values": own * spread + center}

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """The numbers of each image in their units, with their intervals."""
        values = in_units(answer_of(output), trained)
        radii = trained.calibration.get("radii") or [None] * values.shape[1]
        level = float(trained.calibration.get("level", LEVEL))
        predictions: list[Prediction] = []
        for i, row in enumerate(values.tolist()):
            numbers = []
            for heading, value, radius in zip(trained.classes, row, radii, strict=True):
                name, unit = unit_of(heading)
                low, high = (None, None) if radius is None else (value - radius, value + radius)
                numbers.append(Number(name=name, value=value, unit=unit, low=low, high=high, level=level))  # fmt: skip
            predictions.append(
                NumberPrediction(path=str(i), numbers=tuple(numbers), scalars={n.name: n.value for n in numbers})
            )  # fmt: skip
        return predictions

    def failed(self, path: str, error: str) -> Prediction:
        """See ImageTask."""
        return NumberPrediction(path=path, error=error)

    def examples(self, split: TargetSplit, classes: Sequence[str], limit: int) -> list[tuple[int, str]]:  # fmt: skip
        """See Task: images from small to large numbers."""
        order = np.argsort(split.targets[:, 0], kind="stable")
        at = order[np.unique(np.linspace(0, len(order) - 1, min(limit, 5)).round().astype(int))]
        return [(int(i), in_words(classes[0], float(split.targets[i, 0]))) for i in at]

    def explained_number(
        self, trained: Trained, output: Any, index: int | None
    ) -> tuple[Callable[[Any], Tensor], str]:
        """A number in its unit, the first if none is asked for."""
        k = index or 0
        center, spread = (float(part[k]) for part in _scale(trained))
        value = float(answer_of(output)[0, k].float()) * spread + center
        words = in_words(trained.classes[k], value)
        return lambda given: answer_of(given)[:, k] * spread + center, words


def scale_of(split: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (K,) by which a split's targets are standardised; 0 and 1 where none is known."""
    k = split.targets.shape[1]
    center, spread = split.center, split.spread
    return np.zeros(k) if center is None else center, np.ones(k) if spread is None else spread


def _scale(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    k = len(trained.classes)
    known = trained.calibration
    return np.array(known.get("center", np.zeros(k))), np.array(known.get("spread", np.ones(k)))


def in_units(outputs: Tensor, trained: Trained) -> np.ndarray:
    """Numbers (N, K) float64 in the units of the table, of standardised outputs (N, K)."""
    center, spread = _scale(trained)
    values: np.ndarray = outputs.detach().double().cpu().numpy() * spread + center
    return values


def in_words(heading: str, value: float) -> str:
    """`age 34.2 years`."""
    name, unit = unit_of(heading)
    return f"{name} {value:.4g}{f' {unit}' if unit else ''}"
