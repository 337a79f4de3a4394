"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
EXAMPLES = sorted(
    path.relative_to(SOURCE)
    for path in (SOURCE / "striate").rglob("*.py")
    if re.search(r"^\s*>>> (?!.*\+SKIP)", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_examples_in_docstrings(path: Path) -> None:
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    found = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
        raise_on_error=False,
    )
    assert found.attempted and not found.failed
