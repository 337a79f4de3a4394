"""Where a network breaks: probes in pixel space, each a Finding; from a module, images, targets and a seed."""

from __future__ import annotations

from striate.robustness.activation_shift import Recorder
from striate.robustness.checklist import checklist
from striate.robustness.comparison import compare
from striate.robustness.context import Context, at_chance
from striate.robustness.corruptions import CORRUPTIONS, corrupted
from striate.robustness.curves import shifted_example
from striate.robustness.domain import Domain, domain, line_domains
from striate.robustness.lines import KINDS, lines, modulated
from striate.robustness.probes import PROBES, Probe, probes_of, resolve_probes, run_probe

__all__ = [
    "CORRUPTIONS",
    "KINDS",
    "PROBES",
    "Context",
    "Domain",
    "Probe",
    "Recorder",
    "at_chance",
    "checklist",
    "compare",
    "corrupted",
    "domain",
    "line_domains",
    "lines",
    "modulated",
    "probes_of",
    "resolve_probes",
    "run_probe",
    "shifted_example",
]  # fmt: skip

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "activation_shift", "calibration", "chart", "checklist", "context", "domain", "equivariance", "failure_localisation",
    "lines", "probes", "separation",
    "shortcuts", "transforms",
)  # fmt: skip
