"""Every block of docs/extend.md runs, in order, and is short."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.runs import Run

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_block_is_under_20_lines() -> None:
    assert len(BLOCKS) >= 6
    code = [[line for line in block.splitlines() if line.strip()] for block in BLOCKS]
    assert max(map(len, code)) < 20


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"extend.md, block {number}", "exec"), names)
    runs = [
        Run.load(tmp_path / "runs" / n, model=names["tiny"]) for n in ("tiny", "own", "brightness")
    ]
    assert all(run.finished and (run.path / "report.html").is_file() for run in runs)
    tiny, own, brightness = runs
    x = torch.ones(1, 1, 8, 8)
    assert torch.equal(names["again"].model(x), tiny.model(x))
    assert own.info["own"]["loss"].endswith("focal")
    assert own.classes == ("dark", "light")
    assert names["probed"][0].name == "probe-upside-down"
    assert (names["found"].shown >= 0).all()
    assert 0 < brightness.info["results"]["closeness"] <= 1
