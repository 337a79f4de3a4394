"""What a report says of found objects after the headline, whether by boxes or by masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.findings import Finding
from striate.tasks.detect.data.source import BoxSource, BoxSplit
from striate.tasks.detect.drawing import Draw, drawn
from striate.tasks.detect.evaluate import Assessed
from striate.tasks.detect.evaluation.threshold import threshold_of
from striate.tasks.detect.findings.errors import kinds_of_errors, per_class_boxes
from striate.tasks.detect.findings.gallery import gallery
from striate.tasks.detect.findings.sizes import recall_by_size
from striate.tasks.detect.frame import framed
from striate.tasks.detect.reach import reach
from striate.tasks.detect.sight import sight_of
from striate.tasks.trained import Trained


def details(
    trained: Trained, source: BoxSource, split: BoxSplit, assessed: Assessed, draw: Draw = drawn
) -> Iterator[Finding]:
    """Kinds of errors, classes, sizes, what can be found at all, and the worst images. draw: how these are shown."""
    classes, sure = trained.classes, threshold_of(trained.calibration)
    yield kinds_of_errors(assessed, len(classes), sure)
    yield per_class_boxes(assessed, classes, sure)
    sight = sight_of(trained.model, trained.shape)
    field = sight.field
    seen = framed(split, trained.preprocessing).sizes[: len(assessed)]
    shrunk = np.sqrt((seen / split.sizes[: len(assessed)]).prod(1))
    yield recall_by_size(assessed, None if field is None else field / shrunk, sure)
    parts = [framed(part, trained.preprocessing) for part in source.splits.values()]
    yield reach([o for part in parts for o in part.objects], sight)
    whole = trained.preprocessing.unframed
    yield gallery(
        assessed,
        lambda i: whole.colours(split.image(i)).transpose(1, 2, 0),
        classes,
        sure,
        draw,
    )
