"""Occlusion and perturbations as they are asked for: positions, contents, precision, targets, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.errors import GeometryError, UsageError
from striate.inference.incremental import (
    Incremental,
    Perturbation,
    Refined,
    occlusion,
    occlusion_refined,
    perturb,
)


def small() -> nn.Sequential:
    """A network of every kind of step: convolution, batch norm, sum of nothing, pool, head."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    return network.eval()


def picture(height: int = 31, width: int = 27) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def by_hand(
    network: nn.Module, image: Tensor, patch: tuple[int, int], stride: tuple[int, int], fill: Any, target: int
) -> Tensor:  # fmt: skip
    """The drop at each position that fits, one forward pass each."""
    clean = network(image[None])[0, target]
    rows = range(0, image.shape[1] - patch[0] + 1, stride[0])
    columns = range(0, image.shape[2] - patch[1] + 1, stride[1])
    drops = torch.zeros(len(rows), len(columns))
    fill = torch.as_tensor(fill, dtype=image.dtype)
    fill = fill.reshape(-1, 1, 1) if fill.dim() < 3 else fill
    fill = fill.expand_as(image)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            changed = image.clone()
            here = (slice(None), slice(r, r + patch[0]), slice(c, c + patch[1]))
            changed[here] = fill[here]
            drops[i, j] = clean - network(changed[None])[0, target]
    return drops


@pytest.mark.parametrize(
    ("patch", "stride"), [((7, 5), (4, 3)), ((1, 1), (10, 13)), ((31, 27), (1, 1)), ((3, 27), (14, 9)), ((9, 9), (11, 9))]
)  # fmt: skip
def test_every_position_that_fits_is_there(patch: tuple[int, int], stride: tuple[int, int]) -> None:
    """Rows are (H - patch) // stride + 1: the last one that fits is not lost, and nothing is cut."""
    network, image = small(), picture()
    drops = occlusion(network, image, 2, patch=patch, stride=stride)
    assert isinstance(drops, Tensor)
    assert drops.shape == ((31 - patch[0]) // stride[0] + 1, (27 - patch[1]) // stride[1] + 1)
    torch.testing.assert_close(
        drops, by_hand(network, image, patch, stride, 0.0, 2), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    "fill", [0.7, torch.tensor([0.1, -0.4, 2.0]), picture(31, 27).flip(1)], ids=["number", "colour", "image"]
)  # fmt: skip
def test_baselines(fill: Any) -> None:
    network, image = small(), picture()
    drops = occlusion(network, image, 0, patch=6, stride=(9, 8), baseline=fill)
    assert isinstance(drops, Tensor)
    wanted = by_hand(network, image, (6, 6), (9, 8), fill, 0)
    torch.testing.assert_close(drops, wanted, rtol=0, atol=1e-5)


def test_an_image_with_and_without_its_batch_axis() -> None:
    network, image = small(), picture()
    one, other = (occlusion(network, x, 1, patch=8) for x in (image, image[None]))
    assert torch.equal(one, other)


def test_channels_last_gives_the_same_map() -> None:
    network, image = small(), picture()
    wanted = occlusion(network, image, 1, patch=8)
    last = {"memory_format": torch.channels_last}
    got = occlusion(network.to(**last), image[None].contiguous(**last), 1, patch=8)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


def test_bf16_is_near_and_leaves_the_module_as_it_was() -> None:
    """bfloat16 has eight bits: scores are right to 2 % of the largest logit."""
    network, image = small(), picture()
    wanted = occlusion(network, image, 1, patch=8, return_scores=True)[1]
    before = {k: v.clone() for k, v in network.state_dict().items()}
    got = occlusion(network, image, 1, patch=8, dtype=torch.bfloat16, return_scores=True)[1]
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert got.dtype == torch.float32
    with torch.no_grad():
        largest = float(network(image[None]).abs().max())
    torch.testing.assert_close(got, wanted, rtol=0, atol=0.02 * largest)
    assert not torch.equal(got, wanted)


def test_bf16_keeps_drops_that_are_far_smaller_than_their_score() -> None:
    """A bfloat16 near 1000 is a multiple of 4: rounded to that, all these drops would be 0."""
    network, image = small(), picture()
    wanted = occlusion(network, image, 1, patch=8)
    with torch.no_grad():
        network[-1].bias += 1000.0
    session = Incremental(network, image, dtype=torch.bfloat16)
    assert session.output.dtype == torch.float32
    assert session.score(1) % 4 != 0
    got = occlusion(network, image, 1, patch=8, dtype=torch.bfloat16)
    torch.testing.assert_close(got, wanted, rtol=0, atol=0.05 * float(wanted.abs().max()))


def test_batches_of_any_size_give_one_map_and_progress_ends_at_all() -> None:
    network, image = small(), picture()
    wanted = occlusion(network, image, 3, patch=5, stride=4)
    seen: list[tuple[int, int]] = []
    for batch in (1, 3, 1000):
        got = occlusion(network, image, 3, patch=5, stride=4, batch=batch,
                        progress=lambda done, of: seen.append((done, of)))  # fmt: skip
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)
        assert seen[-1] == (42, 42)


