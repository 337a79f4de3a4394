"""Ordered parallel work in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def workers() -> int:
    """Threads for decoding: the processors that this process may use, at most 16."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(16, count or 1))


def ordered(
    function: Callable[[A], B],
    items: Iterable[A],
    *,
    threads: int = 0,
    ahead: int = 0,
    pool: ThreadPoolExecutor | None = None,
) -> Iterator[B]:
    """`map(function, items)` on threads, results in order, only a few of them waiting at a time.

    ahead: how many wait, four a thread if not given. pool: threads that are there, and end with this.
    Decoders release the interpreter lock, so threads suffice. An exception ends the work and is
    raised here; work not yet begun is dropped.
    """
    threads = threads or workers()
    ahead = ahead or 4 * threads
    waiting: deque[Future[B]] = deque()
    pool = pool or ThreadPoolExecutor(threads, thread_name_prefix="striate-data")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
