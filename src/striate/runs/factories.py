"""Factories: what makes a network that Striate does not know, as a module, a function, or `FILE.py:FUNCTION`."""

from __future__ import annotations

import ast
import copy
import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from striate.documents import from_json
from striate.errors import UsageError
from striate.files import read_regular
from striate.paths import given_path

Factory = nn.Module | Callable[[], nn.Module]
FORM = (
    "write FILE.py:FUNCTION or package.module:FUNCTION, such as net.py:build or "
    "'torchvision.models:resnet18(num_classes=10)'"
)


def find_preset(where: str, name: str) -> Any:
    """The preprocessing that a name in a package leads to, such as `ResNet18_Weights.DEFAULT` of `torchvision.models`.

    Of weights their transforms are taken, and of a function what it returns. Raises UsageError where there is none, and for
    a function that raises.
    """
    found: Any = _from_file(Path(where)) if where.endswith(".py") else _from_package(where)
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            raise UsageError(
                f"{where}:{name} has no {part}{f'; did you mean {near[0]}?' if near else ''}"
            )
        found = getattr(found, part)
    if callable(getattr(found, "transforms", None)):
        found = found.transforms
    if inspect.isfunction(found) or inspect.ismethod(found) or isinstance(found, partial):
        try:
            return found()
        except Exception as error:
            raise UsageError(
                f"{where}:{name} raised {type(error).__name__} when it was called without arguments: {error}"
            ) from error
    return found


def find_factory(text: str) -> Callable[[], nn.Module]:
    """The function that `FILE.py:FUNCTION` or `package.module:FUNCTION` names; literal arguments may follow it.

    The file is imported, which runs it: only ever what a person names. Raises UsageError for a file or a name that does not
    exist, and for a file that raises.
    """
    where, colon, call = text.rpartition(":")
    if not colon or not where or not call:
        raise UsageError(f"cannot tell what makes the network in {text!r}; {FORM}")
    name, arguments = _called(call, text)
    module = _from_file(Path(where)) if where.endswith(".py") else _from_package(where)
    found = getattr(module, name, None)
    if found is None:
        near = difflib.get_close_matches(name, dir(module), n=1)
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names[:10])}"
        raise UsageError(f"{where} has no {name}; {hint}")
    if isinstance(found, nn.Module):
        return lambda: copy.deepcopy(found)
    if not callable(found):
        raise UsageError(
            f"{where}:{name} is {type(found).__name__}, not a function that makes the network"
        )
    return partial(found, **arguments)


def _called(call: str, text: str) -> tuple[str, dict[str, Any]]:
    """The name and the literal arguments of `build` or `build(num_classes=10)`."""
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        pass
    raise UsageError(f"cannot tell what makes the network in {text!r}; {FORM}")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}; {FORM}")
    spec = importlib.util.spec_from_file_location(f"striate_own_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up
    sys.path.insert(0, str(path.resolve().parent))  # its neighbours may be imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a file of somebody else raises
        raise UsageError(
            f"{path} cannot be imported: {type(error).__name__}: {error}; mend it, or give a file that only "
            "defines the network"
        ) from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _from_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UsageError(
            f"{name} cannot be imported: {type(error).__name__}: {error}; {FORM}"
        ) from error


def read_preprocessing(text: str) -> Any:
    """What `--preprocessing` names: a preset of torchvision, a file of timm's, or three things. Raises UsageError."""
    path = given_path(text, "--preprocessing")
    if path.suffix == ".json":
        try:
            return from_json(read_regular(path))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot read {path}: {error}; it holds timm's data config as JSON"
            ) from error
    if text.count("/") == 2 and ":" not in text:
        size, mean, std = text.split("/")
        try:
            sides = [int(n) for n in size.lower().split("x")]
            values = [[float(v) for v in part.split(",")] for part in (mean, std)]
        except ValueError as error:
            raise UsageError(
                f"--preprocessing SIZE/MEAN/STD such as 224/0.485,0.456,0.406/0.229,0.224,0.225, got {text!r}"
            ) from error
        mean_std = [v[0] if len(v) == 1 else v for v in values]
        return (sides[0] if len(sides) == 1 else sides, *mean_std)
    where, colon, name = text.rpartition(":")
    if not colon:
        raise UsageError(
            f"--preprocessing is torchvision.models:ResNet18_Weights.DEFAULT, FILE.json or SIZE/MEAN/STD, got {text!r}"
        )
    return find_preset(where, name)
