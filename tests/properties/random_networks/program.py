"""Program: a network as data, rendered to readable source and run."""

from __future__ import annotations

import random
import re
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from random_networks.drawing import Draw, Unfit
from random_networks.operations import (
    AXES_ENDINGS,
    AXES_SHARES,
    ENDINGS,
    EVERY,
    EVERY_ENDING,
    FIRST,
    SHARES,
    STRUCTURED,
)

PRELUDE = """import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import torch
import torch.fx
import torch.nn.functional as F
import torch.utils.checkpoint
import torchvision as tv
from torch import nn

Result = namedtuple("Result", ["logits", "features"])


@dataclass
class Output:
    logits: object
    features: object = None


class Mapping(dict):
    pass
"""
LARGEST = 6000  # numbers of a value: many networks a second matter more than large ones
WEIGHTS = 60_000  # numbers of all parameters
INDENT = " " * 8
AUTOCAST = "with torch.autocast('cpu', dtype=torch.bfloat16):"
# Kinds of networks beside the plain ones: images of one axis and of three, bfloat16 inside, results in classes of their
# own, and a first step that writes into the image.
FORMS = ("plain", "one axis", "three axes", "autocast", "structured", "in place")


@dataclass(frozen=True)
class Step:
    """One operation by name, and the seed of what it draws."""

    kind: str
    seed: int


@dataclass(frozen=True)
class Program:
    """A network for images of `shape` (N, C, *axes): its steps, and how it ends. form: one of FORMS."""

    seed: int
    shape: tuple[int, ...]
    steps: tuple[Step, ...]
    ending: Step
    form: str = "plain"

    @property
    def dtype(self) -> torch.dtype:
        """What its images hold: autocast leaves float64 as it is."""
        return torch.float32 if self.form == "autocast" else torch.float64

    def without(self, place: int) -> Program:
        """The program with one step less."""
        return replace(self, steps=self.steps[:place] + self.steps[place + 1 :])


@dataclass
class Built:
    """A program that runs: its source, its module (float64, evaluation mode), and the steps that fitted."""

    program: Program
    source: str
    module: nn.Module
    kinds: tuple[str, ...] = ()
    exact: bool = True  # all of it in float64
    namespace: dict[str, Any] = field(default_factory=dict, repr=False)


def form_of(seed: int) -> str:
    """The form of a seed where forms are mixed: seven of ten are plain."""
    rng = random.Random(f"form {seed}")
    return "plain" if rng.random() < 0.7 else rng.choice(FORMS[1:])


def draw(seed: int, form: str = "plain") -> Program:
    """A random program; `mixed` forms are drawn by the seed."""
    form = form_of(seed) if form == "mixed" else form
    rng = random.Random(seed)
    if "axis" in form or "axes" in form:
        return _draw_axes(seed, form, rng)
    small = rng.random() < 0.15
    low, high = (1, 8) if small else (7, 22)
    shape = (
        1 if rng.random() < 0.9 else 2,
        rng.randint(1, 4),
        rng.randint(low, high),
        rng.randint(low, high),
    )
    if rng.random() < 0.1:
        shape = (*shape[:3], rng.randint(20, 40))
    steps = _steps(rng, SHARES)
    ending = Step(rng.choice(list(ENDINGS)), rng.randrange(10**6))
    if form == "structured":
        ending = Step(rng.choice(list(STRUCTURED)), rng.randrange(10**6))
    if form == "in place":
        steps.insert(0, Step(rng.choice(list(FIRST)), rng.randrange(10**6)))
    return Program(seed, shape, tuple(steps), ending, form)


def _draw_axes(seed: int, form: str, rng: random.Random) -> Program:
    """A program for signals or volumes."""
    sides = [rng.randint(5, 40)] if form == "one axis" else [rng.randint(3, 9) for _ in range(3)]
    shape = (1 if rng.random() < 0.9 else 2, rng.randint(1, 3), *sides)
    endings = [*AXES_ENDINGS] * 3 + [
        "plain",
        "pair",
        "mapping",
        "flattened",
        "scalar",
        "saved_and_last",
    ]
    steps = _steps(rng, AXES_SHARES)
    return Program(seed, shape, tuple(steps), Step(rng.choice(endings), rng.randrange(10**6)), form)


def _steps(rng: random.Random, shares: Any) -> list[Step]:
    families, weights = zip(*shares, strict=True)
    steps = []
    for _ in range(rng.randint(1, 6)):
        (family,) = rng.choices(families, weights)
        steps.append(Step(rng.choice(list(family)), rng.randrange(10**6)))
    return steps


