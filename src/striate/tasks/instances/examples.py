"""What analyses look at: objects with regions that were moved along with their image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.tasks.detect.cutting import LEAST_SEEN
from striate.tasks.instances.cropping import InstanceTarget, instance_target, objects_of_target
from striate.tasks.warp import Warp


def warped_target(target: InstanceTarget, warp: Warp) -> InstanceTarget:
    """The target of an image after it was warped; an object of which less than a quarter is left becomes a crowd."""
    before = target["numbers"]
    numbers = warp.maps(before[None], 0)[0]
    moved = objects_of_target({"objects": target["objects"], "numbers": numbers})
    areas = np.bincount(before.numpy().ravel(), minlength=len(target["objects"]) + 1)
    present = np.unique(numbers[numbers > 0].numpy())
    lost = moved.areas < LEAST_SEEN * areas[present] * warp.scale**2 if len(moved) else moved.crowd
    return instance_target(replace(moved, crowd=moved.crowd | lost), *numbers.shape)
