"""Diagnostics: what is wrong inside a network or its labels, of modules and tensors alone."""

from striate.diagnostics.activations import activations
from striate.diagnostics.filters import filters
from striate.diagnostics.gradients import check_gradients
from striate.diagnostics.initial_loss import initial_loss, overfit_batch
from striate.diagnostics.label_errors import label_errors
from striate.diagnostics.rates import rates
from striate.diagnostics.updates import updates

__all__ = [
    "activations",
    "check_gradients",
    "filters",
    "initial_loss",
    "label_errors",
    "overfit_batch",
    "rates",
    "updates",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("activations", "filters", "initial_loss", "label_errors", "rates", "updates")
