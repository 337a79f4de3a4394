"""The Python of docs/tiled.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tifffile

PAGE = Path(__file__).parents[3] / "docs" / "tiled.md"


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "tiled.md", "exec"), names)
    assert names["certificate"].exact  # type: ignore[attr-defined]
    assert tifffile.imread(tmp_path / "classes.tif").dtype == "uint8"
