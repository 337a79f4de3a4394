"""Measuring: how much memory a piece of work takes above what was there before."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

import torch

PERIOD = 0.002  # seconds between two looks
_STATM = Path("/proc/self/statm")


def resident() -> int | None:
    """Bytes of this process in memory now, None where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


class PeakMemory:
    """A context that measures the most memory above its beginning: of the process, or of torch's allocator on a GPU.

    peak: bytes, None while it runs or where the system does not say. The process is looked at every two milliseconds, so
    that nobody else's high-water mark is reset.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak: int | None = None
        self._most = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._base = torch.cuda.memory_allocated(self.device)
            return self
        base = resident()
        if base is not None:
            self._base = self._most = base
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD):
            self._most = max(self._most, resident() or 0)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.peak is not None:
            return
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self.device) - self._base
        elif self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._most = max(self._most, resident() or 0)
            self.peak = self._most - self._base
