"""Which form an output has: that of its type, and CenterNet's where it is a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.answer import answer_of
from striate.models import Regions
from striate.tasks.detect.forms.centers import Centers
from striate.tasks.detect.forms.form import Form
from striate.tasks.detect.forms.grid import GridForm
from striate.tasks.detect.forms.levels import LevelForm
from striate.tasks.detect.forms.queries import QueryForm
from striate.tasks.detect.forms.regions import RegionForm
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.region_loss import TAUGHT
from striate.training.batch import Batch, Loss

CENTERS, REGIONS = Centers(), RegionForm()
FORMS: tuple[Form, ...] = (LevelForm(), GridForm(), REGIONS, QueryForm())


def form_of(output: Any) -> Form:
    """The form of what a network gives; one map is of CenterNet's."""
    return next((form for form in FORMS if isinstance(output, form.kind)), CENTERS)


def answer_in(output: Any) -> Any:
    """An output that a form reads as a whole, or the prediction among what else a network returns, see `answer_of`."""
    return output if form_of(output) is not CENTERS else answer_of(output)


@dataclass(frozen=True)
class DetectionLoss:
    """The loss of whatever kind of detector the output is of; see `Form.loss`.

    edges: weight of the boxes. regions: that an image teaches by, where a second pass looks at them.
    """

    classes: int
    edges: float = 2.0
    regions: int = TAUGHT

    def __call__(self, output: Any, batch: Batch) -> Loss:
        if isinstance(output, Regions):
            return REGIONS.loss(output, batch, self.classes, self.edges, self.regions)
        return form_of(output).loss(output, batch, self.classes, self.edges)


def objects_in(output: Any, classes: int) -> list[Objects]:
    """The objects of each image from what a network gives for N images."""
    return form_of(output).decode(output, classes)
