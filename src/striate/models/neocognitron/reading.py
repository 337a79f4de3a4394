"""The read-out: a linear layer on the last C cells, by least squares of the softmax's loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import UsageError
from striate.models.logistic import fit_logistic
from striate.models.neocognitron.network import Neocognitron

STEPS = 100


def fit_readout(network: Neocognitron, images: Tensor, labels: Tensor) -> float:
    """Fit the head to images (N, C, H, W) and labels (N,) by multinomial logistic regression; no synapse changes.

    Features are standardised, and the scale is put into the weights afterwards. Returns the loss at the end. Raises
    UsageError for no image, images that the network cannot read, and labels that are not one a image of its classes.
    """
    network.check(images)
    classes = network.head.out_features
    if not len(images) or labels.shape != (len(images),):
        raise UsageError(
            f"a read-out needs images with a label each, got {len(images)} and labels {tuple(labels.shape)}"
        )
    if not bool(((labels >= 0) & (labels < classes)).all()):
        raise UsageError(
            f"labels are 0 to {classes - 1} for a network of {classes} classes, got {int(labels.min())} to "
            f"{int(labels.max())}; build it with as many classes"
        )
    with torch.no_grad():
        x = torch.cat([network.features(part) for part in images.split(256)]).double()
    mean, spread = x.mean(0), x.std(0, correction=0).clamp(min=1e-6)
    x = (x - mean) / spread
    weight, bias = fit_logistic(x, labels, classes, steps=STEPS)
    with torch.no_grad():
        network.head.weight.copy_(weight / spread)
        network.head.bias.copy_(bias - (weight / spread) @ mean)
        return float(F.cross_entropy(F.linear(x, weight, bias), labels))
