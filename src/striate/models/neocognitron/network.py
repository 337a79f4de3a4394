"""The neocognitron as a network: three modules of an S layer and a C layer, and a linear read-out.

Source: Fukushima (1980), section 5. As it stands there: three modules on 16 x 16 receptors; 24 planes in every layer; areas
of 5 x 5 cells; maps of 16, 10, 8, 6, 2 and 1 cells a side; r = 4.0, 1.5, 1.5; q = 1.0, 16.0, 16.0; alpha = 0.5.
(r, q and alpha by the paper as others cite it; implementations that differ have q1 = 0.1 and alpha = 0.4.)

What we had to choose, or do otherwise:

- how fast c and d fall (0.7 and 0.8 a cell), d in the centre (0.3), and the first synapses: the paper gives their form;
- the maps' sizes come from stride 2 with a border of 4 cells in C1 and C2, of 2, 1 and 0 cells in S1, S2 and S3. Other
  images take the same layers, and a C3 cell always adds up the whole of its S3 plane, with equal weights;
- one layer learns after the other, each from a layer that stands still, as in the neocognitrons of 1988 (Neural
  Networks 1, 119-130) and 2003 (Neurocomputing 51, 161-180); the paper's layers learn all at once;
- `learning_r`, off unless given: a higher r while learning than afterwards, the two thresholds of 2003. Otherwise
  the rules are those of 1980: a C cell is inhibited by the mean of all planes, which 1988 leaves out, and there is no
  layer that extracts contrast or edges and no teacher, as there are in 1988 and 2003;
- a linear read-out behind C3. The paper looks at which plane of C3 responds to each of its five patterns.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.errors import AssumedWarning, UsageError
from striate.models.neocognitron.cells import Blur, CLayer, SLayer, Whole

PLANES = (24, 24, 24)
R = (4.0, 1.5, 1.5)
Q = (1.0, 16.0, 16.0)
S_BORDER = (2, 1, 0)
LEAST = 9  # pixels a side that leave S3 a cell


class Neocognitron(nn.Module):
    """U0, then S and C layers by turns, then a linear layer: (N, C, H, W) to logits (N, K).

    planes, r, q, learning_r: of the three modules, see `SLayer`. No plane has learned anything before `self_organise`;
    training by gradient changes the read-out alone. Receptors give what is above 0, so that pixels may be centred.
    Raises UsageError for images under 9 x 9 pixels, and for numbers that are not three above 0.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 10,
        size: tuple[int, int] = (16, 16),
        planes: Sequence[int] = PLANES,
        r: Sequence[float] = R,
        q: Sequence[float] = Q,
        learning_r: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if min(size) < LEAST:
            raise UsageError(
                f"neocognitron shrinks an image of {size[0]} x {size[1]} pixels below one cell at s3; "
                f"give images of at least {LEAST} x {LEAST} pixels"
            )
        options = {"planes": planes, "r": r, "q": q, "learning_r": learning_r or r}
        for what, numbers in options.items():
            if len(numbers) != len(PLANES) or not all(n > 0 for n in numbers):
                raise UsageError(
                    f"neocognitron: {what} is {len(PLANES)} numbers above 0, one a module, got {numbers!r}"
                )
        self.receptors = nn.ReLU()
        inputs = in_channels
        for i, count in enumerate(planes):
            s = SLayer(
                inputs,
                count,
                padding=S_BORDER[i],
                r=r[i],
                q=q[i],
                learning_r=options["learning_r"][i],
            )
            last = i == len(planes) - 1
            self.add_module(f"s{i + 1}", s)
            self.add_module(f"c{i + 1}", CLayer(Whole() if last else Blur(count, 5, 2, 4)))
            inputs = count
        self.flatten = nn.Flatten()
        self.head = nn.Linear(inputs, num_classes)

    def train(self, mode: bool = True) -> Neocognitron:
        """As any module; warns where a training by gradient begins before any plane has learned."""
        learned = self.modules_of_cells[-1][0].inhibition.weight
        if mode and not learned.is_meta and not bool(learned.any()):
            warnings.warn(
                "no plane of this neocognitron has learned anything, and training by gradient changes its read-out alone; "
                "call striate.models.self_organise(network, images) first and train that network",
                AssumedWarning,
                stacklevel=2,
            )
        return super().train(mode)

    @property
    def modules_of_cells(self) -> list[tuple[SLayer, CLayer]]:
        """Each S layer with its C layer, in the order they run."""
        found = []
        for i in range(1, len(PLANES) + 1):
            s, c = self.get_submodule(f"s{i}"), self.get_submodule(f"c{i}")
            assert isinstance(s, SLayer) and isinstance(c, CLayer)
            found.append((s, c))
        return found

    def check(self, images: Tensor) -> None:
        """Raise UsageError for what is no batch of images (N, C, H, W) of finite floats with this network's channels."""
        channels = self.modules_of_cells[0][0].excitation.weight.shape[1]
        if images.dim() != 4 or images.shape[1] != channels or not images.is_floating_point():
            raise UsageError(
                f"neocognitron reads images (N, {channels}, H, W) of floats, got {tuple(images.shape)} of {images.dtype}; "
                "give pixels from 0 to 1, light on dark"
            )
        if not bool(torch.isfinite(images).all()):
            raise UsageError("neocognitron: the images hold numbers that are not finite; mend them")

    def features(self, images: Tensor) -> Tensor:
        """Responses of the last C layer: images (N, C, H, W) to (N, planes)."""
        u = self.receptors(images)
        for s, c in self.modules_of_cells:
            u = c(s(u))
        return self.flatten(u)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))

    @torch.no_grad()
    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Responses of every layer to images (N, C, H, W) by its name, s1 to c3: (N, planes, H', W')."""
        u, found = self.receptors(images), {}
        for i, (s, c) in enumerate(self.modules_of_cells, 1):
            found[f"s{i}"] = s(u)
            found[f"c{i}"] = u = c(found[f"s{i}"])
        return found
