"""The import contract of the design: every room imports only what lies below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from striate.cli.app import ORDER

SOURCE = Path(__file__).parents[1] / "src" / "striate"

BOTTOM = {  # what is given, written and read
    "documents",
    "files",
    "paths",
    "ranges",
    "reading",
    "schema",
    "writing",
}
BASE = {"errors"} | BOTTOM
FOUND = BASE | {"findings", "figures", "borrow", "wording"}
ANALYSIS = FOUND | {"answer", "geometry", "inference", "statistics", "wording"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"wording"},
    "answer": {"errors"},
    "documents": {"wording"},
    "reading": {"files"},
    "schema": set(),
    "paths": {"errors"},
    "ranges": {"errors"},
    "writing": {"errors"},
    "borrow": BASE,
    "files": set(),
    "findings": BASE,
    "figures": {"findings", "wording"},
    "memory": set(),
    "kernels": set(),
    "wording": set(),
    "plugins": BASE,
    "pictures": FOUND,
    "images": {"errors", "files"},
    "ops": BASE,
    "nn": BASE,
    "geometry": FOUND,
    "models": {"errors", "memory", "borrow", "nn", "plugins", "wording"},
    "inference": BASE | {"answer", "borrow", "geometry", "images", "memory"},
    "volumes": BASE | {"wording"},
    "data": FOUND | {"images", "plugins", "volumes", "wording"},
    "statistics": FOUND | {"wording"},
    "training": BASE | {"answer", "borrow", "data", "findings", "memory", "wording"},
    "tasks": ANALYSIS
    | {"data", "images", "memory", "models", "pictures", "plugins", "training", "units"},
    "gallery": ANALYSIS | {"data", "images", "pictures", "tasks", "training"},
    "runs": ANALYSIS
    | {
        "export",
        "gallery",
        "attribution",
        "units",
        "similarity",
        "robustness",
        "diagnostics",
        "memory",
        "models",
        "data",
        "paths",
        "ranges",
        "training",
        "tasks",
        "report",
        "volumes",
    },
    "attribution": ANALYSIS | {"plugins"},
    "units": ANALYSIS | {"attribution", "kernels"},
    "similarity": ANALYSIS | {"attribution", "units"},
    "robustness": ANALYSIS
    | {"plugins", "similarity", "tasks", "training"},  # of training what a batch is
    "diagnostics": ANALYSIS | {"kernels", "training"},
    "report": FOUND | {"wording"},
    "export": FOUND | {"answer", "data", "geometry", "images", "statistics", "tasks"},
    "lectures": FOUND | {"ops", "nn", "geometry", "models", "data"},
}
MAY_IMPORT["api"] = MAY_IMPORT["runs"] | {"runs", "export", "lectures", "experiments"}
MAY_IMPORT["experiments"] = set(MAY_IMPORT)  # everything below studio and cli
TOP = {"studio", "cli", "__init__", "__main__"}  # may import everything
NO_TORCH = BOTTOM | {"errors", "findings", "figures", "report", "wording"}


def room(path: Path) -> str:
    if path.is_relative_to(SOURCE / "lectures" / "experiments"):
        return "experiments"
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, at any depth in the file, TYPE_CHECKING blocks included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_room_imports_only_what_lies_below(path: Path) -> None:
    here = room(path)
    if here in TOP:
        return
    assert here in MAY_IMPORT, f"{here} is a new room: give it a line in the table"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "striate" or len(parts) == 1:
            continue
        assert parts[1] == here or parts[1] in MAY_IMPORT[here], f"{here} must not import {name}"


def module_of(path: Path) -> str:
    return ".".join(("striate", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


def needed(path: Path) -> set[str]:
    """Files that a file imports when it runs, or later in a function; not what type checkers alone read."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node not in typing and isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # A name of a package may be a file of it; else the package's own file is meant.
            found |= {name if name in MODULES else str(node.module) for name in names}
        elif node not in typing and isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES - {module_of(path)}


MODULES = {module_of(path) for path in FILES}
CLI_NEEDS = {"cli", "api", "documents", "errors", "findings", "report", "wording"}


@pytest.mark.parametrize("path", [f for f in FILES if room(f) == "cli"], ids=lambda p: p.stem)
def test_the_command_line_calls_the_public_functions_and_nothing_else(path: Path) -> None:
    rooms = {name.split(".")[1] for name in needed(path) if name.startswith("striate.")}
    needs = CLI_NEEDS | {"studio"} if path.stem in ("studio", "reviewing") else CLI_NEEDS
    assert rooms <= needs, rooms - needs


@pytest.mark.parametrize("verb", ["", *sorted(ORDER)])
def test_help_does_not_import_torch(verb: str) -> None:
    code = (
        "import sys; from striate.cli import main\n"
        f"try: main([*{verb!r}.split(), '--help'])\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'timm', 'torchvision', 'matplotlib', 'sklearn', 'numpy', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_no_files_import_each_other_in_a_circle() -> None:
    left = {module_of(path): needed(path) for path in FILES}
    while free := [name for name, names in left.items() if not names & left.keys()]:
        for name in free:
            del left[name]
    # What is left waits for something in a circle: show one of them.
    circle, at = [], next(iter(sorted(left)), None)
    while at is not None and at not in circle:
        circle.append(at)
        at = sorted(left[at] & left.keys())[0]
    assert not left, " -> ".join([*circle, str(at)])


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in NO_TORCH], ids=lambda p: p.stem)
def test_report_and_findings_never_import_torch(path: Path) -> None:
    assert not any(name.split(".")[0] in {"torch", "torchvision", "timm"} for name in imports(path))


def open_files(package: str) -> set[str]:
    """The files that a room's `__init__` lists in `OPEN`, by their full names."""
    tree = ast.parse(
        (SOURCE / Path(*package.split(".")[1:]) / "__init__.py").read_text(encoding="utf-8")
    )
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "OPEN":
            return {f"{package}.{name}" for name in ast.literal_eval(node.value)}
    return set()


HOMES = {module_of(path): room(path) for path in FILES}
PACKAGES = {"striate.lectures.experiments": "experiments"} | {
    f"striate.{path.parent.name}": path.parent.name for path in SOURCE.glob("*/__init__.py")
}


def test_a_room_is_entered_by_its_door() -> None:
    """Other rooms import what a room's `__init__` names: public names, or the files in its OPEN, all of which are in use."""
    entered: set[str] = set()
    for path in FILES:
        for name in imports(path):
            module = name if name in MODULES else name.rsplit(".", 1)[0]
            if module in MODULES and HOMES[module] != room(path):
                entered.add(module)
    inside = {name for name in entered if HOMES[name] in PACKAGES.values() and name not in PACKAGES}
    assert inside == set().union(*map(open_files, PACKAGES))
