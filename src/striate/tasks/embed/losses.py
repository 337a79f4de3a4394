"""Losses of metric learning, in their papers' notation.

x_i is an embedding, W_j the centre of identity j, theta_j the angle between them, s the scale and m the margin. All are
means over the images that count, and none computes in half precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.answer import answer_of, in_single
from striate.training.batch import Batch, Loss

TINY = 1e-12


def unit(embeddings: Tensor) -> Tensor:
    """Embeddings (N, d) of any length with length 1, in float32 where they came in half precision; of length 0, zeros."""
    return F.normalize(in_single(embeddings), eps=TINY)


def additive_angular_margin(cosines: Tensor, labels: Tensor, m: float) -> Tensor:
    """The cosines (N, K) with cos(theta + m) for each image's own identity, labels (N,); ArcFace's.

    J. Deng et al., "ArcFace: additive angular margin loss for deep face recognition" (2019), equation 3. Beyond
    theta = pi - m, where the cosine of the sum would rise again, it falls on as cos(theta) - m sin(m), as the authors'
    implementation has it. cos(theta + m) comes from cos(theta) cos(m) - sin(theta) sin(m), without an arc cosine; the
    derivative of sin(theta) = sqrt(1 - cos^2(theta)) has no bound where |cos(theta)| is 1, so the root is held off 0.
    """
    own = cosines.gather(1, labels[:, None])[:, 0].clamp(-1, 1)
    sine = (1 - own * own).clamp(min=TINY).sqrt()
    shifted = own * math.cos(m) - sine * math.sin(m)
    beyond = own - m * math.sin(m)
    target = torch.where(own > -math.cos(m), shifted, beyond)  # cos(pi - m)
    return cosines.scatter(1, labels[:, None], target[:, None])


def additive_cosine_margin(cosines: Tensor, labels: Tensor, m: float) -> Tensor:
    """The cosines (N, K) with cos(theta) - m for each image's own identity, labels (N,).

    H. Wang et al., "CosFace: large margin cosine loss for deep face recognition" (2018), equation 4.
    """
    own = cosines.gather(1, labels[:, None])
    return cosines.scatter(1, labels[:, None], own - m)


MARGINS = {
    "arcface": additive_angular_margin,
    "cosface": additive_cosine_margin,
    "softmax": lambda cosines, labels, m: cosines,
}


@dataclass(frozen=True, kw_only=True)
class CosineSoftmax:
    """Cross-entropy of s times cosines, with a margin that makes an image's own identity harder to reach.

    kind: of MARGINS; "softmax" is the normalised softmax without a margin (F. Wang et al., "NormFace", 2017, equation 8).
    scale: s. margin: m. warmup: steps in which the margin rises from 0 to m in equal parts: from the first step on a large
    margin asks of embeddings that know nothing yet to be apart.
    """

    kind: str = "arcface"
    scale: float = 16.0
    margin: float = 0.5
    warmup: int = 0
    related: bool = field(default=False, init=False)

    def margin_at(self, step: int | None) -> float:
        """The margin of a step of the training, from 0; the whole of it outside one."""
        if step is None or step >= self.warmup:
            return self.margin
        return self.margin * step / self.warmup

    def __call__(self, output: Tensor | tuple[Tensor, Tensor], batch: Batch) -> Loss:
        """output: embeddings (N, d) and cosines (N, K); targets: identities (N,) int64.

        Of embeddings alone, which is what a network in evaluation form gives, the loss is that of `LeaveOneOut`.
        """
        if isinstance(output, Tensor):
            return LeaveOneOut(scale=self.scale)(output, batch)
        cosines, labels = in_single(output[1]), batch.targets
        logits = self.scale * MARGINS[self.kind](cosines, labels, self.margin_at(batch.step))
        total = F.cross_entropy(logits, labels, reduction="sum")
        correct = (cosines.detach().argmax(1) == labels).sum()
        return Loss(total, len(batch), {"accuracy": correct})


def pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of a batch, (N, N) bool, are of one identity, without an image and itself; and which are of two."""
    same = labels[:, None] == labels[None]
    other = ~same
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), other


