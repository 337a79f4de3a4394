"""What each command imports: none waits for more than it uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.documents import from_json
from striate.runs.counting import own_lists
from striate.runs.listing import LISTED

# Modules that take a second or more, in which nothing is that these commands use.
NEVER = {
    "timm",
    "torchvision",
    "torch._dynamo",
    "torch._inductor",
    "torch.onnx",
    "sympy",
    "sklearn",
}
NEVER |= {"scipy.stats"}
ARRAYS = {"torch", "numpy", "scipy", "matplotlib", "PIL"}
# What opens runs, reads images and writes pages, which the structure of a network does without.
ROOMS = {"striate.runs.run", "striate.tasks.task", "striate.data.source", "striate.report.page"}

CODE = """
import sys
from striate.cli import main
try:
    main(sys.argv[2:])
except SystemExit as stop:
    assert not stop.code, stop.code
found = set(sys.argv[1].split(",")) & set(sys.modules)
assert not found, sorted(found)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the default network for photographs, and a photograph beside it."""
    folder = tmp_path_factory.mktemp("start")
    rng = np.random.default_rng(0)
    for kind, level in (("dark", 40), ("light", 200)):
        (folder / "photos" / kind).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(level - 30, level + 30, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / kind / f"{i}.jpg")
    made = striate.train(
        folder / "photos", model="efficientnet-lite0", size=32, epochs=1, out=folder / "run"
    )
    return made.path


def check(never: set[str], *arguments: str) -> None:
    """Run a command in a process of its own, which must not have imported any of `never`."""
    code = [sys.executable, "-c", CODE, ",".join(sorted(never))]
    done = subprocess.run([*code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["--help", "models", "data", "models resnet --format json"])
def test_lists_do_without_torch(command: str) -> None:
    check(NEVER | ARRAYS, *command.split())


@pytest.mark.parametrize("spec", ["resnet50", "efficientnet-lite0", "googlenet"])
def test_a_summary_imports_torch_alone(spec: str) -> None:
    check(NEVER | ROOMS | {"scipy", "matplotlib", "PIL", "jinja2"}, "summary", spec)


def test_a_prediction_imports_torch_alone(run: Path) -> None:
    image = run.parent / "photos" / "dark" / "0.jpg"
    never = {"scipy", "matplotlib", "jinja2", "striate.geometry", "striate.inference.tiled"}
    check(NEVER | never, "predict", str(run), str(image))


def test_a_report_of_a_run_imports_no_other_tools(run: Path) -> None:
    check(NEVER - {"scipy.stats", "sklearn"}, "report", str(run))


def test_an_explanation_imports_no_other_tools(run: Path) -> None:
    image = run.parent / "photos" / "dark" / "0.jpg"
    out = str(run.parent / "maps.png")
    check(NEVER, "explain", str(run), str(image), "-m", "gradient", "--no-trust", "-o", out)


def test_the_lists_are_what_is_counted() -> None:
    """`python -m striate.runs.listing` writes them again."""
    assert from_json(LISTED.read_text(encoding="utf-8")) == own_lists()


def test_listed_sources_are_those_of_the_tasks() -> None:
    from striate.runs.listing import list_sources
    from striate.tasks.table import sources

    assert list_sources() == sources()


def test_names_that_are_imported_later_are_listed() -> None:
    from striate import api

    assert set(api.__all__) <= set(dir(api))
