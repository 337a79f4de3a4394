"""Frames on the wire, and the desk: the latest question of a channel wins."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from striate.errors import UsageError
from striate.studio.desk import PAUSE, RESTED, Desk, Part, SupersededError, refuse_superseded
from striate.studio.frames import decode, encode


def test_a_frame_is_what_went_in_and_arrays_lie_aligned() -> None:
    arrays = {
        "a": np.arange(7, dtype=np.uint8).reshape(7, 1), "é": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
        "none": np.zeros((0, 4), np.float16), "half": np.arange(5).astype(np.float16),
    }  # fmt: skip
    frame = encode({"name": "“ä”", "nan": float("nan"), "big": 1e300}, arrays)
    header, found = decode(frame)
    assert header == {"name": "“ä”", "nan": None, "big": 1e300}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    length = int.from_bytes(frame[:4], "little")
    assert (4 + length) % 8 == 0
    assert all(p["at"] % 8 == 0 for p in json.loads(frame[4 : 4 + length])["arrays"].values())


class Page:
    """A page that notes what it is sent, and confirms it if it is to."""

    def __init__(self, answer: Any, *, confirms: bool = True) -> None:
        self.heard: list[dict[str, Any]] = []
        self.confirms = confirms
        self.desk = Desk(answer, self.send, ThreadPoolExecutor(1))

    async def send(self, frame: bytes) -> None:
        header, _ = decode(frame)
        self.heard.append(header)
        if self.confirms:
            self.desk.confirm(header["frame"])

    async def until(self, count: int) -> None:
        while len(self.heard) < count:
            await asyncio.sleep(0.005)


def test_the_latest_question_wins_and_others_come_between_the_parts() -> None:
    started, go = threading.Event(), threading.Event()

    def answer(question: Any) -> Iterator[Part]:
        if question["what"] == "slow":
            started.set()
            go.wait(20)
        for i in range(question.get("parts", 1)):
            yield {"what": question["what"], "part": i}, {}

    async def page() -> list[dict[str, Any]]:
        one = Page(answer)
        work = asyncio.create_task(one.desk.run())
        one.desk.ask("a", 1, {"what": "slow"})
        await asyncio.get_running_loop().run_in_executor(None, started.wait, 20)
        for number in (2, 3, 4):
            one.desk.ask("a", number, {"what": "late", "parts": 3})
        one.desk.ask("b", 5, {"what": "other"})
        go.set()
        await asyncio.wait_for(one.until(6), 20)
        work.cancel()
        return one.heard

    heard = asyncio.run(page())
    assert {h["number"] for h in heard} == {
        4,
        5,
    }  # 1 was superseded while it was worked on, 2 and 3 while they waited
    assert [h.get("part") for h in heard if h["number"] == 4] == [0, 1, 2, None]
    assert (
        next(i for i, h in enumerate(heard) if h["number"] == 5) < 3
    )  # it did not wait for all parts of the other
    assert [h["done"] for h in heard if h["number"] == 4] == [False, False, False, True]


def test_what_pauses_goes_on_when_the_page_rests_and_what_is_superseded_ends() -> None:
    ended: list[int] = []

    def answer(question: Any) -> Iterator[Part]:
        yield {"part": 0}, {}
        yield PAUSE
        try:
            for _ in range(2000):
                time.sleep(0.005)
                refuse_superseded()
                if question["what"] == "quick":
                    break
        except SupersededError:
            ended.append(question["id"])
            raise
        yield {"part": 1}, {}

    async def page() -> list[dict[str, Any]]:
        one = Page(answer)
        work = asyncio.create_task(one.desk.run())
        for number in range(3):  # faster than it rests: the long part is never begun
            one.desk.ask("a", number, {"what": "slow", "id": number})
            await asyncio.wait_for(one.until(number + 1), 20)
        await asyncio.sleep(2 * RESTED)
        assert [h["part"] for h in one.heard] == [0, 0, 0] and not ended
        one.desk.ask("a", 3, {"what": "quick", "id": 3})
        await asyncio.wait_for(one.until(6), 20)
        work.cancel()
        return one.heard

    heard = asyncio.run(page())
    assert ended == [2]
    last = [(h["number"], h.get("part"), h["done"]) for h in heard[3:]]
    assert last == [(3, 0, False), (3, 1, False), (3, None, True)]


def test_a_frame_waits_until_the_one_before_is_shown() -> None:
    def answer(question: Any) -> Iterator[Part]:
        for i in range(3):
            yield {"part": i}, {}

    async def page() -> tuple[int, int]:
        one = Page(answer, confirms=False)
        work = asyncio.create_task(one.desk.run())
        one.desk.ask("a", 1, {})
        await asyncio.wait_for(one.until(1), 20)
        await asyncio.sleep(0.2)
        before = len(one.heard)
        one.desk.confirm(one.heard[0]["frame"])
        await asyncio.wait_for(one.until(2), 20)
        work.cancel()
        return before, len(one.heard)

    assert asyncio.run(page()) == (1, 2)


@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_reaches_the_page_and_the_desk_goes_on(late: bool) -> None:
    def answer(question: Any) -> Iterator[Part]:
        if late or question["what"] == "bad":
            if late and question["what"] == "bad":
                yield {"part": 0}, {}
            if question["what"] == "bad":
                raise UsageError("there is no such thing")
        yield {"part": 1}, {}

    async def page() -> list[dict[str, Any]]:
        one = Page(answer)
        work = asyncio.create_task(one.desk.run())
        one.desk.ask("a", 1, {"what": "bad"})
        await asyncio.wait_for(one.until(1 + late), 20)
        one.desk.ask("a", 2, {"what": "good"})
        await asyncio.wait_for(one.until(3 + late), 20)
        work.cancel()
        return one.heard

    heard = asyncio.run(page())
    assert [h["error"] for h in heard if h["number"] == 1 and h["done"]] == [
        "there is no such thing"
    ]
    assert [h.get("part") for h in heard if h["number"] == 2] == [1, None]


def test_a_fault_of_ours_is_said_and_the_desk_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(question: Any) -> Iterator[Part]:
        yield {"value": 1 / question["by"]}, {}

    async def page() -> list[dict[str, Any]]:
        one = Page(answer)
        work = asyncio.create_task(one.desk.run())
        one.desk.ask("a", 1, {"by": 0})
        await asyncio.wait_for(one.until(1), 20)
        one.desk.ask("a", 2, {"by": 4})
        await asyncio.wait_for(one.until(3), 20)
        work.cancel()
        return one.heard

    heard = asyncio.run(page())
    assert heard[0]["done"] and "failed at this (ZeroDivisionError)" in heard[0]["error"]
    assert heard[1]["value"] == 0.25
    assert "division by zero" in capsys.readouterr().err