@dataclass(frozen=True, kw_only=True)
class BatchHardTriplet:
    """For each image the farthest of its identity against the nearest of another, in the batch.

    A. Hermans, L. Beyer, B. Leibe, "In defense of the triplet loss for person re-identification" (2017), equation 5, with
    the margin m in a hinge, or where m is 0 the soft margin ln(1 + exp(.)) of section 2. Distances D are Euclidean, of
    embeddings of length 1, as they are compared afterwards. An image counts where the batch holds another one of its
    identity and one of another identity.
    """

    margin: float = 0.0
    related: bool = field(default=True, init=False)

    def __call__(self, output: Any, batch: Batch) -> Loss:
        """output: embeddings (N, d); targets: identities (N,) int64."""
        embeddings, labels = unit(answer_of(output)), batch.targets
        squared = 2 - 2 * embeddings @ embeddings.T
        positive, negative = pairs(labels)
        farthest = squared.masked_fill(~positive, -math.inf).amax(1)
        nearest = squared.masked_fill(~negative, math.inf).amin(1)
        counts = positive.any(1) & negative.any(1)
        gap = distance(farthest[counts]) - distance(nearest[counts])
        losses = F.relu(self.margin + gap) if self.margin else F.softplus(gap)
        return Loss(losses.sum(), counts.sum(), {"accuracy": nearest_is_own(squared, labels)})


def distance(squared: Tensor) -> Tensor:
    """The root of squared distances (N,), held off 0, where its derivative has no bound."""
    return squared.clamp(min=TINY).sqrt()


@dataclass(frozen=True, kw_only=True)
class SupervisedContrastive:
    """Each image's own identity among all other images of the batch, by a softmax over cosines.

    P. Khosla et al., "Supervised contrastive learning" (2020), equation 2 (L_out), with temperature tau. An image counts
    where the batch holds another one of its identity.
    """

    temperature: float = 0.1
    related: bool = field(default=True, init=False)

    def __call__(self, output: Any, batch: Batch) -> Loss:
        """output: embeddings (N, d); targets: identities (N,) int64."""
        embeddings, labels = unit(answer_of(output)), batch.targets
        cosines = embeddings @ embeddings.T
        positive, _ = pairs(labels)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        scores = (cosines / self.temperature).masked_fill(itself, -math.inf)
        logs = scores - scores.logsumexp(1, keepdim=True)
        many = positive.sum(1)
        losses = -torch.where(positive, logs, 0.0).sum(1) / many.clamp(min=1)
        return Loss(
            losses.sum(), (many > 0).sum(), {"accuracy": nearest_is_own(2 - 2 * cosines, labels)}
        )


def nearest_is_own(squared: Tensor, labels: Tensor) -> Tensor:
    """How many images of a batch have one of their own identity nearest. squared: (N, N) distances; labels: (N,)."""
    with torch.no_grad():
        away = squared.detach().clone().fill_diagonal_(math.inf)
        return (labels[away.argmin(1)] == labels).sum()


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """Cross-entropy of s times the cosines to the mean of each identity's other images: of identities that have no centre.

    J. Snell, K. Swersky, R. Zemel, "Prototypical networks for few-shot learning" (2017), with cosines, and each image as the
    query of all others. It is the same whatever was trained, so that it falls or rises with the embeddings alone. An image
    without another of its identity does not count.
    """

    scale: float = 16.0
    related: bool = field(default=True, init=False)

    def __call__(self, output: Any, batch: Batch) -> Loss:
        """output: embeddings (N, d); targets: identities (N,) int64, any numbers."""
        embeddings = unit(answer_of(output))
        _, labels = batch.targets.to(embeddings.device).unique(return_inverse=True)
        k = int(labels.max()) + 1
        counts = torch.bincount(labels, minlength=k)
        sums = embeddings.new_zeros(k, embeddings.shape[1])
        sums.index_add_(0, labels, embeddings)
        cosines = embeddings @ unit(sums).T
        others = unit(sums[labels] - embeddings)
        own = (embeddings * others).sum(1)
        logits = self.scale * cosines.scatter(1, labels[:, None], own[:, None])
        losses = F.cross_entropy(logits, labels, reduction="none")
        with_others = counts[labels] > 1
        correct = (logits.detach().argmax(1) == labels)[with_others].sum()
        return Loss(losses[with_others].sum(), with_others.sum(), {"accuracy": correct})
