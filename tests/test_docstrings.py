"""Every public function and class that takes or returns tensors or arrays gives their shapes in its docstring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

STRIATE = Path(__file__).parents[1] / "src" / "striate"
FOLDERS = {str(path.parent.relative_to(STRIATE)) for path in STRIATE.rglob("*.py")} - {"."}
ROOMS = sorted(FOLDERS | {path.stem for path in STRIATE.glob("*.py")} - {"__init__", "__main__"})

ARRAY = re.compile(r"\b(Tensor|ndarray|NDArray)\b")
NAMED = (
    "axes|batch|channels|cols|columns|count|features|height|kernel|"
    "levels|out|pixels|positions|rows|size|units|width|windows"
)
SIZE = rf"(?:\*?(?:{NAMED}|[A-Za-z][A-Z]?\d?'?)'?|\.\.\.|\d+)"  # N, C1, KH, h, H', *size, 3
TERM = rf"{SIZE}(?: ?(?:[-+*/]|//) ?{SIZE})*"  # 2 * H - 1
# (N,), (N, K), (*size): a single word or number in brackets is none, as in "Zhang (2019)".
SHAPE = re.compile(
    rf"\({TERM}(?:,|(?:, {TERM})+)\)|\(\*\w+\)|\bscalars?\b|\bsame shape\b|\bany shape\b"
)


def definitions(path: Path) -> dict[str, ast.stmt]:
    """The functions and classes at the top level of a file, by name."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def public(room: str) -> Iterator[tuple[str, ast.stmt]]:
    """What the `__init__` of a room hands out; of a file, or a room that names nothing, every name without an underscore."""
    folder = STRIATE / room
    if not folder.is_dir():
        paths = [folder.with_suffix(".py")]
    else:
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        exported = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("striate.")
            for alias in node.names
        }
        for name, (module, original) in sorted(exported.items()):
            path = STRIATE.parent / Path(*module.split(".")).with_suffix(".py")
            if path.exists() and original in (inside := definitions(path)):
                yield name, inside[original]
        paths = [] if exported else sorted(folder.glob("*.py"))
    for path in paths:
        yield from (
            (f"{path.stem}.{name}", node)
            for name, node in definitions(path).items()
            if name[0] != "_"
        )


def described(node: ast.stmt) -> tuple[str, str]:
    """Signature and docstring of a function; of a class its fields and constructor, and what it says where it is called."""
    if isinstance(node, ast.FunctionDef):
        return signature(node), ast.get_docstring(node) or ""
    assert isinstance(node, ast.ClassDef)
    fields = [ast.unparse(part.annotation) for part in node.body if isinstance(part, ast.AnnAssign)]
    called = [
        part
        for part in node.body
        if isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__call__", "forward")
    ]
    texts = [ast.get_docstring(part) or "" for part in [node, *called]]
    return " ".join(fields + [signature(part) for part in called]), "\n".join(texts)


def signature(node: ast.FunctionDef) -> str:
    given = [
        *node.args.posonlyargs,
        *node.args.args,
        *node.args.kwonlyargs,
        node.args.vararg,
        node.args.kwarg,
    ]
    notes = [part.annotation for part in given if part is not None] + [node.returns]
    return " ".join(ast.unparse(note) for note in notes if note is not None)


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_that_handle_arrays_give_their_shapes(room):
    missing = []
    for name, node in public(room):
        types, text = described(node)
        if ARRAY.search(types) and not SHAPE.search(" ".join(text.split())):
            missing.append(name)
    assert missing == [], (
        f"{room}: no shape such as (N, C, H, W) in the docstring of {', '.join(missing)}"
    )
