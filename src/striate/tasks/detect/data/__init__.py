"""Images with boxes: sources, annotation formats, checks."""

from __future__ import annotations

from striate.tasks.detect.data.given import open_given_boxes
from striate.tasks.detect.data.source import BoxSource, BoxSplit
from striate.tasks.detect.data.sources import BOX_SOURCES, is_box_data, open_boxes

__all__ = ["BOX_SOURCES", "BoxSource", "BoxSplit", "is_box_data", "open_boxes", "open_given_boxes"]
