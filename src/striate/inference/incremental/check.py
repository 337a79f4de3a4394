"""Check: some positions, run by the plain module on the whole changed image, against their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.borrow import forward
from striate.geometry import Geometry
from striate.inference import witness
from striate.inference.incremental.target import Target, score_of_one
from striate.inference.witness import Sample

EVERY = 256  # boxes from one check of a session to the next
RARELY = 16  # boxes of a call for one more position

# Scores of some boxes and of the clean image, computed in double precision; it raises where that cannot be done.
Double = Callable[[nn.Module, Tensor, np.ndarray, Sequence[Tensor], Target], Sequence[float]]


class Check:
    """Holds the scores of a session against its module.

    image (1, C, *axes), as the session computes it; dtype: the kind of number that it computes in, if not the module's.
    output: the session's own for the clean image. double: its scores once more, in double precision.
    """

    def __init__(
        self, module: nn.Module, image: Tensor, geometry: Geometry, dtype: torch.dtype | None, output: Any, double: Double
    ) -> None:  # fmt: skip
        own = next((p.dtype for p in module.parameters() if p.is_floating_point()), image.dtype)
        self.module, self.image, self.geometry = module, image.to(own), geometry
        self.unit = witness.unit(geometry, image.device, dtype)
        self.double, self.scale = double, witness.largest(output)
        self.clean: Any = None
        self.waiting: int | None = None  # boxes since the last check

    def __call__(
        self, boxes: np.ndarray, contents: Sequence[Tensor], target: Target, clean: float, scores: Tensor
    ) -> None:  # fmt: skip
        """Raise ExactnessError where scores (N,) of boxes, or that of the clean image, are not the module's own.

        The first call of a session is checked, and later ones once many boxes have gone by.
        """
        count = len(boxes)
        self.waiting = EVERY if self.waiting is None else self.waiting + count
        if not count or self.waiting < EVERY:
            return
        self.waiting = 0
        drops = (clean - scores.double()).abs().nan_to_num(nan=float("inf"))
        chosen = [int(drops.argmax()), count - 1, 0, int(np.random.default_rng(count).integers(count))]  # fmt: skip
        chosen = list(dict.fromkeys(chosen[: min(witness.SAMPLES, 1 + count // RARELY)]))
        mine = [contents[i if len(contents) > 1 else 0] for i in chosen]
        computed = [torch.tensor(clean, dtype=torch.float64), *scores[chosen]]
        all_scores = torch.cat([scores.double(), computed[0][None]])
        span = float(all_scores.max() - all_scores.min())
        images = [self.image, *(changed(self.image, boxes[c], m) for c, m in zip(chosen, mine, strict=True))]  # fmt: skip
        if self._confirmed(images, target, computed, span):
            return
        if self.clean is None:
            self.clean = witness.plainly(self.module, self.image)
        score = score_of_one(target, self.clean)

        def plain(i: int, shaken: float = 0.0) -> Tensor:
            if i == 0 and not shaken:
                return score(self.clean)[0]
            return score(witness.plainly(self.module, images[i], shaken))[0]

        def again() -> list[Sample]:
            with witness.doubled(self.module):
                got = self.double(self.module, self.image, boxes[chosen], mine, target)
                image = self.image.double()
                images = [image, *(changed(image, boxes[c], m) for c, m in zip(chosen, mine, strict=True))]  # fmt: skip
                outputs = [forward(self.module, one) for one in images]
                read = score_of_one(target, outputs[0])
                return [
                    Sample("", torch.tensor(g, dtype=torch.float64), read(out)[0])
                    for g, out in zip(got, outputs, strict=True)
                ]

        where = ["the clean image", *(_named(boxes[i]) for i in chosen)]
        samples = [Sample(w, f, plain(i)) for i, (w, f) in enumerate(zip(where, computed, strict=True))]  # fmt: skip
        witness.refuse_unequal(
            samples, what="the map of scores", scale=witness.largest(self.clean), unit=self.unit, geometry=self.geometry,
            span=span, again=again, repeat=plain,
        )  # fmt: skip

    def _confirmed(
        self, images: Sequence[Tensor], target: Target, computed: Sequence[Tensor], span: float
    ) -> bool:
        """Whether the module, run on all images at once, gives the scores that were found."""
        outputs = witness.together(self.module, images)
        if outputs is None:
            return False
        try:
            score = score_of_one(target, outputs[0])
            samples = [Sample("", f, score(o)[0]) for f, o in zip(computed, outputs, strict=True)]
        except Exception:  # a target is anybody's function, and may not read what is taken apart
            return False
        # What a batch mixes up may be large, and would excuse anything.
        scale = min(self.scale, witness.largest(outputs[0]))
        return witness.agree(samples, scale=scale, span=span, unit=self.unit)


def changed(image: Tensor, box: np.ndarray, content: Tensor) -> Tensor:
    """The image (1, C, *axes) with a content (C, *any) in a box."""
    place = tuple([slice(int(a), int(b)) for a, b in box])
    at: Any = (0, slice(None), *place)
    if content.shape[1:] == image.shape[2:]:
        content = content[at[1:]]
    copied = image.clone()
    copied[at] = content.to(image.dtype)
    return copied


def _named(box: np.ndarray) -> str:
    names = ("row", "column") if len(box) == 2 else tuple(f"axis {k}" for k in range(len(box)))
    return ", ".join(f"{name}s {a} to {b - 1}" for name, (a, b) in zip(names, box, strict=True))
