"""A loss of a person's own on masks is also what is measured on the validation images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data import Preprocessing
from striate.tasks.plan import Plan
from striate.tasks.segment.data import IGNORE
from striate.tasks.segment.data.source import ArrayMaskSplit, MaskSource
from striate.tasks.table import find_task

CPU = torch.device("cpu")


def test_the_validation_loss_is_the_persons_own() -> None:
    """A mean over each image's pixels, and images without a labelled pixel left out."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    masks = rng.integers(0, 3, (4, 16, 16), dtype=np.uint8)
    masks[0], masks[1, :8] = IGNORE, IGNORE  # of the first image nothing is known
    held = ArrayMaskSplit.of(images, masks, ["0", "1", "2", "3"], 3)
    source = MaskSource(
        name="noise", classes=("a", "b", "c"), train=held, val=held, test=held, where="", fingerprint=""
    )  # fmt: skip
    task = find_task("segment")
    recipe = task.recipe({"data": "noise", "precision": "fp32"})
    preprocessing = Preprocessing(channels=3, height=16, width=16, fit="crop")
    plan = Plan(recipe=recipe, source=source, preprocessing=preprocessing, why=[])
    torch.manual_seed(0)
    network = nn.Conv2d(3, len(source.classes), 1)

    def mean(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, ignore_index=IGNORE)

    def expected(reduction: str) -> Tensor:
        values = []
        for i in range(1, len(held)):
            image = torch.from_numpy(held.image(i)).permute(2, 0, 1)[None]
            target = torch.from_numpy(held.mask(i)).long()[None]
            with torch.inference_mode():
                logits = network(preprocessing.normalise(image))
            values.append(F.cross_entropy(logits, target, ignore_index=IGNORE, reduction=reduction))
        return torch.stack([v.flatten() for v in values])

    plain = task.validation(plan, device=CPU)
    own = task.validation(replace(plan, loss=lambda y, t: 1000 + mean(y, t)), device=CPU)
    assert plain is not None and own is not None and len(held) > 1
    each = expected("none")
    assert plain(network)["loss"] == pytest.approx(float(each[each > 0].mean()), rel=1e-5)
    assert own(network)["loss"] == pytest.approx(1000 + float(expected("mean").mean()), rel=1e-7)
