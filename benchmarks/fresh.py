"""Fresh processes: each measured run has a process of its own, so that its peak memory is its own.

A benchmark calls `main(contestants, ...)`. The parent starts a child a run, one after the other, and collects what they
print; a child makes its network and image, notes its memory, runs once and prints one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
OOM = Path("/proc/self/oom_score_adj")


def memory(name: str) -> int:
    """Bytes of this process from Linux: VmRSS now, VmHWM at the highest since `lower_mark`."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) * 1024


def lower_mark() -> int:
    """Give back what the heap holds free, set the high-water mark to what is held now, and return that."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    CLEAR.write_text("5")
    return memory("VmRSS")


def watched(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of `work`, its seconds, and bytes of memory above what was held before."""
    OOM.write_text("1000")  # if the machine's memory ends, this process goes and no other
    before = lower_mark()
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    return result, {"seconds": seconds, "bytes": memory("VmHWM") - before}


def child(arguments: Sequence[str], prefix: str) -> dict[str, Any] | None:
    """Run this program again with other arguments; its last line is JSON. None if it failed for want of memory."""
    command = [*shlex.split(prefix), sys.executable, sys.argv[0], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        if done.returncode in (-9, 137) or "allocate memory" in done.stderr:
            return None
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def spread(numbers: Sequence[float]) -> tuple[float, float, float]:
    """Least, median and most."""
    return min(numbers), statistics.median(numbers), max(numbers)


def three(numbers: Sequence[float], form: str) -> str:
    """Median, and in brackets least and most."""
    least, median, most = (format(n, form) for n in spread(numbers))
    return f"{median} ({least} - {most})"
