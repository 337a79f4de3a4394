"""Script: the program that uses an exported file with numpy, Pillow and onnxruntime alone, and its own reading of images."""

from __future__ import annotations

from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from striate.writing import write_atomically

SOURCE = Path(__file__).with_name("predict.py.txt")


def write_script(path: Path) -> None:
    """Write the program. Raises WriteError."""
    write_atomically(path, SOURCE.read_bytes())


@cache
def reader() -> Any:
    """The program as a module, whose `read(file, about)` every proof uses: so it is proven with the file."""
    loader = SourceFileLoader("striate_predict_script", str(SOURCE))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    exec(compile(SOURCE.read_text(encoding="utf-8"), str(SOURCE), "exec"), module.__dict__)
    return module
