"""What `striate.ops` shows, and that it leans on nothing that it is there to check."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from striate import ops

FILES = sorted(Path(ops.__file__).parent.glob("*.py"))
MODULES = [path.stem for path in FILES if path.stem != "__init__"]
FORBIDDEN = {"torch.nn", "torch.nn.functional", "torchvision", "scipy.signal", "scipy.ndimage"}
FAST = ("conv", "pool", "norm", "unfold", "fold", "interpolate", "softmax", "dropout", "pixel_")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_kernel_of_torch_is_called(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & FORBIDDEN
        if isinstance(node, ast.ImportFrom):
            assert node.module not in FORBIDDEN
            assert not (node.module == "torch" and {a.name for a in node.names} & {"nn"})
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            torchs = node.value.id == "torch"
            assert not (torchs and node.attr.startswith(FAST)), f"{path.name}: torch.{node.attr}"
            assert not (torchs and node.attr == "nn"), f"{path.name}: torch.nn"


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_are_listed_and_documented(name: str) -> None:
    module = importlib.import_module(f"striate.ops.{name}")
    for attribute, value in vars(module).items():
        if attribute.startswith("_") or getattr(value, "__module__", "") != module.__name__:
            continue
        if not (inspect.isfunction(value) or inspect.isclass(value)):
            continue
        assert inspect.getdoc(value), f"{name}.{attribute} has no docstring"
        methods = vars(value).items() if inspect.isclass(value) else [("", value)]
        for method, function in methods:
            function = getattr(function, "__func__", function)
            if inspect.isfunction(function) and not method.startswith("_"):
                raises = "raise UsageError" in inspect.getsource(function)
                said = "UsageError" in (inspect.getdoc(function) or "")
                assert said or not raises, (
                    f"{name}.{attribute}.{method} does not say what it raises"
                )


def test_the_list_is_complete() -> None:
    assert len(set(ops.__all__)) == len(ops.__all__)
    assert all(hasattr(ops, name) for name in ops.__all__)
    shown = {
        n for n in vars(ops) if not n.startswith("_") and not inspect.ismodule(getattr(ops, n))
    }
    assert shown == set(ops.__all__)
