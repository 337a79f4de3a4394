"""Features through a training: snapshots keep what was there, and the evolution shows what drives each unit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.attribution import project
from striate.errors import UsageError
from striate.training.loop import EpochRecord
from striate.units import evolution_finding, evolve


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)
    ).eval()  # fmt: skip


def planted(model: nn.Sequential, kernel: Tensor) -> dict[str, Tensor]:
    """Weights whose first unit has this kernel and no other bias."""
    state = {name: t.clone() for name, t in model.state_dict().items()}
    state["0.weight"][0, 0] = kernel
    state["0.bias"].zero_()
    return state


VERTICAL = torch.tensor([[-1.0, 2, -1], [-1, 2, -1], [-1, 2, -1]])


def lines() -> Tensor:
    """An image of a vertical line, one of a horizontal line, and black."""
    images = torch.zeros(3, 1, 12, 12)
    images[0, 0, :, 5] = 1
    images[1, 0, 7, :] = 1
    return images


def test_a_unit_whose_kernel_turns_turns_to_another_image() -> None:
    model = network()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    snapshots = {5: planted(model, VERTICAL), 1: planted(model, VERTICAL.T)}
    found = evolve(model, snapshots, lines(), ["1"], units={"1": [0]})
    assert found.epochs == (1, 5)
    first, last = found.features["1"][0]
    assert first is not None
    assert last is not None
    assert (first.image, last.image) == (1, 0)  # the horizontal line, then the vertical one
    assert last.activation == pytest.approx(6.0)  # three pixels times 2
    assert last.crop.shape == last.pixels.shape == (1, 3, 3)
    # What the deconvnet sends down is the kernel times the activation.
    assert torch.allclose(last.pixels[0], 6.0 * VERTICAL)
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_projections_are_those_of_project() -> None:
    model = network()
    images = torch.rand(5, 1, 12, 12)
    found = evolve(model, {3: model.state_dict()}, images, ["4"], units=2)
    assert len(found.features["4"]) == 2
    for unit, (feature,) in found.features["4"].items():
        with torch.no_grad():
            maps = model[:5](images)[:, unit].flatten(1).amax(1)
        assert feature is not None
        assert feature.image == int(maps.argmax())
        (one,) = project(model, images[feature.image], "4", unit)
        (top, bottom), (left, right) = one.field.box
        assert torch.allclose(feature.pixels, one.pixels[:, top:bottom, left:right])


def test_likeness_is_the_correlation_of_peaks_with_the_end() -> None:
    model = network()
    snapshots = {1: planted(model, -VERTICAL), 2: model.state_dict(), 4: model.state_dict()}
    images = torch.rand(20, 1, 12, 12)
    found = evolve(model, snapshots, images, ["1", "4"], units=1)
    assert found.likeness("4")[1:] == pytest.approx((1.0, 1.0))
    assert found.likeness("4")[0] < 1  # type: ignore[operator]
    assert found.settled("4") in (1, 2)
    shown = evolution_finding(found, shown=lambda crop: crop[0].numpy())
    assert shown.data["epochs"] == [1, 2, 4]
    assert shown.data["settled"]["4"] == found.settled("4")
    assert shown.figures[0].media == "image/png"


def test_a_unit_that_nothing_drives_has_no_feature() -> None:
    model = network()
    state = planted(model, torch.zeros(3, 3))
    found = evolve(model, {1: state}, lines(), ["1"], units={"1": [0]})
    assert found.features["1"][0] == (None,)
    evolution_finding(found, shown=lambda crop: crop[0].numpy())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"snapshots": {}}, "no snapshot"),
        ({"snapshots": {1: {"0.weight": torch.zeros(1)}}}, "epoch 1 is not of this network"),
        ({"units": {"1": [9]}}, "0 to 5"),
        ({"layers": ["nowhere"]}, "nowhere"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], words: str) -> None:
    model = network()
    asked = {"snapshots": {1: model.state_dict()}, "layers": ["1"], **arguments}
    snapshots, layers = asked.pop("snapshots"), asked.pop("layers")
    with pytest.raises(UsageError, match=words):
        evolve(model, snapshots, lines(), layers, **asked)


def record(epoch: float) -> EpochRecord:
    return SimpleNamespace(epoch=epoch)  # type: ignore[return-value]


def test_snapshots_keep_whole_epochs_as_they_were() -> None:
    model = network()
    keep = striate.Snapshots(epochs=(2, 1))
    keep.on_start(SimpleNamespace(model=model))  # type: ignore[arg-type]
    for epoch in (0.5, 1.0, 2.0, 3.0):
        with torch.no_grad():
            model[0].bias.fill_(epoch)
        keep.on_epoch(record(epoch))
    assert sorted(keep.weights) == [1, 2]
    assert keep.weights[1]["0.bias"].unique().tolist() == [1.0]
    assert keep.weights[2]["0.bias"].unique().tolist() == [2.0]


def test_snapshots_are_bounded() -> None:
    model = network()
    each = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    striate.Snapshots((1, 2), memory=2 * each).on_start(SimpleNamespace(model=model))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="keep 1 epochs"):
        striate.Snapshots((1, 2), memory=2 * each - 1).on_start(SimpleNamespace(model=model))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="from 1 on"):
        striate.Snapshots((0, 1))


def test_a_training_keeps_them_and_what_it_keeps_can_be_shown(tmp_path: Any) -> None:
    keep = striate.Snapshots(epochs=(1, 2))
    striate.train(
        "digits", model="[conv8-relu-pool]*1-fc", epochs=2, out=tmp_path / "run", device="cpu", callbacks=[keep]
    )  # fmt: skip
    assert sorted(keep.weights) == [1, 2]
    first, second = keep.weights[1], keep.weights[2]
    assert first.keys() == second.keys()
    assert any(not torch.equal(first[name], second[name]) for name in first)
