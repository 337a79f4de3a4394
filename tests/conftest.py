"""One thread a process: the tests run side by side, and threads that wait for each other cost more than they give.

What Hypothesis draws is the same in every run, so that a change is judged by itself; `pytest --hypothesis-profile=search`
draws anew each time.
"""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("search", deadline=None)
settings.load_profile("same")
