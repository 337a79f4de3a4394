"""One thread a process: the tests run side by side, and threads that wait for each other cost more than they give.

What Hypothesis draws is the same in every run, so that a change is judged by itself; `pytest --hypothesis-profile=search`
draws anew each time. Neither profile judges by time: a busy machine makes no test fail.

STRIATE_TEST_MINUTES: what has not begun after so many minutes is left out and counted as skipped, so that a slow machine
ends in time; the files that take longest then come last, so that few tests are left out. Without it everything runs.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["STRIATE_CACHE"] = "off"  # tests leave nothing behind

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", patient, derandomize=True, database=None)
settings.register_profile("search", patient)
settings.load_profile("same")

# Files that take half a minute or more of one core. What they hold is mostly whole trainings and reports.
LONG = (
    "attribution/test_explaining_runs.py", "cli/test_commands.py", "cli/test_deep_images.py",
    "cli/test_diagnosing_commands.py",
    "faults/", "hostile/", "inference/tiled/test_tiled_equals_whole.py", "lectures/", "models/test_models_zoo.py",
    "robustness/test_shortcut_marks.py", "runs/test_claiming.py", "runs/test_diagnosing.py", "runs/test_probing_runs.py",
    "runs/test_probing_samples.py", "runs/test_segmentation_runs.py", "runs/test_training_runs.py", "runs/test_watching.py",
    "scale/test_on_ray.py", "scale/test_reported_elsewhere.py", "scale/test_shared_tiles.py", "scale/test_sweeping.py",
    "scale/test_training_together.py", "scale/test_worlds.py", "studio/test_page",
    "tasks/detect/test_fcos.py", "tasks/detect/test_regions.py", "tasks/detect/test_reported_elsewhere.py",
    "tasks/embed/test_embed.py", "tasks/embed/test_page.py", "tasks/instances/test_instances.py",
    "tasks/test_targets_in_python.py", "test_readme.py", "test_start.py",
)  # fmt: skip
TESTS = Path(__file__).parent
BEGAN = time.monotonic()
MINUTES = float(os.environ.get("STRIATE_TEST_MINUTES", "inf"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files last where time may run out."""
    if math.isfinite(MINUTES):
        items.sort(key=lambda item: item.path.relative_to(TESTS).as_posix().startswith(LONG))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what begins too late."""
    if time.monotonic() - BEGAN > 60 * MINUTES:
        pytest.skip(f"the {MINUTES:g} minutes of STRIATE_TEST_MINUTES are over")