def test_stickers_dead_pixels_and_an_occluder_that_moves() -> None:
    """One general form: a region and what it holds, of any size, in one call."""
    network, image = small(), picture()
    session = Incremental(network, image)
    sticker = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(2))
    regions = [
        Perturbation(rows=(3, 7), columns=(20, 26), content=sticker),
        Perturbation(rows=(30, 31), columns=(0, 1), content=5.0),
        Perturbation(rows=(0, 31), columns=(0, 27), content=0.0),
        Perturbation(rows=(10, 20), columns=(2, 9), content=torch.tensor([1.0, 2.0, 3.0])),
    ]
    got = perturb(session, None, regions, 4)
    for region, score in zip(regions, got, strict=True):
        changed = image.clone()
        content = torch.as_tensor(region.content)
        content = content if content.dim() == 3 else content.reshape(-1, 1, 1)
        changed[:, slice(*region.rows), slice(*region.columns)] = content
        with torch.no_grad():
            wanted = network(changed[None])[0, 4]
        torch.testing.assert_close(score, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(perturb(network, image, regions, 4), got)
    assert perturb(session, None, [], 4).shape == (0,)


def test_unchanged_pixels_change_nothing() -> None:
    network, image = small(), picture()
    drops = occlusion(network, image, 0, patch=5, stride=5, baseline=image)
    assert isinstance(drops, Tensor)
    torch.testing.assert_close(drops, torch.zeros_like(drops), rtol=0, atol=1e-6)


def test_refined_without_tolerance_is_the_map_and_else_reports_its_error() -> None:
    network, image = small(), picture(63, 55)
    wanted = occlusion(network, image, 2, patch=7, stride=2)
    assert isinstance(wanted, Tensor)
    full = occlusion_refined(network, image, 2, patch=7, stride=2, levels=0)
    assert full.share == 1
    assert full.mean_error is None
    assert "the map is exact" in full.verdict
    torch.testing.assert_close(full.drops, wanted, rtol=0, atol=1e-5)
    rough = occlusion_refined(network, image, 2, patch=7, stride=2, tolerance=0.3, checks=10**6)
    assert isinstance(rough, Refined)
    torch.testing.assert_close(rough.drops, wanted, rtol=0, atol=1e-5)  # all were checked
    part = occlusion_refined(network, image, 2, patch=7, stride=2, tolerance=0.3, checks=20)
    assert part.share < 1
    assert part.checked == 20
    computed = part.computed
    torch.testing.assert_close(part.drops[computed], wanted[computed], rtol=0, atol=1e-5)
    assert rough.largest_error == pytest.approx(
        float((_interpolated(network, image) - wanted).abs().max()), abs=1e-5
    )


def _interpolated(network: nn.Module, image: Tensor) -> Tensor:
    """The refined map with the fewest checks; the one that was checked is off by the error reported."""
    found = occlusion_refined(network, image, 2, patch=7, stride=2, tolerance=0.3, checks=1)
    return found.drops


class Infinite(nn.Module):
    """Divides by nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 0.0


def test_values_that_are_not_finite_name_their_layer() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Sequential(Infinite()), nn.Flatten()).eval()
    with pytest.raises(GeometryError, match=r"1\.0.* gives \d+ values that are not finite"):
        occlusion(network, picture(), 0)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "class": ({"target": 5}, "target 5 is out of range: the network has 5 classes, 0 to 4"),
    "negative class": ({"target": -1}, "target -1 is out of range"),
    "position": ({"target": (1, 2, 3)}, "the target is one class"),
    "patch": ({"patch": (32, 5)}, "a patch of 32x5 pixels does not fit into an image of 31x27"),
    "no patch": ({"patch": 0}, "patch is a number of pixels, a whole number from 1"),
    "no stride": ({"stride": 0}, "stride is a number of pixels, a whole number from 1"),
    "module": ({"module": torch.relu}, r"takes a torch\.nn\.Module, got"),
    "several images": ({"image": torch.zeros(2, 3, 31, 27)}, r"one image at a time.*\(2, 3, 31, 27\)"),
    "two axes": ({"image": torch.zeros(31, 27)}, "one image at a time"),
    "not a tensor": ({"image": [[0.0]]}, r"the image is a tensor \(C, H, W\), got list"),
    "not finite": ({"image": torch.full((3, 31, 27), float("nan"))}, "values that are not finite"),
    "baseline": ({"baseline": torch.zeros(2)}, "a content is a number, 3 numbers, or pixels"),
    "baseline size": ({"baseline": torch.zeros(3, 4, 4)}, "content of 4x4 pixels for box 0 of 8x8"),
    "memory": ({"memory": 10}, "more than memory=10; give at least"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    changed, message = REFUSED[case]
    given = {"module": small(), "image": picture(), "target": 1, "patch": 8, "stride": 8, **changed}
    with pytest.raises(UsageError, match=message):
        occlusion(**given)


def test_a_shape_that_the_network_refuses_is_said_with_its_layer() -> None:
    with pytest.raises(GeometryError, match=r"0.*channels"):
        occlusion(small(), torch.zeros(1, 31, 27), 0)


def test_training_mode_is_refused() -> None:
    with pytest.raises(UsageError, match=r"1 takes statistics over the batch.*call module\.eval"):
        occlusion(small().train(), picture(), 0)


@pytest.mark.parametrize("box", [((0, 32), (0, 3)), ((-1, 3), (0, 3)), ((4, 4), (0, 3))])
def test_boxes_outside_the_image_are_refused(box: Any) -> None:
    with pytest.raises(UsageError, match="does not lie within the image of 31x27 pixels"):
        Incremental(small(), picture()).scores([box], 0.0, 1)


def test_a_part_of_no_rows_has_no_work() -> None:
    """Two rows split into three parts: the last is empty."""

    class Parts(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            parts = torch.relu(x).tensor_split(3, 2)
            return torch.cat([p * 2 for p in parts[::-1]], 2).flatten(2).amax(2)

    image = torch.rand(3, 2, 5, dtype=torch.float64)
    session = Incremental(Parts(), image)
    boxes = [((0, 1), (1, 3)), ((1, 2), (0, 5))]
    for box, got in zip(boxes, session.scores(boxes, -1.0, 1), strict=True):
        changed = image[None].clone()
        changed[(..., *[slice(*side) for side in box])] = -1.0
        torch.testing.assert_close(got, Parts()(changed)[0, 1])


def test_signals_are_pictures_of_one_row() -> None:
    """The remedy of the refusal, done."""

    class Rows(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Any:
            return self.network(x[:, :, 0])

    torch.manual_seed(0)
    network = (
        nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        .double()
        .eval()
    )
    signal = torch.rand(1, 2, 12, dtype=torch.float64)
    with pytest.raises(UsageError, match=r"network\(x\[:, :, 0\]\).*x\[:, :, None\]"):
        occlusion(network, signal, 1, patch=2, stride=2)
    got = occlusion(Rows(network), signal[:, :, None], 1, patch=(1, 3), stride=(1, 3))
    for i in range(4):
        hidden = signal.clone()
        hidden[..., 3 * i : 3 * i + 3] = 0
        want = network(signal)[0, 1] - network(hidden)[0, 1]
        torch.testing.assert_close(got[0, i], want.detach())


def test_a_value_of_no_channels_is_whole() -> None:
    class Cuts(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return {
                "out": x * 2,
                "aux": x[:, 2:, :-3].relu(),
                "none": x[:, 2:, :-3].flatten(1)[:, :1],
            }

    image = torch.rand(1, 6, 5, dtype=torch.float64)
    session = Incremental(Cuts(), image)
    got = session.scores(
        [((1, 3), (0, 2))], 0.0, lambda out: out["out"].sum((1, 2, 3)) + out["none"].sum(1)
    )
    image[:, 1:3, :2] = 0
    torch.testing.assert_close(got[0], 2 * image.sum())


class AxisNamedTwice(nn.Module):
    """Of signals (N, C, L) it sums two axes; of a picture (N, C, H, W) both names are one axis."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum((-2, 2))


def test_what_a_network_refuses_only_with_numbers_is_said_in_its_own_words() -> None:
    # On meta tensors, as a trace runs them, torch does not notice.
    with pytest.raises(UsageError, match="refuses images of 1x1x3x9: dim 2 appears multiple times"):
        occlusion(AxisNamedTwice(), torch.rand(1, 3, 9), torch.sum, patch=1, stride=1)


@pytest.mark.parametrize("drops_the_batch", [False, True])
def test_all_numbers_of_each_changed_image_are_the_networks(drops_the_batch: bool) -> None:
    network: nn.Module = small()
    if drops_the_batch:  # for one image, so that each runs alone

        class Bare(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = small()

            def forward(self, x: Tensor) -> Tensor:
                return self.network(x).squeeze()

        network = Bare().eval()
    image = picture()
    boxes = [((0, 5), (0, 7)), ((12, 31), (20, 27)), ((0, 31), (0, 27)), ((9, 10), (3, 4))]
    found = Incremental(network, image).outputs(boxes, 0.25)
    assert found.shape == (4, 5)
    for (rows, columns), row in zip(boxes, found, strict=True):
        changed = image.clone()
        changed[:, slice(*rows), slice(*columns)] = 0.25
        with torch.no_grad():
            assert torch.allclose(row, network(changed[None]).reshape(5), atol=1e-5)
    assert Incremental(network, image).outputs([], 0.0).shape == (0, 5)
