"""Annotations of objects, whatever task learns from them: from one format to another."""

from striate.tasks.detect.data.convert import convert_boxes

__all__ = ["convert_boxes"]
