"""Memory: how much is free, and keeping large buffers instead of returning them to the kernel after each step."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def keep_large_buffers(limit: int = 1 << 30) -> bool:
    """Tell glibc's allocator to keep freed buffers of up to `limit` bytes for the next request.

    By default glibc maps each buffer above 32 MiB afresh, and the kernel clears every page of it again at each step of
    a training loop. Keeping them cost nothing but address space and made steps of small networks a fifth shorter or more
    (`benchmarks/train_step.py`). Returns whether the allocator took the settings; other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, limit)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def available_memory() -> int:
    """Bytes that this process may still take: the machine's, or its control group's if that is less."""
    free = 8 << 30
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
        if limit != "max":
            free = min(free, int(limit) - int(used))
    except (OSError, ValueError, IndexError):
        pass  # not Linux, or no control group: keep what is known
    return max(free, 0)
