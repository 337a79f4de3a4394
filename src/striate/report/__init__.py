"""Findings for people: one HTML file that opens offline, and the same in a terminal.

The page is imported when it is first written: the terminal does without its templates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.report.page import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module 'striate.report' has no attribute {name!r}")
    from striate.report import page

    return page.write_report


# Files of this room that other rooms import from, beside the names above.
OPEN = ("terminal", "wording")
