from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.training import Recipe
from striate.training.optimizers import Muon, make_optimizer, orthogonalise


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_orthogonalised_steps_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    # The quintic of Jordan et al. 2024 ends between 0.68 and 1.13, computed in bfloat16.
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.min() > 0.6
    assert values.max() < 1.25


def test_orthogonalised_steps_point_where_the_polar_factor_does() -> None:
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    cosine = nn.functional.cosine_similarity(
        orthogonalise(matrix).flatten(), (u @ v).flatten(), dim=0
    )
    assert cosine > 0.97


def test_muon_is_momentum_orthogonalised() -> None:
    weight = nn.Parameter(torch.zeros(4, 2, 3, 3))
    muon = Muon([weight], lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(2)
    buffer = expected = torch.zeros_like(weight)
    for _ in range(3):
        weight.grad = torch.randn(weight.shape, generator=generator)
        buffer = 0.9 * buffer + weight.grad
        step = orthogonalise((weight.grad + 0.9 * buffer).flatten(1)).view_as(weight)
        expected = expected - 0.1 * step
        muon.step()
    torch.testing.assert_close(weight.detach(), expected)


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 3)
    )


@pytest.mark.parametrize("name", ["muon", "sgd", "adamw"])
def test_every_parameter_is_stepped_once(name: str) -> None:
    model = net()
    optimizer = make_optimizer(
        Recipe(data="x", optimizer=name, lr=0.1, weight_decay=0.01), [list(model.parameters())]
    )
    stepped = [p for part in optimizer.parts for g in part.param_groups for p in g["params"]]
    assert sorted(map(id, stepped)) == sorted(map(id, model.parameters()))


def test_layer_decay_slows_early_layers_and_spares_vectors_from_weight_decay() -> None:
    first, second, head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    recipe = Recipe(data="x", optimizer="adamw", lr=1.0, weight_decay=0.3, layer_decay=0.5)
    groups = (
        make_optimizer(recipe, [list(m.parameters()) for m in (first, second, head)])
        .parts[0]
        .param_groups
    )
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert [rates[id(m.weight)] for m in (first, second, head)] == [
        (0.25, 0.3),
        (0.5, 0.3),
        (1.0, 0.3),
    ]
    assert [rates[id(m.bias)] for m in (first, second, head)] == [(0.25, 0), (0.5, 0), (1.0, 0)]
