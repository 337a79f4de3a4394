"""Where a network breaks: probes in pixel space, each a Finding; from a module, images, labels and a seed."""

from __future__ import annotations

from striate.robustness.checklist import checklist
from striate.robustness.comparison import compare
from striate.robustness.corruptions import CORRUPTIONS, corrupted
from striate.robustness.curves import shifted_example
from striate.robustness.domain import Domain, domain, line_domains
from striate.robustness.exam import Exam, at_chance
from striate.robustness.lines import KINDS, lines, modulated
from striate.robustness.probes import PROBES, examine, resolve_probes
from striate.robustness.recording import Recorder

__all__ = [
    "CORRUPTIONS", "KINDS", "PROBES", "Domain", "Exam", "Recorder", "at_chance", "checklist", "compare", "corrupted",
    "domain", "examine", "line_domains", "lines", "modulated", "resolve_probes", "shifted_example",
]  # fmt: skip
