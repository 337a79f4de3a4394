"""docs/patterns.md: its code runs, and its LeNet has the parameters that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "patterns.md").read_text(encoding="utf-8")


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(block, "patterns.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "61706"
    assert "# 61,706" in block
