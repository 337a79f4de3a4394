"""Findings for people: one HTML file that opens offline, and the same in a terminal."""

from __future__ import annotations

from striate.report.page import write_report

__all__ = ["write_report"]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("terminal", "wording")
