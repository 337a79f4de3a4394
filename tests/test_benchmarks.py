"""Benchmarks are run rarely, so that a name which has moved would be missed: each is held to what the library has."""

from __future__ import annotations

import ast
import importlib
import importlib.util
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


def test_the_table_is_made_of_what_benchmarks_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FILES[0].parent))
    spec = importlib.util.spec_from_file_location("collect", FILES[0].parent / "collect.py")
    assert spec is not None
    assert spec.loader is not None
    collect = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(collect)
    rounds = [{"striate": 2.0, "loop": 4.0}, {"striate": 4.0, "loop": 4.0}, {"striate": 2.5, "loop": 5.0}]  # fmt: skip
    collect.write(
        tmp_path / "results" / "a.json", name="predict", what="work", ours="striate", work=10, unit="images/s",
        rounds=rounds,
    )  # fmt: skip
    made = collect.table([tmp_path / "results" / "a.json"])
    row = (
        "| work (predict.py, 2 of 3 rounds) | loop: 2.2 (2.0 - 2.5) images/s | 4.5 (4.0 - 5.0) images/s "
        "| 2.00 (2.00 - 2.00)x |"
    )
    assert row in made.splitlines()
    page = f"before\n{collect.BEGIN}\nold\n{collect.END}\nafter\n"
    again = collect.replaced(page, made)
    assert "old" not in again
    assert again.startswith("before\n")
    assert again.endswith("after\n")
    assert row in again
    with pytest.raises(ValueError, match="write both lines"):
        collect.replaced("no marks", made)