def build(program: Program) -> Built:
    """Render the program; a step that does not fit is left out. Raises Unfit if nothing is left that runs."""
    rng = torch.Generator().manual_seed(program.seed)
    image = torch.randn(program.shape, generator=rng, dtype=torch.float64)
    owner = nn.Module()
    namespace: dict[str, Any] = {}
    exec(PRELUDE, namespace)
    namespace |= {"self": owner, "x": image}
    saved: dict[str, tuple[int, ...]] = {}
    made: list[str] = []
    lines: list[str] = []
    kept: list[Step] = []
    ending: Step | None = None
    for number, step in enumerate([*program.steps, program.ending]):
        last = number == len(program.steps)
        write = EVERY_ENDING[step.kind] if last else EVERY[step.kind]
        x = namespace["x"]
        one = Draw(step.seed, tuple(x.shape), saved, number)
        try:
            write(one)
            after = _tried(one, namespace, owner, last)
        except Unfit:
            if not last:
                continue
            step = Step("plain", 0)
            one = Draw(0, tuple(x.shape), saved, number)
            EVERY_ENDING["plain"](one)
            after = {}
        if last:
            ending = step
        else:
            kept.append(step)
        made += _seeded(one)
        lines += one.lines
        saved |= {k: tuple(v.shape) for k, v in after.items() if re.fullmatch(r"s\d+", k)}
        if not last:
            lines += _scaled(after)
        namespace |= after
    assert ending is not None
    used = replace(program, steps=tuple(kept), ending=ending)
    if program.form == "autocast":
        lines = [AUTOCAST, *(f"    {line}" for part in lines for line in part.split("\n"))]
    source = source_of(made, lines)
    return load(source, used)


def load(source: str, program: Program) -> Built:
    """The module of a source."""
    namespace: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        exec(source, namespace)
        module = namespace["Network"]().to(program.dtype).eval()
    exact = not re.search(
        r"float\(\)|half|float16|float32|autocast", source.split("def forward", 1)[1]
    )
    kinds = (*[s.kind for s in program.steps], program.ending.kind)
    return Built(program, source, module, kinds, exact, namespace)


def image_of(program: Program, shape: tuple[int, ...] | None = None, seed: int = 0) -> Tensor:
    """Images for it, float64."""
    generator = torch.Generator().manual_seed(program.seed + 7919 * (seed + 1))
    found = torch.randn(shape or program.shape, generator=generator, dtype=torch.float64)
    return found.to(program.dtype)


def _tried(one: Draw, namespace: dict[str, Any], owner: nn.Module, last: bool) -> dict[str, Any]:
    """The variables after the lines of a step; Unfit where they do not run or grow too much."""
    before = {k: v for k, v in namespace.items() if isinstance(v, Tensor)}
    inner = namespace | {k: v.clone() for k, v in before.items()}
    names = set(owner.__dict__) | set(owner._modules) | set(owner._parameters) | set(owner._buffers)
    try:
        with torch.no_grad(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            exec("\n".join(_seeded(one)), inner)
            owner.double().eval()
            if sum(p.numel() for p in owner.parameters() if not is_lazy(p)) > WEIGHTS:
                raise Unfit
            exec(
                "\n".join(
                    line.replace("return", "result =") if last else line for line in one.lines
                ),
                inner,
            )
    except Exception as error:
        _taken_back(owner, names)
        if isinstance(error, (SyntaxError, NameError)):  # a slip of ours
            raise
        raise Unfit from error
    after = {k: v for k, v in inner.items() if k == "x" or re.fullmatch(r"s\d+", k)}
    if not last and not all(_good(v) for v in after.values()):
        _taken_back(owner, names)
        raise Unfit
    return after


def _good(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.dtype == torch.float64
        and 0 < value.numel() <= LARGEST
        and 1 <= value.dim() <= 6
        and bool(torch.isfinite(value).all())
    )


def _taken_back(owner: nn.Module, names: set[str]) -> None:
    for table in (owner._modules, owner._parameters, owner._buffers, owner.__dict__):
        for name in [n for n in table if n not in names]:
            del table[name]


def _seeded(one: Draw) -> list[str]:
    """Lines of `__init__`, reproducible by themselves."""
    return [f"torch.manual_seed({one.seed})", *one.made] if one.made else []


def _scaled(after: dict[str, Any]) -> list[str]:
    """A factor that keeps the numbers of a value near 1."""
    size = float(after["x"].abs().max())
    if 0.02 < size < 50 or size == 0:
        return []
    factor = float(f"{1 / size:.1g}")
    after["x"] = after["x"] * factor
    return [f"x = x * {factor}"]


def source_of(made: list[str], lines: list[str]) -> str:
    """A module from the lines of its `__init__` and its `forward`."""
    init = "\n".join(INDENT + line for line in ["super().__init__()", *made])
    forward = "\n".join(INDENT + line for part in lines for line in part.split("\n"))
    return (
        f"{PRELUDE}\n\nclass Network(nn.Module):\n    def __init__(self):\n{init}\n\n"
        f"    def forward(self, x):\n{forward}\n"
    )
