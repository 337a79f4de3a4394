"""Candidates: boxes gathered from pieces of maps in any order, of which the best of each place stay."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.tasks.detect.boxes import suppress
from striate.tasks.detect.objects import Objects


class Candidates:
    """Boxes with their classes, scores and places; the objects among them do not depend on the order they came in."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def add(
        self, labels: Tensor, scores: Tensor, boxes: Tensor, level: Tensor | int, rows: Tensor, columns: Tensor
    ) -> None:  # fmt: skip
        """n more, (n,) each and boxes (n, 4) float64; level, rows and columns: where they come from, to break ties by."""
        level = torch.as_tensor(level).expand(len(labels))
        head = torch.stack([v.double() for v in (labels, level, rows, columns, scores)], 1)
        self.rows.append(torch.cat([head, boxes], 1).numpy())

    def objects(self, size: tuple[int, int], above: float) -> Objects:
        """Those that no better one of their class overlaps by an IoU above `above`, cut at the border (height, width)."""
        return self.chosen(size, above)[0]

    def chosen(self, size: tuple[int, int], above: float) -> tuple[Objects, np.ndarray]:
        """As `objects`, and (n, 4) class, level, row and column of each."""
        rows = np.concatenate(self.rows) if self.rows else np.zeros((0, 9))
        # As from one pass over whole maps: by class and level, then row by row.
        rows = rows[np.lexsort(rows[:, 3::-1].T)]
        boxes, scores, labels = rows[:, 5:], rows[:, 4], rows[:, 0].astype(np.int64)
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, size[1])
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, size[0])
        best = suppress(boxes, scores, labels, above)
        made = Objects.of(boxes[best], labels[best], scores=scores[best])
        return made, rows[best, :4].astype(np.int64)
