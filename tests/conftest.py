"""One thread a process: the tests run side by side, and threads that wait for each other cost more than they give.

What Hypothesis draws is the same in every run, so that a change is judged by itself; `pytest --hypothesis-profile=search`
draws anew each time. Neither profile judges by time: a busy machine makes no test fail.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", patient, derandomize=True, database=None)
settings.register_profile("search", patient)
settings.load_profile("same")
