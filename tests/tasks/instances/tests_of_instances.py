"""What several tests of instances need."""

import numpy as np
import torch
import torch.nn.functional as F

from striate.tasks.detect.assignment import assign
from striate.tasks.detect.cutting import Crop
from striate.tasks.instances.cropping import cropped_regions, instance_target


def target_of_whole(objects, height, width):
    crop = Crop(top=0, left=0, zoom=1.0, height=height, width=width)
    return instance_target(cropped_regions(objects, crop), height, width)


def perfect_map(target, classes, height, width):
    """The map of a network that is right about every pixel and never in doubt. Sides are multiples of 4."""
    h, w = height // 4, width // 4
    cells = assign(target["objects"], classes, (h, w), 4)
    heat = torch.where(cells.heat == 1, 10.0, -10.0)
    rows, columns = np.divmod(cells.cells.numpy(), w)
    middle = torch.tensor(np.stack([columns, rows], 1) * 4 + 2.0, dtype=torch.float32)
    edges = torch.ones(4, h * w)
    edges[:, cells.cells] = torch.cat([middle - cells.boxes[:, :2], cells.boxes[:, 2:] - middle], 1).T  # fmt: skip
    numbers = target["numbers"]
    pixels = F.pixel_unshuffle(torch.where(numbers > 0, 8.0, -8.0)[None], 4)
    square = F.max_pool2d(numbers[None].float(), 2)[
        0
    ].long()  # a square of two objects votes for the later
    centres = torch.cat([torch.zeros(1, 2), (target["objects"][:, :2] + target["objects"][:, 2:4]) / 2])  # fmt: skip
    across, down = torch.arange(width // 2) * 2 + 1.0, torch.arange(height // 2) * 2 + 1.0
    places = torch.stack(torch.meshgrid(across, down, indexing="xy"))
    votes = torch.where(square > 0, centres[square].permute(2, 0, 1) - places, 0.0)
    return torch.cat([heat, edges.view(4, h, w), pixels, F.pixel_unshuffle(votes, 2)])
