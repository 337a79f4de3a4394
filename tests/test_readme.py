"""The README's Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert tuple(names["logits"].shape) == (1, 10)  # type: ignore[attr-defined]
    assert tuple(names["drops"].shape) == (7, 7)  # type: ignore[attr-defined]
    assert tuple(names["scores"].shape) == (1, 10, 57, 57)  # type: ignore[attr-defined]
    assert (tmp_path / "runs" / "digits-1" / "report.html").is_file()
