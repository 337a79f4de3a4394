"""One thread a process: the tests run side by side, and threads that wait for each other cost more than they give.

What Hypothesis draws is the same in every run, so that a change is judged by itself; `pytest --hypothesis-profile=search`
draws anew each time. Neither profile judges by time: a busy machine makes no test fail.

STRIATE_TEST_MINUTES: what has not begun after so many minutes is left out and counted as skipped, so that a slow machine
ends in time; without it everything runs.
"""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", patient, derandomize=True, database=None)
settings.register_profile("search", patient)
settings.load_profile("same")

BEGAN = time.monotonic()
MINUTES = float(os.environ.get("STRIATE_TEST_MINUTES", "inf"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what begins too late."""
    if time.monotonic() - BEGAN > 60 * MINUTES:
        pytest.skip(f"the {MINUTES:g} minutes of STRIATE_TEST_MINUTES are over")
