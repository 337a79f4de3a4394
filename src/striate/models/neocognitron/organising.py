"""Learning without a teacher: which S cells are chosen, and that their planes learn what they see.

Source: Fukushima (1980), section 3. An S column is all S cells of all planes in one small area. At every presentation the
cell with the largest output of each column is a candidate; of several candidates in one plane the largest stays. It is the
plane's representative, the seed from which the plane grows: its synapses are reinforced, and all cells of the plane get the
same. A plane without a candidate learns nothing. A plane that has learned inhibits itself where its input is not alike, so
that new features go to planes that have learned none yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.models.neocognitron.network import Neocognitron

COLUMN = 5  # cells a side of an S column: 5 x 5 in the paper; all that there are in S3
AT_ONCE = 256  # images that pass a layer which stands still


@dataclass(frozen=True)
class Organised:
    """What a layer learned: how often each plane (K,) was reinforced, of how many presentations."""

    layer: str
    reinforced: Tensor
    presentations: int

    @property
    def used(self) -> int:
        """Planes that have learned anything."""
        return int((self.reinforced > 0).sum())


def representatives(responses: Tensor, column: int = COLUMN) -> list[tuple[int, int, int]]:
    """The planes that learn, with the row and column of each one's cell: at most one a plane, and none that is silent.

    responses (K, H, W) of an S layer to one image. column: cells a side of an S column; every place where one fits is one.
    """
    strongest, plane = responses.max(0)
    side = (min(column, strongest.shape[0]), min(column, strongest.shape[1]))
    _, at = F.max_pool2d(strongest[None], side, stride=1, return_indices=True)
    chosen: dict[int, tuple[float, int]] = {}
    width = strongest.shape[1]
    owners = plane.flatten()
    for place in at.unique().tolist():
        k, output = int(owners[place]), float(strongest.flatten()[place])
        if output > 0 and output > chosen.get(k, (0.0, 0))[0]:
            chosen[k] = (output, place)
    return [(k, place // width, place % width) for k, (_, place) in sorted(chosen.items())]


@torch.no_grad()
def self_organise(
    network: Neocognitron,
    images: Tensor,
    *,
    passes: int = 2,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> list[Organised]:
    """Let a neocognitron learn from images (N, C, H, W) without labels, one layer after the other, in place.

    passes: how often each image is presented to each layer, in an order that `seed` decides. progress: called with the
    layer, presentations done and in all. Returns what each S layer learned. It goes on from what is there already. Raises
    UsageError for images that it cannot read.
    """
    network.check(images)
    u = network.receptors(images)
    learned = []
    for i, (s, c) in enumerate(network.modules_of_cells, 1):
        generator = torch.Generator().manual_seed(seed + i)
        counts = torch.zeros(len(s.inhibition.weight), dtype=torch.long)
        total = passes * len(u)
        for turn in range(passes):
            for n, k in enumerate(torch.randperm(len(u), generator=generator).tolist()):
                for plane, row, column in representatives(s.respond(u[k : k + 1], s.learning_r)[0]):
                    s.reinforce(u[k], plane, row, column)
                    counts[plane] += 1
                if (done := turn * len(u) + n + 1) % 100 == 0 or done == total:
                    progress(f"s{i}", done, total)
        learned.append(Organised(f"s{i}", counts, total))
        u = torch.cat([c(s(part)) for part in u.split(AT_ONCE)])
    return learned
