"""One thread a process: the tests run side by side, and threads that wait for each other cost more than they give."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
