"""Dissection against the published algorithm written out plainly, planted filters, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.data import Preprocessing
from striate.errors import DataError, UsageError
from striate.models import build
from striate.tasks.concepts import generated
from striate.units import Network
from striate.units.concepts import ConceptSet, Regions
from striate.units.dissection import Dissection, dissect_units
from striate.units.quantiles import TopValues
from striate.units.upsampling import Upsampling

SIDE = 24
CENTRES = {  # of what position 0 sees, and the step to the next, by hand for the layers of `small`
    "0": (0.0, 2.0),  # 5 x 5, stride 2, padding 2
    "2": (3.0, 4.0),  # 4 x 4, stride 2, padding 0, on that: from 0 - 2 to 6 + 2
    "4": (3.0 - 4.0, 4.0),  # 3 x 3, padding 2, on that: its middle is position -1
}


def small() -> nn.Sequential:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.Conv2d(6, 5, 4, 2), nn.ReLU(), nn.Conv2d(5, 4, 3, 1, 2)]  # fmt: skip
    return nn.Sequential(*layers).eval()


def blobs(count: int, concepts: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (N, 3, H, W), and rectangles (N, K, H, W) that overlap, brighter in it."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (count, 3, SIDE, SIDE)).astype(np.uint8)
    masks = np.zeros((count, concepts, SIDE, SIDE), dtype=bool)
    for i in range(count):
        for k in range(concepts):
            top, left = rng.integers(0, SIDE - 8, 2)
            masks[i, k, top : top + 5 + k, left : left + 8 - k] = rng.random() < 0.8
            images[i, k % 3][masks[i, k]] += 100
    return images, masks


def along(values: np.ndarray, centre: float, step: float) -> np.ndarray:
    """A row of values over SIDE pixels, linear between middles, level beyond the outermost."""
    middles = centre + step * np.arange(len(values))
    return np.interp(np.arange(SIDE), middles, values)


def plainly(
    maps: np.ndarray, masks: np.ndarray, known: np.ndarray, at: tuple[float, float], q: float
) -> np.ndarray:
    """IoU (U, K) as published: maps (N, U, h, w), masks (N, K, H, W), known (N, K), by loops over units and images."""
    count, units = maps.shape[:2]
    iou = np.zeros((units, masks.shape[1]))
    for u in range(units):
        ordered = np.sort(maps[:, u].ravel())[::-1]
        threshold = ordered[int(q * len(ordered))]
        for k in range(masks.shape[1]):
            both = either = 0
            for i in range(count):
                if not known[i, k]:
                    continue
                rows = np.array([along(row, *at) for row in maps[i, u]])
                full = np.array([along(column, *at) for column in rows.T]).T
                both += int(((full > threshold) & masks[i, k]).sum())
                either += int(((full > threshold) | masks[i, k]).sum())
            iou[u, k] = both / either
    return iou


@pytest.mark.parametrize("quantile", [0.005, 0.06])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_iou_equals_the_published_algorithm(quantile: float, apart: bool) -> None:
    images, masks = blobs(12, 3)
    known = np.ones((12, 3), dtype=bool)
    concepts = ConceptSet.of(images, masks, ["a", "b", "c"])
    if apart:  # images of one concept say nothing of the others
        known = np.arange(12)[:, None] // 4 == np.arange(3)

        def regions(i: int) -> Regions:
            k = i // 4
            members = np.zeros((2, 3), dtype=bool)
            members[1, k] = True
            groups = np.zeros((2, 3), dtype=bool)
            groups[:, k] = True
            return Regions(masks[i, k].astype(np.uint8), members, groups)

        concepts = ConceptSet(
            names=("a", "b", "c"), kinds=("x",) * 3, groups=(0, 1, 2), count=12, image=concepts.image,
            regions=regions, where="here",
        )  # fmt: skip
    module = small()
    network = Network(module, (1, 3, SIDE, SIDE))
    found = dissect_units(network, concepts, quantile=quantile)
    x = torch.from_numpy(images).float() / 255
    with torch.inference_mode():
        values = {"0": module[:2](x), "2": module[:4](x), "4": module(x)}
    assert [one.layer.name for one in found.layers] == list(values)
    for one in found.layers:
        maps = values[one.layer.name].numpy()
        want = plainly(maps, masks, known, CENTRES[one.layer.name], quantile)
        np.testing.assert_allclose(one.iou, want, atol=1e-6, err_msg=one.layer.name)
        best = want.argmax(1)
        assert (np.where(want.max(1) > 0, best, -1) == one.best).all()


class Planted(nn.Module):
    """Channels 0-1: energy of Gabor filters; 2-4: opponent colours; 5-8: random kernels without a mean."""

    FINDS = ("middle stripes 0°", "middle stripes 45°", "red", "blue", "yellow")
    ANGLES = (0, 45)

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        kernels = torch.zeros(8 + 3 + 8, 3, 13, 13)
        y, x = torch.meshgrid(torch.arange(13) - 6, torch.arange(13) - 6, indexing="ij")
        window = torch.exp(-(x**2 + y**2) / 32)
        for i, angle in enumerate(np.radians(self.ANGLES)):
            wave = 2 * np.pi * (y * np.cos(angle) + x * np.sin(angle)) / 8 / 0.75
            for j, phase in enumerate((0, 0.5 * np.pi, np.pi, 1.5 * np.pi)):
                filter_ = window * torch.cos(wave + phase)
                filter_ -= window * filter_.sum() / window.sum()
                kernels[4 * i + j] = filter_ / window.sum() / 3
        for i, colour in enumerate([(1, -1, -1), (-1, -1, 1), (0.5, 0.5, -1.2)]):
            kernels[8 + i, :, 6, 6] = torch.tensor(colour)
        random = torch.randn(8, 3, 13, 13, generator=generator) / 39
        kernels[11:] = random - random.mean((2, 3), keepdim=True)
        mix = torch.zeros(9, len(kernels), 1, 1)
        for i in range(2):
            mix[i, 4 * i : 4 * i + 4] = 1
        for i in range(3):
            mix[2 + i, 8 + i] = 1
        for i in range(4):
            mix[5 + i, 11 + 2 * i : 13 + 2 * i] = 1
        self.filters = nn.Conv2d(3, len(kernels), 13, padding=6, bias=False)
        self.pool = nn.AvgPool2d(5, 2, 2)
        self.units = nn.Conv2d(len(kernels), 9, 1, bias=False)
        self.filters.weight = nn.Parameter(kernels)
        self.units.weight = nn.Parameter(mix)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.units(self.pool(torch.relu(self.filters(x)))))


@pytest.fixture(scope="module")
def planted() -> Dissection:
    size = 84
    network = Network(Planted().eval(), (1, 3, size, size))
    concepts = generated(Preprocessing(channels=3, height=size, width=size), count=50)
    return dissect_units(network, concepts, layers=[network.layer("units")])


def test_planted_filters_get_their_names_and_random_ones_do_not(planted: Dissection) -> None:
    (one,) = planted.layers
    names = [planted.concepts.names[b] for b in one.best]
    known, random = one.score[:5], one.score[5:]
    assert names[:5] == list(Planted.FINDS)
    assert one.named[:5].all()
    assert known.min() > 3 * random.max()
    assert random.max() < 0.1
    assert one.p[:5].max() < 0.05
    assert ((one.low < one.score) & (one.score < one.high))[:5].all()


def test_chance_is_far_below_a_planted_filter(planted: Dissection) -> None:
    (one,) = planted.layers
    assert 0 < one.chance < one.score[:5].min() / 2
    assert len(one.random) == 8
    assert one.random.max() < one.score[:5].min() / 2


def test_the_same_seed_gives_the_same_names() -> None:
    images, masks = blobs(9, 2)
    network = Network(small(), (1, 3, SIDE, SIDE))
    first, again = (dissect_units(network, ConceptSet.of(images, masks, "ab"), seed=4) for _ in range(2))  # fmt: skip
    for a, b in zip(first.layers, again.layers, strict=True):
        np.testing.assert_array_equal(a.iou, b.iou)
        np.testing.assert_array_equal(a.low, b.low)
        np.testing.assert_array_equal(a.random, b.random)
        assert a.chance == b.chance


def test_memory_does_not_grow_with_the_images() -> None:
    images, masks = blobs(4, 2)
    network = Network(small(), (1, 3, SIDE, SIDE))

    def bytes_of(times: int) -> int:
        names = "ab"
        many = ConceptSet.of(
            np.tile(images, (times, 1, 1, 1)), np.tile(masks, (times, 1, 1, 1)), names
        )
        return dissect_units(network, many, quantile=0.5, layers=[network.layers[0]]).state_bytes

    assert bytes_of(30) == pytest.approx(bytes_of(9), rel=0.02)


def test_maps_that_are_kept_change_nothing() -> None:
    images, masks = blobs(9, 2)
    network = Network(small(), (1, 3, SIDE, SIDE))
    concepts = ConceptSet.of(images, masks, ["a", "b"])
    kept = dissect_units(network, concepts)
    for budget in (0, 4 * 9 * (4 + 4) * 7 * 7 + 1):  # none, and the last layer's alone
        again = dissect_units(network, concepts, held_bytes=budget)
        for a, b in zip(kept.layers, again.layers, strict=True):
            np.testing.assert_array_equal(a.iou, b.iou)
            np.testing.assert_array_equal(a.random, b.random)
            np.testing.assert_array_equal(a.high, b.high)


def test_thresholds_are_exact_for_few_values_and_near_for_many() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(40, 2, 30, 30, generator=generator)
    exact = TopValues(2, 900, 40, 0.005, seed=0)
    drawn = TopValues(2, 900, 40, 0.3, seed=0)
    assert exact.drawn == 900 > drawn.drawn
    for part in values.split(7):
        exact.take(part)
        drawn.take(part)
    ordered = values.transpose(0, 1).flatten(1).sort(1, descending=True).values
    torch.testing.assert_close(exact.thresholds(), ordered[:, 180])
    above = (values > drawn.thresholds().view(1, 2, 1, 1)).float().mean((0, 2, 3))
    torch.testing.assert_close(above, torch.full((2,), 0.3), atol=0.03, rtol=0)


def test_one_unit_is_up_sampled_as_among_all() -> None:
    network = Network(small(), (1, 3, SIDE, SIDE))
    layer = network.layers[-1]
    maps = torch.randn(3, layer.units, *layer.grid, generator=torch.Generator().manual_seed(0))
    above = Upsampling(layer, network.size).above
    which, pixel = above(maps, torch.full((layer.units,), 0.7))
    one, own = above(maps[:, 1:2], torch.tensor([0.7]))
    mine = which % layer.units == 1
    assert torch.equal(which[mine] // layer.units, one)
    assert torch.equal(pixel[mine], own)


def test_a_unit_that_saturates_is_on_where_it_does() -> None:
    images, masks = blobs(6, 1)
    images = np.where(masks, 255, images // 2).astype(np.uint8)
    conv = nn.Conv2d(3, 1, 1, bias=False)
    conv.weight = nn.Parameter(torch.full_like(conv.weight, 2.5))
    network = Network(nn.Sequential(conv, nn.ReLU6()).eval(), (1, 3, SIDE, SIDE))
    (one,) = dissect_units(network, ConceptSet.of(images, masks, ["bright"])).layers
    assert one.score[0] == 1.0


def test_a_network_without_maps_is_refused() -> None:
    images, masks = blobs(3, 2)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4), nn.ReLU())
    with pytest.raises(UsageError, match="no layer with maps over the image"):
        dissect_units(Network(flat, (1, 3, SIDE, SIDE)), ConceptSet.of(images, masks, "ab"))
    torch.manual_seed(0)
    module = build("[conv2-relu-pool]-fc", in_channels=3, num_classes=2, size=SIDE).eval()
    net = Network(module, (1, 3, SIDE, SIDE))
    with pytest.raises(UsageError, match="fc1 has no map over the image"):
        dissect_units(net, ConceptSet.of(images, masks, "ab"), layers=[net.layer("fc1")])


@pytest.mark.parametrize(
    ("masks", "why"),
    [
        (np.zeros((3, 2, SIDE, SIDE), dtype=bool), "no pixel of arrays shows a concept"),
        (np.zeros((3, 2, SIDE, SIDE - 1), dtype=bool), "masks are .* got"),
        (np.zeros((3, 1, SIDE, SIDE), dtype=bool), "as many names, got 2"),
        (np.zeros((0, 2, SIDE, SIDE), dtype=bool), "masks are .* got"),
    ],
    ids=["empty", "size", "names", "none"],
)
def test_masks_that_cannot_be_used_are_refused(masks: np.ndarray, why: str) -> None:
    images, _ = blobs(3, 2)
    network = Network(small(), (1, 3, SIDE, SIDE))
    with pytest.raises(DataError, match=why):
        dissect_units(network, ConceptSet.of(images, masks, "ab"))


def folders(count: int) -> ConceptSet:
    """Two folders of concepts, one after the other: squares at the top left, and at the bottom right."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 90, (2 * count, 3, SIDE, SIDE)).astype(np.uint8)
    places = (slice(2, 10), slice(14, 22))
    for i in range(2 * count):
        images[i, i // count, places[i // count], places[i // count]] = 250

    def regions(i: int) -> Regions:
        group = i // count
        number = np.zeros((SIDE, SIDE), dtype=np.uint8)
        number[places[group], places[group]] = 1
        members, known = np.zeros((2, 2), dtype=bool), np.zeros((2, 2), dtype=bool)
        members[1, group] = known[:, group] = True
        return Regions(number=number, members=members, known=known)

    return ConceptSet(
        names=("a", "b"), kinds=("concept",) * 2, groups=(0, 1), count=2 * count, image=lambda i: images[i],
        regions=regions, where="two folders",
    )  # fmt: skip


def test_masks_are_shuffled_across_folders_of_concepts() -> None:
    """Within its folder a concept always lies at one place, so that other masks of the folder fit as well as its own."""
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU()).eval()
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0, 1, 1] = network[0].weight[1, 1, 1, 1] = 1.0
        network[0].bias.fill_(-0.5)
    concepts = folders(40)
    one = dissect_units(
        Network(network, (1, 3, SIDE, SIDE)), concepts, quantile=64 / SIDE**2 / 2
    ).layers[0]
    assert one.score.min() > 0.9 and list(one.best) == [0, 1]
    assert one.chance < 0.75  # 1 if masks of the own folder alone were laid over the images
    assert one.shuffled == 4 * 2 and one.least_p == pytest.approx(1 / 9)
    assert one.p.min() >= one.least_p
    # the images are named by their own numbers, whatever the order they were looked at in
    assert all(0 <= int(i) < 40 for i in one.images[0]) and all(int(i) >= 40 for i in one.images[1])


def test_a_single_image_has_no_chance() -> None:
    images, masks = blobs(1, 3)
    masks[0, 0, 3:9, 3:9] = True
    found = dissect_units(
        Network(small(), (1, 3, SIDE, SIDE)), ConceptSet.of(images, masks, ["a", "b", "c"])
    )
    for one in found.layers:
        assert one.shuffled == 0 and one.least_p == 1 and (one.p == 1).all()
