"""Networks whose first step writes into its input: dense gives what each patch alone gives."""

from __future__ import annotations

import torch
from torch import nn

from striate.inference.dense import dense


def test_patches_that_are_run_twice_are_not_written_into() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.SELU(inplace=True), nn.Flatten(), nn.Linear(24, 3)).double()
    image = torch.randn(2, 9, 11, dtype=torch.float64)
    kept = image.clone()
    got = dense(module, image[None], window=(3, 4), stride=(1, 2))[0]
    assert torch.equal(image, kept)
    for i in range(got.shape[1]):
        for j in range(got.shape[2]):
            patch = kept[None, :, i : i + 3, 2 * j : 2 * j + 4].clone()
            torch.testing.assert_close(got[:, i, j], module(patch)[0].detach())
