"""Crops with the pixels of their objects, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass

from striate.tasks.detect.batches import BoxBatches
from striate.tasks.detect.cutting import Crop
from striate.tasks.detect.objects import Objects
from striate.tasks.instances.cropping import InstanceTarget, cropped_regions, instance_target


@dataclass(frozen=True, kw_only=True)
class InstanceBatches(BoxBatches):
    """As BoxBatches; targets are N of `InstanceTarget`."""

    def target(self, objects: Objects, crop: Crop) -> InstanceTarget:
        """See BoxBatches."""
        return instance_target(cropped_regions(objects, crop), crop.height, crop.width)
