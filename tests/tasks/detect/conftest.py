"""What tests of detection share."""

import pytest
import torch

from striate.models import build


@pytest.fixture(scope="module")
def bold():
    """A detector of three classes with random weights that finds something everywhere."""
    torch.manual_seed(0)
    network = build("centernet", in_channels=3, num_classes=3, width=8)
    with torch.no_grad():
        network.head.heat.bias += 3.0
        network.head.heat.weight *= 20.0
        network.head.edges.weight *= 3.0
    return network.eval()
