"""Metric learning: an embedding an image, near for images of one identity and far for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.data import Preprocessing, Source, open_given
from striate.data.files import Found
from striate.data.own import given_again, is_given
from striate.errors import DataError, UsageError
from striate.findings import Finding, Table
from striate.tasks.defaults import SMALL
from striate.tasks.embed import glyphs
from striate.tasks.embed.batches import BalancedBatches
from striate.tasks.embed.checking import check_identities
from striate.tasks.embed.choosing import chosen, threshold_of
from striate.tasks.embed.data import (
    identities_given,
    open_by_identity,
    refuse_shared,
    trained_on,
    training_first,
)
from striate.tasks.embed.describing import describe_identities
from striate.tasks.embed.findings.by_group import by_group
from striate.tasks.embed.findings.held import Held
from striate.tasks.embed.groups import grouped, groups_of
from striate.tasks.embed.likeness import similarity_to
from striate.tasks.embed.losses import (
    BatchHardTriplet,
    CosineSoftmax,
    LeaveOneOut,
    SupervisedContrastive,
)
from striate.tasks.embed.measuring import measures, no_better, told
from striate.tasks.embed.metric import RecallAtOne, unit_rows
from striate.tasks.embed.network import CentredNetwork
from striate.tasks.embed.prediction import EmbeddingPrediction
from striate.tasks.embed.probes.similarity import similarity
from striate.tasks.embed.probes.stranger import stranger
from striate.tasks.embed.settings import COSINE, OWN, EmbedSettings
from striate.tasks.image_task import ImageTask, Outputs
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.task import Progress, Say, mute, silent
from striate.tasks.trained import Trained
from striate.training.batch import LossFunction
from striate.training.batches import TrainingBatches
from striate.training.recipe import Recipe
from striate.wording import as_sentence

SCALE = 16.0
MARGIN: Mapping[str, float] = {"arcface": 0.3, "cosface": 0.2, "triplet": 0.0}
WARMUP = 0.3  # share of the training in which the margin rises
EACH = 4
# Images seen, of 24 pixels and more and of fewer. Held-out digits: recall at 1 is 0.955 after 4 passes, 0.948 after 10 (the
# mean of 3 seeds); of validation identities it fell from 1 after 5 passes to 0.98 after 70.
SEEN, SEEN_TINY, LEAST_PASSES, MOST_PASSES = 40_000, 20_000, 6, 40


class EmbedTask(ImageTask):
    """An embedding an image, learned from identities, and measured on identities that were never seen."""

    name = "embed"
    about = "an embedding an image"
    settings = EmbedSettings
    outputs = ("dimension", "dimensions")
    named = ("identity", "identities")
    sources: ClassVar[Mapping[str, str]] = MappingProxyType({glyphs.NAME: glyphs.ABOUT})
    offers = MappingProxyType({"embeddings": "images", "groups": "images"})
    unused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"label_smoothing": "", "mixup": ": a mixture of two images is of no identity"}
    )

    probes = MappingProxyType({"similarity": similarity, "stranger": stranger})

    # Data

    def accepts(self, data: str | Path) -> bool:
        """The generated identities; folders and tables look like those of classes, so that the task is to be named."""
        return data == glyphs.NAME

    def open(self, recipe: Recipe, progress: Progress | None = None) -> Source:
        """See Task; split by identity."""
        if is_given(recipe.data):
            return given_again(recipe.data)  # type: ignore[no-any-return]
        source, column = open_by_identity(recipe, progress), recipe.settings.group
        if column is None:
            return source
        try:
            return grouped(source, recipe.data, column)
        except (DataError, UsageError):
            if recipe.settings.identities is None:  # not trained yet
                raise
            return source  # other images than the run's own, which need no groups to be probed or measured

    def take(self, data: Any, recipe: Recipe, progress: Progress | None = None) -> Source:
        """See Task; with an identity, a number or a name, as label of each image."""
        if recipe.settings.group is not None:
            raise UsageError(
                "group= names a column of a table of images; for groups of images that are given in Python see "
                "striate.tasks.embed.evaluation.verification.rates_by_group"
            )
        if not isinstance(data, Source):
            data = open_given(
                data, seed=recipe.seed, val=recipe.val, test=recipe.test, progress=progress, encode=identities_given
            )  # fmt: skip
        refuse_shared(data)
        return training_first(data)

    def match(self, source: Source, classes: Sequence[str], name: str) -> Source:
        """See Task; any identities can be embedded."""
        return source

    def output_names(self, recipe: Recipe, source: Any) -> tuple[str, ...]:
        """See Task; e0, e1, ..."""
        return self.names_for(recipe.settings.dimensions)

    def names_for(self, outputs: int) -> tuple[str, ...]:
        """See Task; e0, e1, ..."""
        return tuple(f"e{i}" for i in range(outputs))

    def wrapped(self, classes: Sequence[str]) -> EmbedSettings:
        """See Task; what it was trained with is not known."""
        return EmbedSettings(loss=OWN, dimensions=len(classes))

    def check(self, source: Source) -> Finding:
        """See Task."""
        return check_identities(source)

    def describe(self, source: Source, preprocessing: Preprocessing | None = None) -> Finding:
        """See Task."""
        return describe_identities(source, levels=preprocessing)

    # Training

    def plan(self, recipe: Recipe, source: Source, device: torch.device) -> Plan:
        """See Task; notes how many identities are trained on, each of which has a centre."""
        plan = super().plan(recipe.replace(label_smoothing=0.0, mixup=0.0), source, device)
        before, chosen = list(plan.why), plan.recipe
        if (
            recipe.epochs is None
            and chosen.epochs is not None
            and max(plan.preprocessing.size) <= SMALL
        ):
            n = min(len(source.train), recipe.limit or len(source.train))
            seen = SEEN if min(plan.preprocessing.size) >= 24 else SEEN_TINY
            chosen = chosen.replace(
                epochs=float(min(max(round(seen / n), LEAST_PASSES), MOST_PASSES))
            )
            before = [line for line in before if not line.startswith("epochs =")]
            before.append(
                f"epochs = {chosen.epochs:g}: those trained on are soon known, and more passes help little with others"
            )
        own, why = decided(chosen, trained_on(source))
        return replace(plan, recipe=chosen.replace(settings=own), why=[*before, *why])

    def build(
        self, recipe: Recipe, preprocessing: Preprocessing, outputs: int, *, fresh: bool = False, check: bool = False
    ) -> nn.Module:  # fmt: skip
        """See Task; with the training identities' centres where the loss has some."""
        network = super().build(recipe, preprocessing, outputs, fresh=fresh, check=check)
        own = recipe.settings
        if own.loss not in COSINE or own.identities is None:
            return network
        return CentredNetwork(network, own.identities, outputs)

    def batches(
        self, plan: Plan, split: str, *, device: torch.device, progress: Progress = silent
    ) -> TrainingBatches:
        """See Task; as the recipe says, shuffled, or several images of each of several identities."""
        made = super().batches(plan, split, device=device, progress=progress)
        own = plan.recipe.settings
        if own.sampling != "balanced":
            return made
        return BalancedBatches(**vars(made), each=own.each)

    def loss(self, plan: Plan) -> LossFunction:
        """See Task."""
        own = plan.recipe.settings
        if own.loss == "triplet":
            return BatchHardTriplet(margin=own.margin)
        if own.loss == "supcon":
            return SupervisedContrastive(temperature=own.temperature)
        if own.loss not in COSINE:
            return LeaveOneOut(scale=SCALE)  # beside which a loss of a person's own is shown
        n = min(len(plan.source.train), plan.recipe.limit or len(plan.source.train))
        steps = max(1, n // int(plan.recipe.batch or 1))
        return CosineSoftmax(
            kind=own.loss, scale=own.logit_scale, margin=own.margin or 0.0, warmup=round((own.margin_warmup or 0.0) * steps)
        )  # fmt: skip

    def validation_loss(self, plan: Plan) -> LossFunction:
        """See ImageTask; the same whatever was trained, since the validation identities have no centres."""
        return LeaveOneOut(scale=plan.recipe.settings.logit_scale or SCALE)

    def validation(
        self, plan: Plan, *, device: torch.device, progress: Progress = silent
    ) -> Callable[[nn.Module], dict[str, float]] | None:
        """See Task."""
        # A loss of a person's own compares images of a batch, and all validation images are none.
        return super().validation(replace(plan, loss=None), device=device, progress=progress)

    def refuse_output(self, output: Any, images: Tensor, outputs: int) -> None:
        """See Task; (N, outputs)."""
        super().refuse_output(output, images, outputs)

    # Evaluation

    def metric(self, classes: Sequence[str]) -> RecallAtOne:
        """See Task."""
        return RecallAtOne()

    def calibrate(self, trained: Trained, source: Source, device: torch.device) -> dict[str, Any]:
        """The threshold for 1 % of false accepts among the validation identities, which nothing was learned from."""
        if not len(source.val):
            return {}
        assessed = self.assess(trained, source.val, device=device)
        known, embeddings = directed(assessed.outputs)
        return {"calibration": chosen(embeddings, assessed.targets.numpy()[known])}

    def results(self, assessed: Outputs, classes: Sequence[str]) -> dict[str, float]:
        """Recall at 1, then the other measures of retrieval and verification that these images allow."""
        known, embeddings = directed(assessed.outputs)
        return {
            **super().results(assessed, classes),
            **measures(embeddings, assessed.targets.numpy()[known]),
        }

    def report(
        self, trained: Trained, source: Source, split: Any, assessed: Outputs, *, say: Say = mute
    ) -> Iterator[Finding]:
        """See Task; what is measured of identities that were never seen, with intervals over identities."""
        known, embeddings = directed(assessed.outputs)
        if len(known) < len(assessed):
            say(
                f"{len(assessed) - len(known):,} images have an embedding of length 0 and are left out"
            )
        held = Held(
            embeddings, assessed.targets.numpy()[known], source.classes, [str(split.keys[i]) for i in known],
            lambda i: split.preprocess(int(known[i]), trained.preprocessing), threshold_of(trained.calibration),
            trained.seed,
        )  # fmt: skip
        yield from told(held)
        groups = groups_of(source, held.keys)
        if groups is not None:
            yield by_group(held, *groups)

    def guessing(self, evidence: np.ndarray, classes: Sequence[str]) -> str | None:
        """Where the interval over identities of recall at 1 reaches down to what embeddings that say nothing have."""
        return no_better(evidence)

    # Use

    def answers(self, output: Any, trained: Trained) -> dict[str, Tensor]:
        """See Task; what the network gives (N, d), and the same with length 1, 0 where it has no direction."""
        own = answer_of(output).float()
        length = own.square().sum(1, keepdim=True).sqrt()
        return {"output": own, "embedding": own / torch.where(length > 0, length, 1.0)}

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        """The embeddings, of length 1, with the lengths that they had."""
        embeddings = answer_of(output).detach().float().cpu().numpy()
        lengths = np.linalg.norm(embeddings, axis=1)
        return [
            embedded(str(i), row, float(length))
            for i, (row, length) in enumerate(zip(unit_rows(embeddings), lengths, strict=True))
        ]

    def _predictions(
        self, trained: Trained, inputs: Found, top: int, device: str
    ) -> Iterator[Prediction]:
        d = len(trained.classes)
        for prediction in super()._predictions(trained, inputs, top, device):
            yield replace(prediction, dimensions=d)  # type: ignore[call-arg]

    def told(self, prediction: Prediction, rows: Sequence[Mapping[str, Any]]) -> tuple[str, Table]:
        """See ImageTask; the first of the numbers, since a column for each is nothing to read."""
        if prediction.error is not None:
            return as_sentence(prediction.error), Table(columns=("embedding",), rows=())
        [cells] = prediction.cells()
        headings = tuple(heading.strip() for heading in prediction.headings())
        said = f"An embedding of {cells[0]} numbers, with a length of {cells[1]}."
        return said, Table(columns=headings, rows=(cells,))

    def failed(self, path: str, error: str) -> EmbeddingPrediction:
        """See ImageTask."""
        return EmbeddingPrediction(path=path, error=error)

    def explained_number(
        self, trained: Trained, output: Any, index: int | None
    ) -> tuple[Callable[[Any], Tensor], str]:
        """A dimension that is asked for, else the similarity to the image's own embedding, which falls as it is changed."""
        own = answer_of(output).detach()
        if index is not None:
            return lambda given: answer_of(given)[:, index], trained.classes[index]
        return similarity_to(own), "its own embedding"

    def likeness(
        self, trained: Trained, output: Any, other: Any, name: str
    ) -> tuple[Callable[[Any], Tensor], str]:
        """See Task; the cosine of their embeddings."""
        number = similarity_to(answer_of(other).detach())
        return number, f"similarity to {name} ({float(number(output)):.3f})"

    def examples(self, split: Any, classes: Sequence[str], limit: int) -> list[tuple[int, str]]:
        """See Task: an image of each of some identities, none of which has an output."""
        groups = np.unique(split.labels)[:limit]
        return [(int(np.flatnonzero(split.labels == g)[0]), classes[0]) for g in groups]


def directed(outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Which of N embeddings (N, d) have a direction, (M,), and these (M, d) float32 with length 1."""
    embeddings = outputs.double().numpy()
    length = np.linalg.norm(embeddings, axis=1)
    known = np.flatnonzero((length > 0) & np.isfinite(length))
    return known, (embeddings[known] / length[known, None]).astype(np.float32)


def embedded(path: str, row: np.ndarray, length: float) -> EmbeddingPrediction:
    """The prediction of an embedding (d,) of length 1; an error where the network's has no direction."""
    if not (length > 0 and np.isfinite(length)):
        error = (
            f"its embedding has the length {length:g} and so no direction to compare; look at the image, and train the "
            "network again where others are so too"
        )
        return EmbeddingPrediction(path=path, error=error, dimensions=len(row))
    numbers = tuple(float(f"{value:.7g}") for value in row.tolist())
    return EmbeddingPrediction(
        path=path, embedding=numbers, length=float(f"{length:.7g}"), dimensions=len(row)
    )


def decided(recipe: Recipe, identities: int) -> tuple[EmbedSettings, list[str]]:
    """The task's settings with every open one decided, and the reasons. identities: trained on."""
    own, why = recipe.settings, []
    changes: dict[str, Any] = {"identities": identities}

    def pick(name: str, value: Any, reason: str) -> None:
        if getattr(own, name) is None:
            changes[name] = value
            why.append(f"{name} = {value}: {reason}")

    if own.loss in COSINE:
        pick("logit_scale", SCALE, "s, by which cosines are multiplied")
    if own.loss in MARGIN:
        pick("margin", MARGIN[own.loss], "m")
    if own.loss in ("arcface", "cosface"):
        passes = 2.0 if recipe.epochs is None else float(f"{WARMUP * recipe.epochs:.3g}")
        pick("margin_warmup", passes, "passes in which the margin rises from 0")
    if own.loss == "supcon":
        pick("temperature", 0.1, "as in the paper")
    related = own.loss not in COSINE
    pick(
        "sampling",
        "balanced" if related else "shuffled",
        "the loss compares images of a batch" if related else "the loss has a centre an identity",
    )
    if (own.sampling or changes.get("sampling")) == "balanced":
        pick("each", EACH, "images of each identity in a batch")
        each = own.each or EACH
        if int(recipe.batch or 1) < 2 * each:
            raise UsageError(
                f"a batch of {recipe.batch} images holds fewer than 2 identities with {each} images each; make batch "
                f"{2 * each} or more, or each smaller"
            )
    elif own.each is not None:
        raise UsageError(
            f"each={own.each} is of sampling=balanced and has no effect on shuffled batches; leave it out"
        )
    return replace(own, **changes), why
