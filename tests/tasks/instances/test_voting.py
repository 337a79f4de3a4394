"""Which pixels belong to which object: by hand, from a perfect map, and of a map that lies on the disk."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests_of_instances import perfect_map, target_of_whole

from striate.data.digits import open_digits
from striate.models import build
from striate.models.centernet_masks import BESIDE
from striate.tasks.detect.data.scenes import open_box_scenes
from striate.tasks.detect.objects import Objects
from striate.tasks.instances.loss import VotingLoss
from striate.tasks.instances.metric import InstanceQuality
from striate.tasks.instances.pixels import Window, spread
from striate.tasks.instances.voting import find_instances, find_large_instances, voted
from striate.training.batch import Batch


def pixel_map(height, width):
    """(24, h, w) that says of no pixel that it belongs to an object, and the same as logits and votes to be filled."""
    return torch.full((height, width), -5.0), torch.zeros(2, height // 2, width // 2)


def packed(logits, votes):
    return torch.cat([F.pixel_unshuffle(logits[None], 4), F.pixel_unshuffle(votes, 2)]).numpy()


def test_channels_are_the_pixels_of_a_cell_and_the_votes_of_its_squares():
    maps = np.zeros((24, 2, 2), np.float32)
    maps[4 * 2 + 3, 1, 0] = 1.0  # row 2, column 3 of the cell whose first pixel is (4, 0)
    maps[16 + 2, 1, 0], maps[20 + 2, 1, 0] = 3.0, -2.0  # of its lower left square
    logits, votes = spread(torch.from_numpy(maps)[None])
    assert logits.nonzero().tolist() == [[0, 6, 3]]
    assert votes[0, :, 3, 0].tolist() == [3.0, -2.0] and votes.count_nonzero() == 2
    window = Window(maps, (0.0, 5.0, 1.0, 8.0), (8, 8))
    assert (window.top, window.left, window.logits.shape) == (4, 0, (4, 4))
    assert np.argwhere(window.logits).tolist() == [[2, 3]]
    # The square's middle is (1, 7); it votes for a place 3 to the right and 2 above.
    assert (
        window.x[2:, :2].tolist() == [[4.0] * 2] * 2
        and window.y[2:, :2].tolist() == [[5.0] * 2] * 2
    )
    assert window.x[0, 3] == 3.0 and window.y[0, 3] == 5.0


def test_touching_objects_are_told_apart_by_their_votes():
    logits, votes = pixel_map(16, 32)
    logits[4:12, 4:28] = 5.0  # one bar of two objects, which meet at column 16
    middle = torch.arange(16) * 2 + 1.0
    votes[0] = torch.where(middle < 16, 10.0, 22.0) - middle
    votes[1] = (8.0 - (torch.arange(8) * 2 + 1.0))[:, None]
    found = Objects.of([[4, 4, 16, 12], [16, 4, 28, 12]], [0, 0], scores=[0.9, 0.8])
    made = voted(packed(logits, votes), found, (16, 32))[0]
    assert made.boxes.tolist() == [[4, 4, 16, 12], [16, 4, 28, 12]]
    assert made.areas.tolist() == [96, 96]


def test_only_a_sure_object_takes_pixels_and_a_second_class_shares_them():
    logits, votes = pixel_map(16, 20)
    logits[4:12, 4:12] = 5.0
    # All vote for (11, 8): 3 pixels from the first object's centre, 2 from that of the one beside it.
    votes[0], votes[1] = (
        11.0 - (torch.arange(10) * 2 + 1.0),
        (8.0 - (torch.arange(8) * 2 + 1.0))[:, None],
    )
    maps, first, beside = packed(logits, votes), [4.0, 4, 12, 12], [8.0, 4, 18, 12]

    def areas(other, labels, score):
        found = Objects.of([first, other], labels, scores=[0.9, score])
        made, which = voted(maps, found, (16, 20))
        return dict(zip(which.tolist(), made.areas.tolist(), strict=True))

    assert areas(beside, [0, 0], 0.1)[0] == 64  # an unsure guess takes none
    assert areas(beside, [0, 0], 0.8) == {1: 64}
    assert areas(first, [0, 1], 0.8) == {0: 64, 1: 64}


def test_what_gets_no_pixel_is_no_object():
    logits, votes = pixel_map(16, 16)
    found = Objects.of([[2, 2, 14, 14]], [0], scores=[0.9])
    made = voted(packed(logits, votes), found, (16, 16))[0]
    assert len(made) == 0 and made.regions == () and made.scores.shape == (0,)


def test_of_equal_distances_the_better_object_has_the_pixel():
    logits, votes = pixel_map(16, 32)
    logits[8, 15:17] = 5.0
    votes[0] = 16.0 - (torch.arange(16) * 2 + 1.0)
    votes[1, 4] = 8.0 - 9.0
    found = Objects.of([[8, 4, 16, 12], [16, 4, 24, 12]], [0, 0], scores=[0.9, 0.8])
    made = voted(packed(logits, votes), found, (16, 32))[0]
    assert made.labels.tolist() == [0] and made.areas.tolist() == [2]
    # The score is that of the peak times the mean probability of the pixels.
    assert made.scores.tolist() == pytest.approx([0.9 / (1 + np.exp(-5.0))])


@pytest.fixture(scope="module")
def scenes():
    return open_box_scenes(open_digits, count=16, size=96).train


def test_a_perfect_map_gives_its_objects_back_and_costs_little(scenes):
    targets = [target_of_whole(o, 96, 96) for o in scenes.objects]
    maps = torch.stack([perfect_map(t, 10, 96, 96) for t in targets])
    found = [find_instances(one, 10, (96, 96)) for one in maps]
    quality = InstanceQuality(10, lambda output, k: output)
    scores = quality.score(quality.evidence(found, targets))
    # Not quite 1: two objects may share a cell, and a square of 2 x 2 pixels has one vote.
    assert scores["mask_ap"] > 0.93 and scores["pq"] > 0.93 and scores["mask_ap50"] > 0.98
    loss = VotingLoss(10)(maps, Batch(torch.zeros(len(maps), 3, 96, 96), targets))
    parts = {name: float(value) / len(maps) for name, value in loss.parts.items()}
    assert parts["masks"] < 0.01 and parts["heat"] < 1e-4 and parts["votes"] < 0.15


@pytest.mark.parametrize("size", [(72, 104), (70, 101)])
def test_a_map_on_the_disk_gives_the_same_objects(size, tmp_path):
    rng = np.random.default_rng(0)
    cells = [-(-n // 4) for n in size]
    heat = rng.normal(-4, 2, (2, *cells))
    edges = rng.uniform(1, 20, (4, *cells))
    rest = np.concatenate([rng.normal(0, 3, (16, *cells)), rng.normal(0, 4, (8, *cells))])
    maps = np.concatenate([heat, edges, rest]).astype(np.float32)
    np.save(tmp_path / "map.npy", maps)
    whole = find_instances(torch.from_numpy(maps), 2, size)
    large = find_large_instances(np.load(tmp_path / "map.npy", mmap_mode="r"), 2, size)
    assert len(whole) == len(large) > 10
    for a, b in zip(whole.regions, large.regions, strict=True):
        assert a.box == b.box and np.array_equal(a.runs, b.runs)
    assert all(r.left + r.width <= size[1] and r.top + r.height <= size[0] for r in whole.regions)


def test_gradients_are_equal_however_the_batch_is_cut(scenes):
    torch.manual_seed(0)
    network = build("centernet-masks", in_channels=3, num_classes=10, width=8).double().eval()
    images = torch.randn(4, 3, 96, 96, dtype=torch.float64)
    objects = [*scenes.objects[:3], Objects.of([], [])]
    targets = [target_of_whole(o, 96, 96) for o in objects]
    batch, loss = Batch(images, targets), VotingLoss(10)
    gradients = []
    for size in (1, 3, 4):
        network.zero_grad()
        parts = [loss(network(part.images), part) for part in batch.split(size)]
        (sum(p.sum for p in parts) / sum(p.weight for p in parts)).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    for other in gradients[1:]:
        assert (other - gradients[0]).abs().max() <= 1e-6 * gradients[0].abs().max()


@pytest.mark.parametrize("spec", ["centernet-masks", "centernet-masks:resnet18"])
@pytest.mark.parametrize("size", [(64, 64), (50, 75)])
def test_networks_give_the_pixels_of_a_cell_every_four(spec, size):
    network = build(spec, in_channels=3, num_classes=2, check=False).eval()
    with torch.inference_mode():
        out = network(torch.randn(1, 3, *size))
    assert out.shape == (1, 2 + BESIDE, -(-size[0] // 4), -(-size[1] // 4))
