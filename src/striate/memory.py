"""Keep large buffers instead of returning them to the kernel after each step."""

from __future__ import annotations

import ctypes
import sys

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
