"""The probes of size, crowding and truncation judge instances by their masks: a hollow mask in a right box is no hit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_erosion, find_objects, label
from torch import nn

from striate.robustness import Context, run_probe
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.detect.probes import placing
from striate.tasks.table import find_task

SIDE = 96


class Squares(nn.Module):
    """Finds every bright patch with an exact box and its pixels, or only the outermost of them."""

    def __init__(self, *, hollow: bool) -> None:
        super().__init__()
        self.hollow = hollow

    def forward(self, x):
        made = []
        for image in x[:, 0].numpy():
            h, w = -(-image.shape[0] // 4), -(-image.shape[1] // 4)
            maps = np.full((5, h, w), -20.0, np.float32)
            pixels = np.full((4 * h, 4 * w), -5.0, np.float32)
            votes = np.zeros((2, 2 * h, 2 * w), np.float32)
            parts, _ = label(image > 0.5)
            for number, (rows, columns) in enumerate(find_objects(parts), start=1):
                y, across = (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2
                r, c = min(int(y // 4), h - 1), min(int(across // 4), w - 1)
                middle = 4 * r + 2, 4 * c + 2
                maps[0, r, c] = 5.0
                maps[1:, r, c] = (
                    middle[1] - columns.start, middle[0] - rows.start, columns.stop - middle[1], rows.stop - middle[0]
                )  # fmt: skip
                own = parts == number
                if self.hollow:
                    own = own & ~binary_erosion(own)
                pixels[: own.shape[0], : own.shape[1]][own] = 5.0
                lines, ends = np.mgrid[: 2 * h, : 2 * w] * 2 + 1
                near = tuple(slice(s.start // 2, s.stop // 2 + 1) for s in (rows, columns))
                votes[0][near], votes[1][near] = (across - ends)[near], (y - lines)[near]
            fine = F.pixel_unshuffle(torch.from_numpy(pixels)[None, None], 4)[0]
            aims = F.pixel_unshuffle(torch.from_numpy(votes)[None], 2)[0]
            made.append(torch.cat([torch.from_numpy(maps), fine, aims]))
        return torch.stack(made)


def context(*, hollow, count=12, side=12):
    rng = np.random.default_rng(0)
    images, targets = torch.zeros(count, 1, SIDE, SIDE), []
    for image in images:
        top, left = rng.integers(26, SIDE - 26 - side, 2).tolist()
        image[:, top : top + side, left : left + side] = 1.0
        rows = torch.tensor([[left, top, left + side, top + side, 0, 0.0]]).float()
        targets.append({"objects": rows, "numbers": image[0].int()})
    network = Squares(hollow=hollow).eval()
    return Context(network, images, targets, ("square",), task=find_task("instances"))


@pytest.mark.parametrize("name", ["size", "truncation"])
def test_a_hollow_mask_in_a_right_box_is_no_hit(name):
    values = []
    for hollow in (False, True):
        data = run_probe(context(hollow=hollow), name).data
        values.append(
            data["recall"] if name == "truncation" else [s["value"] for s in data["sizes"]]
        )
    assert max(values[0]) == 1.0
    assert values[1][0 if name == "truncation" else -1] == 0.0


def test_crowding_counts_pairs_of_masks():
    finding, hollow = (run_probe(context(hollow=h), "crowding") for h in (False, True))
    assert finding.data["both"][0] == 1.0 and hollow.data["both"][0] == 0.0


def test_masks_are_cut_moved_and_covered_pixel_by_pixel():
    rng = np.random.default_rng(1)
    page = rng.random((20, 30)) < 0.5
    objects = Objects.of([[0, 0, 30, 20]], [0], regions=[Region.of(page)])
    shown = placing.window_of(objects, 4, 7, 10, 12)
    assert np.array_equal(shown.regions[0].full(10, 12), page[4:14, 7:19])
    behind, lost = placing.covered(objects, np.array([5.0, 2, 16, 9]), 0.75)
    left = page.copy()
    left[2:9, 5:16] = False
    assert np.array_equal(behind.regions[0].full(20, 30), left) and not lost.any()
    assert placing.covered(objects, np.array([0.0, 0, 30, 17]), 0.75)[1].tolist() == [True]
    for start in (False, True):
        at = placing.where_cut(objects, 0, 0, 0.6, start=start)
        kept = page[:, at:] if start else page[:, :at]
        assert abs(kept.sum() / page.sum() - 0.6) < 0.05
