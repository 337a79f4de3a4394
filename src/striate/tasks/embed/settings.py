"""The settings that learning of embeddings adds to a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from striate.errors import UsageError
from striate.ranges import check_fields
from striate.training.settings import require_choice

COSINE = ("arcface", "cosface", "softmax")
"""Losses with a learned centre for each training identity."""
PAIRS = ("triplet", "supcon")
"""Losses that compare the images of a batch with each other."""
OWN = "own"
"""A loss that a person gives in Python: it gets the embeddings and the identities of a whole batch."""
SAMPLING = ("shuffled", "balanced")


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """What learning of embeddings decides beside the recipe; None means "decided by the data".

    margin, logit_scale, temperature: m, s and tau of the losses' papers; a triplet's margin of 0 is its soft margin.
    margin_warmup: passes over the training images in which the margin rises from 0. sampling: "balanced" batches hold
    `each` images of each of their identities. group: a column of the table of images, by which errors are shown too.
    identities: how many are trained on, found when the data are opened.
    Raises UsageError, naming the setting, when a value is out of range.
    """

    loss: str = "arcface"
    dimensions: int = 128
    margin: float | None = None
    logit_scale: float | None = None
    temperature: float | None = None
    margin_warmup: float | None = None
    sampling: str | None = None
    each: int | None = None
    group: str | None = None
    identities: int | None = None

    def __post_init__(self) -> None:
        require_choice(self, {"loss": (*COSINE, *PAIRS, OWN), "sampling": SAMPLING})
        check_fields(self)
        for name, losses in MEANT.items():
            if getattr(self, name) is not None and self.loss not in losses:
                raise UsageError(
                    f"{name}={getattr(self, name)} is a setting of loss={' or '.join(losses)} and has no effect with "
                    f"loss={self.loss}; leave it out"
                )


MEANT = {
    "margin": ("arcface", "cosface", "triplet"),
    "logit_scale": COSINE,
    "temperature": ("supcon",),
    "margin_warmup": ("arcface", "cosface"),
}
