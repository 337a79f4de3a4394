"""Classification: one class an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.data import Source, Split, check, describe
from striate.data.naming import alike, normal
from striate.data.preprocessing import Preprocessing
from striate.data.targets import noted
from striate.errors import DataError
from striate.findings import Finding
from striate.statistics.temperature import fit_temperature
from striate.tasks.classify import findings
from striate.tasks.classify.loss import CrossEntropy
from striate.tasks.classify.metric import Accuracy
from striate.tasks.classify.prediction import ClassPrediction
from striate.tasks.examples import Examples
from striate.tasks.image_task import ImageTask, Outputs
from striate.tasks.network_input import as_seen
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.task import Progress, Say, mute
from striate.tasks.trained import Trained
from striate.training.recipe import Recipe

SHOWN = 6  # images in the section on what enters the network
LEAST_FOR_TEMPERATURE = 50  # validation images


class Classify(ImageTask):
    """One class an image, by cross-entropy and accuracy."""

    name = "classify"
    about = "one class an image"
    decides = "class"
    offers = MappingProxyType({"labels": "images", "choices": "images"})

    def accepts(self, data: str | Path) -> bool:
        """Whatever no other task takes: its reader says what is wrong with it."""
        return True

    def open(self, recipe: Recipe, progress: Progress | None = None) -> Source:
        """See Task."""
        return noted(super().open(recipe, progress), recipe.data)

    def check(self, source: Source) -> Finding:
        """See Task."""
        return check(source)

    def describe(self, source: Source, preprocessing: Preprocessing | None = None) -> Finding:
        """See Task."""
        return describe(source, levels=preprocessing)

    def loss(self, plan: Plan) -> CrossEntropy:
        """See Task."""
        return CrossEntropy(plan.recipe.label_smoothing or 0.0)

    def validation_loss(self, plan: Plan) -> CrossEntropy:
        """See ImageTask."""
        return CrossEntropy()

    def metric(self, classes: Sequence[str]) -> Accuracy:
        """See Task."""
        return Accuracy()

    def calibrate(self, trained: Trained, source: Source, device: torch.device) -> dict[str, Any]:
        """A temperature from the validation images, if there are enough of them."""
        if len(source.val) < LEAST_FOR_TEMPERATURE or not len(source.test):
            return {}
        assessed = self.assess(trained, source.val, device=device)
        return {"temperature": round(fit_temperature(assessed.outputs, assessed.targets), 4)}

    def match(self, source: Source, classes: Sequence[str], name: str) -> Source:
        """The source with the network's spellings; it may lack some of the network's classes."""
        known = {normal(c): c for c in classes}
        source = replace(source, classes=tuple(known.get(normal(c), c) for c in source.classes))
        if strange := sorted(set(source.classes) - set(classes)):
            like = {alike(c): c for c in classes}
            near = next((c for c in strange if alike(c) in like), None)
            hint = f"; rename {near!r} to {like[alike(near)]!r}" if near is not None else ""
            raise DataError(
                f"{name} has classes that the network does not know: {', '.join(strange[:5])}; "
                f"it knows {', '.join(classes[:10])}{hint}"
            )
        return source

    def drawn(self, split: Split, limit: int, seed: int) -> np.ndarray:
        """Classes in equal shares as far as they go."""
        return balanced(split.labels, limit, seed)

    def load_examples(
        self, source: Source, split: Split, preprocessing: Preprocessing, classes: Sequence[str], *,
        limit: int | None = None, seed: int = 0,
    ) -> Examples:  # fmt: skip
        """See Task."""
        examples = super().load_examples(
            source, split, preprocessing, classes, limit=limit, seed=seed
        )
        place = torch.tensor([classes.index(name) for name in source.classes])
        return replace(examples, targets=place[examples.targets])

    def choices(
        self, output: Any, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """One an image."""
        return answer_of(output).float(), targets

    def report(
        self, trained: Trained, source: Source, split: Split, assessed: Outputs, *, say: Say = mute
    ) -> Iterator[Finding]:
        """See Task."""
        probabilities = torch.softmax(assessed.outputs / trained.temperature, 1).numpy()
        labels, classes, seed = split.labels, trained.classes, trained.seed
        yield findings.headline(probabilities, labels, classes, seed=seed)
        yield findings.per_class(probabilities, labels, classes, seed=seed)
        yield findings.confusion(probabilities, labels, classes)
        yield findings.calibration(probabilities, labels, classes, seed=seed)
        yield findings.mistakes(
            probabilities,
            labels,
            classes,
            lambda i: split.preprocess(i, trained.preprocessing),
            split.keys,
        )
        yield network_input(trained, split)

    def answers(self, output: Any, trained: Trained) -> dict[str, Tensor]:
        """See Task; logits and probabilities (N, K)."""
        logits = answer_of(output).float()
        return {"logits": logits, "probabilities": torch.softmax(logits / trained.temperature, 1)}

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """The `top` classes with their probabilities, best first."""
        shares = torch.softmax(answer_of(output).float() / trained.temperature, 1)
        values, indices = shares.topk(min(top, len(trained.classes)))
        return [
            ClassPrediction(
                path=str(i),
                top=tuple((trained.classes[c], v) for c, v in zip(at, row, strict=True)),
            )
            for i, (at, row) in enumerate(zip(indices.tolist(), values.tolist(), strict=True))
        ]

    def alternatives(self, prediction: Prediction) -> list[dict[str, Any]]:
        """See ImageTask."""
        assert isinstance(prediction, ClassPrediction)
        return [{"class": name, "probability": round(p, 6)} for name, p in prediction.top]

    def failed(self, path: str, error: str) -> Prediction:
        """See ImageTask."""
        return ClassPrediction(path=path, error=error)


def network_input(trained: Trained, split: Split) -> Finding:
    """What the network sees of a few images, one a class as far as they go."""
    preprocessing = trained.preprocessing
    first = [int(np.flatnonzero(split.labels == c)[0]) for c in np.unique(split.labels)[:SHOWN]]
    originals = [preprocessing.eight_bits(split.image(i)) for i in first]
    sizes = [image.shape[:2] for image in originals]
    squashed = preprocessing.fit == "squash"
    return as_seen(
        originals,
        np.stack([split.preprocess(i, preprocessing) for i in first]),
        [0.0 if squashed else preprocessing.lost_fraction(*size) for size in sizes],
        [split.keys[i] for i in first],
        squeezes=[1 - preprocessing.lost_fraction(*size) for size in sizes] if squashed else None,
    )


def balanced(labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Indices (limit,) of labels (N,), in order, classes in equal shares as far as they go, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    turn = np.empty(len(labels), dtype=np.int64)  # which image of its class each is
    for c in np.unique(labels):
        at = np.flatnonzero(labels == c)
        turn[rng.permutation(at)] = np.arange(len(at))
    order = np.lexsort((rng.random(len(labels)), turn))
    return np.sort(order[:limit])
