"""Sums and maxima over the positions of each patch, and the linear layer that goes before a mean."""

import pytest
import torch
from torch import nn

import striate
from striate.inference.dense import Dense, maps
from striate.inference.dense.maps import Sweep


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("spread", [1, 3])
def test_a_swept_window_is_the_sum_or_maximum_of_its_entries(largest, step, spread):
    x = torch.rand(1, 2, 60, 61, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for kernel in range(1, 18):
        sweep = Sweep(kernel, step, spread, 0, 0)
        found = maps._swept(x, (sweep, Sweep(1, 1, 1, 0, 0)), largest)
        starts = range(0, 60 - (kernel - 1) * spread, step)
        rows = [x[:, :, r : r + (kernel - 1) * spread + 1 : spread] for r in starts]
        expected = torch.stack([row.amax(2) if largest else row.sum(2) for row in rows], 2)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("classes", [3, 8, 20])
def test_a_linear_layer_behind_a_mean_goes_before_it_where_that_leaves_fewer_numbers(bias, classes):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes, bias=bias)
    ).eval()  # fmt: skip
    job = Dense(module, window=9, stride=2, channels=1)
    image = torch.rand(1, 1, 25, 31)
    windows = image[0, 0].unfold(0, 9, 2).unfold(1, 9, 2)
    with torch.no_grad():
        expected = torch.stack([torch.stack([module(w[None, None])[0] for w in r], 1) for r in windows], 1)  # fmt: skip
    torch.testing.assert_close(job(image)[0], expected)
    assert (job.sharing.single == []) == (classes < 8)


class Read(nn.Module):
    """What reads a mean more than once, or changes it before the linear layer."""

    def __init__(self, how):
        super().__init__()
        self.conv, self.linear, self.how = nn.Conv2d(1, 8, 3), nn.Linear(8, 2), how

    def forward(self, x):
        return self.how(self.linear, self.conv(x))


HOW = {
    "a second reader": lambda linear, x: linear(x.mean((2, 3))) + x.mean((2, 3))[:, :2],
    "one mean, two readers": lambda linear, x: (lambda m: linear(m) * m[:, :2])(x.mean((2, 3))),
    "a ReLU between": lambda linear, x: linear(x.mean((2, 3)).relu()),
    "a maximum": lambda linear, x: linear(x.amax((2, 3))),
    "another shape": lambda linear, x: linear(x.mean((2, 3)).view(-1, 2, 4).flatten(1)),
    "turned round": lambda linear, x: linear(x.mean((2, 3)).view(-1, 2, 4).transpose(1, 2).flatten(1)),
    "twice the product": lambda linear, x: torch.addmm(linear.bias, x.sum((2, 3)), linear.weight.t(), alpha=2, beta=3),
    "a product of two means": lambda linear, x: (x.mean((2, 3)) @ x.mean((2, 3)).t()).expand(-1, 2) + linear.bias,
}  # fmt: skip


@pytest.mark.parametrize("how", HOW)
def test_what_stands_between_a_mean_and_a_linear_layer_is_kept(how):
    torch.manual_seed(1)
    module = Read(HOW[how]).eval()
    image = torch.rand(1, 1, 12, 13)
    found = striate.dense(module, image, window=6, check=False)
    with torch.no_grad():
        for r, c in ((0, 0), (3, 5), (6, 7)):
            own = module(image[:, :, r : r + 6, c : c + 6])[0]
            torch.testing.assert_close(found[0, :, r, c], own)


@pytest.mark.parametrize("how", [
    lambda linear, x: linear((x.relu() + x).mean((2, 3))),
    lambda linear, x: linear((x + x.relu()).mean((2, 3))),
    lambda linear, x: linear(x[:, :8].relu().mean((2, 3))) + linear(x.mean((2, 3))),
], ids=["before", "after", "a part"])  # fmt: skip
def test_what_others_read_too_is_not_changed_in_place(how):
    torch.manual_seed(2)
    module = Read(how).eval()
    image = torch.rand(1, 1, 12, 13)
    kept = image.clone()
    found = striate.dense(module, image, window=6, check=False)
    with torch.no_grad():
        own = torch.stack([module(image[:, :, r : r + 6, :6])[0] for r in range(7)])
    torch.testing.assert_close(found[0, :, :, 0].t(), own)
    assert torch.equal(image, kept)
