"""Scenes with boxes: the same images as for segmentation, each item with its visible pixels."""

import numpy as np

from striate.data.digits import open_digits
from striate.tasks.detect.data.scenes import open_box_scenes
from striate.tasks.segment.data.scenes import open_scenes


def test_boxes_regions_and_masks_tell_the_same():
    boxes = open_box_scenes(open_digits, count=20, size=64)
    masks = open_scenes(open_digits, count=20, size=64)
    assert boxes.fingerprint == masks.fingerprint
    for name, split in boxes.splits.items():
        for i, objects in enumerate(split.objects):
            mask = masks.splits[name].mask(i)
            drawn = np.zeros_like(mask)
            for region, label, box in zip(objects.regions, objects.labels, objects.boxes, strict=True):  # fmt: skip
                full = region.full(*mask.shape)
                assert not drawn[full].any()
                drawn[full] = label + 1
                rows, columns = np.nonzero(full)
                assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]  # fmt: skip
            assert np.array_equal(drawn, mask)
    assert boxes.train.counts(10).sum() == sum((~o.crowd).sum() for o in boxes.train.objects)
