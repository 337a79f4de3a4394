"""docs/ops.md: every block runs, and every public operation is on the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from striate import ops

PAGE = (Path(__file__).parents[2] / "docs" / "ops.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_block_runs() -> None:
    names: dict[str, Any] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"ops.md, block {number}", "exec"), names)


def test_every_operation_is_there() -> None:
    loops = {
        f for name in ("relu", "sigmoid", "tanh", "softmax") for f in (name, f"{name}_backward")
    }
    missing = {n for n in ops.__all__ if not re.search(rf"\b{n}\b", PAGE)} - loops
    assert not missing
