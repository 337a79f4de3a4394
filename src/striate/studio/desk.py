"""Desk: the one worker of a connection. Of what is asked on a channel the latest wins, and what it supersedes is dropped.

An answer is made in parts: a coarse map, then a finer one. Between two parts the worker turns to whatever else was asked in
the meantime, so that a long answer never keeps a short one waiting for longer than one part, and a part is sent only when
the page has shown the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.errors import StriateError
from striate.studio.frames import encode

Part = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]
Answer = Callable[[Mapping[str, Any]], Iterator[Part]]
Send = Callable[[bytes], Awaitable[None]]
PATIENCE = 5.0  # seconds until a page that does not confirm is taken to be hidden, and is sent the next frame all the same
END: Part = ({}, {})
PAUSE: Part = (
    {"pause": True},
    {},
)  # what follows is worked on once the page has asked nothing more for a while
RESTED = 0.15  # seconds of that


class SupersededError(Exception):
    """What is computed is not wanted any more."""


_doing = threading.local()  # the work of each worker thread


def refuse_superseded() -> None:
    """Raise SupersededError where the page has asked something newer on the channel of what this thread computes."""
    work = getattr(_doing, "work", None)
    if work is not None and work.stale:
        raise SupersededError


@dataclass
class Work:
    """What was asked: its number on the channel, and the answer's parts as far as they are begun."""

    number: int
    question: Mapping[str, Any]
    parts: Iterator[Part] | None = None
    after: float = 0.0  # by the loop's clock
    stale: bool = False


class Desk:
    """Answers what a page asks, one at a time.

    answer: question -> the parts of its answer. send: a frame to the page. worker: one thread, which all pages share.
    """

    def __init__(self, answer: Answer, send: Send, worker: ThreadPoolExecutor) -> None:
        self._answer, self._send, self._worker = answer, send, worker
        self._waiting: dict[
            str, Work
        ] = {}  # channel -> its latest work, the one that waited longest first
        self._news = asyncio.Event()
        self._shown = asyncio.Event()
        self._shown.set()
        self._frame = 0

    def ask(self, channel: str, number: int, question: Mapping[str, Any]) -> None:
        """Take a question; one that waits on the same channel is forgotten."""
        self.cancel(channel)
        self._waiting[channel] = Work(number, question)
        self._news.set()

    def cancel(self, channel: str) -> None:
        """Forget what waits on a channel; what is computed for it ends where it looks."""
        old = self._waiting.pop(channel, None)
        if old is not None:
            old.stale = True

    def confirm(self, frame: int) -> None:
        """The page has shown a frame."""
        if frame == self._frame:
            self._shown.set()

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            channel, work = await self._next_work(loop)
            part, error = await loop.run_in_executor(self._worker, self._next, work)
            done = error is not None or part is END
            if not done and part is not PAUSE and not self._shown.is_set():
                # The page paints the frame before while this one is computed.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._shown.wait(), PATIENCE)
            if self._waiting.get(channel) is not work:
                continue  # superseded while it was worked on
            del self._waiting[channel]
            if not done:
                self._waiting[channel] = work  # behind the others
            if part is PAUSE:
                work.after = loop.time() + RESTED
                continue
            header, arrays = part
            told = {
                "channel": channel, "number": work.number, "done": done, "error": error, **header,
            }  # fmt: skip
            await self._deliver(told, arrays)

    async def _next_work(self, loop: asyncio.AbstractEventLoop) -> tuple[str, Work]:
        """What waited longest and does not rest."""
        while True:
            now = loop.time()
            for channel, work in self._waiting.items():
                if work.after <= now:
                    return channel, work
            self._news.clear()
            first = min((w.after for w in self._waiting.values()), default=None)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), None if first is None else first - now)

    def _next(self, work: Work) -> tuple[Part, str | None]:
        _doing.work = work
        try:
            if work.parts is None:
                work.parts = self._answer(work.question)
            return next(work.parts, END), None
        except SupersededError:
            return END, None
        except StriateError as error:
            return END, str(error)
        except Exception as error:  # a fault of ours ends this answer, not the page
            traceback.print_exc()
            return (
                END,
                f"the studio failed at this ({type(error).__name__}); the terminal shows where, please report it",
            )

    async def _deliver(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if not header["done"]:  # the end of an answer is nothing to be painted
            self._frame += 1
            self._shown.clear()
        await self._send(encode({**header, "frame": self._frame}, arrays))
