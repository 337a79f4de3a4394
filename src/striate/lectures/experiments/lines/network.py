"""The line network of lecture 003: two 9 x 9 kernels, ReLU, global mean, a linear layer, softmax with a temperature."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.lectures.experiments.learning import Shuffled, learn, seeded
from striate.lectures.experiments.setting import Progress, silent
from striate.training.batch import Batch, Loss

KERNEL, KERNELS = 9, 2
NAMES = ("vertical", "horizontal")  # of the classes
TAU = 10.0
STARTS = 16
RATE, BATCH, EPOCHS = 0.02, 50, 8


class LineNetwork(nn.Module):
    """Images (N, 1, H, W) -> logits (N, 2), vertical and horizontal.

    z1 = w * x + b, h = max(z1, 0), z2 = the mean of h over all positions, z3 = W z2 + c; the logits are -tau z3, since the
    lecture's softmax is exp(-tau z3) over its sum (lecture 003, "Example: simple line classification").
    """

    def __init__(self, *, tau: float = TAU) -> None:
        super().__init__()
        self.tau = tau
        self.conv = nn.Conv2d(1, KERNELS, KERNEL)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(KERNELS, 2)

    def forward(self, x: Tensor) -> Tensor:
        return -self.tau * self.linear(self.relu(self.conv(x)).mean((-2, -1)))

    @property
    def kernels(self) -> Tensor:
        """(2, 9, 9)."""
        return self.conv.weight.detach()[:, 0]

    @property
    def votes(self) -> Tensor:
        """(2,) how far a unit of each kernel's mean response moves the logit of vertical above that of horizontal."""
        return -self.tau * (self.linear.weight[0] - self.linear.weight[1]).detach()


class Starts(nn.Module):
    """Several line networks side by side, their kernels in one convolution: (N, 1, H, W) -> (N, S, 2) logits."""

    def __init__(self, networks: list[LineNetwork]) -> None:
        super().__init__()
        self.tau = networks[0].tau
        self.kernels = nn.Parameter(torch.cat([n.conv.weight.detach() for n in networks]))
        self.offsets = nn.Parameter(torch.cat([n.conv.bias.detach() for n in networks]))  # type: ignore[union-attr]
        self.W = nn.Parameter(torch.stack([n.linear.weight.detach() for n in networks]))
        self.c = nn.Parameter(torch.stack([n.linear.bias.detach() for n in networks]))

    def forward(self, x: Tensor) -> Tensor:
        z2 = (
            F.relu(F.conv2d(x, self.kernels, self.offsets))
            .mean((-2, -1))
            .unflatten(1, (-1, KERNELS))
        )
        return -self.tau * (torch.einsum("skj,nsj->nsk", self.W, z2) + self.c)

    @torch.no_grad()
    def network(self, index: int) -> LineNetwork:
        """Network `index` as it stands."""
        network = seeded(0, lambda: LineNetwork(tau=self.tau))  # draws none of the caller's numbers
        mine = slice(KERNELS * index, KERNELS * (index + 1))
        network.conv.weight.copy_(self.kernels[mine])
        network.conv.bias.copy_(self.offsets[mine])  # type: ignore[union-attr]
        network.linear.weight.copy_(self.W[index])
        network.linear.bias.copy_(self.c[index])
        return network.eval()


def side_by_side(logits: Tensor, batch: Batch) -> Loss:
    """Of logits (N, S, K) of S networks: the sum over networks of each one's mean cross-entropy, and how many were
    right, as a mean over the networks.
    """
    n, s, k = logits.shape
    target = batch.targets
    losses = F.cross_entropy(logits.reshape(n * s, k), target.repeat_interleave(s), reduction="sum")
    correct = (logits.detach().argmax(-1) == target[:, None]).float().mean(1).sum()
    return Loss(losses, n, {"accuracy": correct})


def train_starts(
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    starts: int = STARTS,
    epochs: int = EPOCHS,
    progress: Progress = silent,
) -> tuple[list[LineNetwork], list[float]]:
    """Train networks from several first weights on the same images (N, 1, H, W) with labels (N,); returns them and each
    one's final training loss.

    A network of two kernels often ends where both detect one class, and then misses more; none is wrong to start from, so
    several are tried. Adam, peak 0.02, batches of 50.
    """
    together = seeded(seed, lambda: Starts([LineNetwork() for _ in range(starts)]))
    optimizer = torch.optim.Adam(together.parameters(), lr=RATE)
    batch = min(BATCH, len(images))
    learn(
        together,
        images,
        labels,
        optimizer,
        steps=epochs * Shuffled(images, labels, batch, seed).steps_per_epoch,
        batch=batch,
        seed=seed,
        loss=side_by_side,
        what=f"training from {starts} starts",
        progress=progress,
    )
    losses = torch.zeros(starts)
    with torch.inference_mode():
        for x, y in zip(images.split(250), labels.split(250), strict=True):
            logits = together(x)
            for s in range(starts):
                losses[s] += F.cross_entropy(logits[:, s], y, reduction="sum")
    return [together.network(s) for s in range(starts)], (losses / len(images)).tolist()


@torch.inference_mode()
def count_errors(networks: list[LineNetwork], images: Tensor, labels: Tensor) -> list[int]:
    """How many of the images (N, 1, H, W) each network answers wrong; in one convolution, which is faster."""
    together = Starts(networks)
    wrong = torch.zeros(len(networks), dtype=torch.long)
    for x, y in zip(images.split(100), labels.split(100), strict=True):
        wrong += (together(x).argmax(-1) != y[:, None]).sum(0)
    return [int(n) for n in wrong]
