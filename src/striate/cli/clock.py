"""When the present command began, from which its budget counts."""

from __future__ import annotations

import time

_began: list[float] = []


def begin() -> None:
    """Note the time, before anything slow is imported."""
    _began[:] = [time.monotonic()]


def began() -> float:
    """time.monotonic() at the start of the command."""
    return _began[-1] if _began else time.monotonic()
