"""Silence for the warnings of image libraries, safe in threads and after a fork."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Damage is reported by our own sentences; a log without a handler would reach standard error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MODULES = r"PIL|tifffile|imagecodecs|striate\.images\."


class _Shared:
    """`catch_warnings` swaps a list that all threads share: first in saves, last out restores."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.saved: warnings.catch_warnings | None = None

    def enter(self) -> None:
        with self.lock:
            if self.depth == 0:
                self.saved = warnings.catch_warnings()
                self.saved.__enter__()
                warnings.filterwarnings("ignore", module=_MODULES)
            self.depth += 1

    def leave(self) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                assert self.saved is not None
                self.saved.__exit__(None, None, None)


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    # A child forked while another thread held the lock would wait for ever.
    os.register_at_fork(after_in_child=lambda: _shared.__init__())  # type: ignore[misc]


@contextmanager
def quiet() -> Iterator[None]:
    """No warning that PIL or tifffile raises inside the `with` is shown; all others pass."""
    if getattr(
        sys.flags, "context_aware_warnings", False
    ):  # Python 3.14: filters belong to the context
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=_MODULES)
            yield
        return
    _shared.enter()
    try:
        yield
    finally:
        _shared.leave()
