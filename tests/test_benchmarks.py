"""Benchmarks are run rarely, so that a name which has moved would be missed: each is held to what the library has."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_benchmark_names_only_what_there_is(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "striate":
            module = importlib.import_module(str(node.module))
            missing = [a.name for a in node.names if not _has(module, a.name)]
            assert not missing, f"{node.module} has no {', '.join(missing)}"


def _has(module: object, name: str) -> bool:
    """Whether a module has this name or this submodule."""
    if hasattr(module, name):
        return True
    try:
        importlib.import_module(f"{module.__name__}.{name}")  # type: ignore[attr-defined]
    except ModuleNotFoundError:
        return False
    return True
