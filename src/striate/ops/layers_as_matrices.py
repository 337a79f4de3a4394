"""Fully connected, locally connected and convolutional: three matrices for the same input and
output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from scipy import sparse

from striate.errors import UsageError
from striate.ops.toeplitz import conv_matrix
from striate.ops.windows import PerAxis

KINDS = ("fully connected", "locally connected", "convolutional")


@dataclass(frozen=True)
class LayerMatrix:
    """Which weight connects which input to which output, for one channel in and one out.

    numbers: (outputs, inputs), the number 1 ... `parameters` of the weight that stands there;
    nothing where the layer has no connection. The same number twice is one shared weight.
    """

    kind: str
    numbers: sparse.csr_array

    @property
    def connections(self) -> int:
        """Entries of the matrix: the products that one image takes."""
        return int(self.numbers.nnz)

    @property
    def parameters(self) -> int:
        """Different numbers in the matrix: the weights that are learned, without biases."""
        return len(np.unique(self.numbers.data))

    def filled(self, weights: Sequence[float]) -> sparse.csr_array:
        """The layer's matrix with weights[i - 1] wherever number i stands. Raises UsageError for
        another count."""
        if len(weights) != self.parameters:
            raise UsageError(
                f"a {self.kind} layer of this size has {self.parameters} weights, got "
                f"{len(weights)}"
            )
        matrix = self.numbers.copy()
        matrix.data = np.asarray(weights, dtype=np.float64)[self.numbers.data.astype(int) - 1]
        return matrix


def layer_matrix(
    kind: str, size: Sequence[int], kernel: Sequence[int], *, stride: PerAxis = 1, padding: int = 0
) -> LayerMatrix:
    """The matrix of one `kind` of layer from `size` pixels to as many outputs as `kernel` has
    windows (lecture 003).

    "convolutional" uses one kernel everywhere, "locally connected" the same connections with a
    weight of its own each, "fully connected" every connection. Raises UsageError for another kind.
    """
    weight = torch.arange(1, prod(kernel) + 1, dtype=torch.float64).reshape(1, 1, *kernel)
    shared = conv_matrix(weight, size, stride=stride, padding=padding)
    shared.sort_indices()
    if kind == "convolutional":
        return LayerMatrix(kind, shared)
    if kind == "locally connected":
        local = shared.copy()
        local.data = np.arange(1, local.nnz + 1, dtype=np.float64)
        return LayerMatrix(kind, local)
    if kind == "fully connected":
        full = np.arange(1, prod(shared.shape) + 1, dtype=np.float64).reshape(shared.shape)
        return LayerMatrix(kind, sparse.csr_array(full))
    raise UsageError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")


def weights_of_one_neuron(image: Sequence[int]) -> int:
    """The weights of a neuron that is connected to every number of an image, bias not counted.

    200 x 200 -> 40,000; 200 x 200 x 3 -> 120,000 (lecture 000); 28 x 28 x 3 -> 2,352; 300 x 300 x 3 ->
    270,000 (lecture 004, which calls them neurons of the first layer: they are its inputs).
    """
    return prod(image)
