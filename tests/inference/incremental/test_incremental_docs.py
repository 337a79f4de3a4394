"""The Python of docs/occlusion.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "occlusion.md"


def test_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    assert names["by_sticker"].shape == (6,)
    assert names["by_pixel"].shape == (32, 32)
    assert names["now"].shape == (1,)
