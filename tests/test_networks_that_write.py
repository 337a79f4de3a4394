"""Networks whose first step writes into its input: every analysis gives what it gives of a twin that takes a copy."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import striate
from striate.attribution import METHODS, attribute, curves, occlusion_map
from striate.attribution.randomisation import shuffled
from striate.diagnostics import check_gradients, initial_loss, overfit_batch
from striate.diagnostics.activation_hooks import responses
from striate.errors import StriateError
from striate.inference import witness
from striate.inference.dense import dense
from striate.inference.incremental import occlusion
from striate.inference.tiled import tiled
from striate.robustness import Context, Recorder
from striate.robustness.attack import fgsm, pgd
from striate.robustness.equivariance import layer_shifts
from striate.robustness.failure_localisation import margin_taken
from striate.robustness.separation import features_of
from striate.runs.probing import Mirrored
from striate.tasks.segment.task import Segment
from striate.training.divergence import first_non_finite_layer
from striate.training.loop import predict_logits

CLASSES = ("a", "b", "c")
LABELS = torch.tensor([0, 1, 2, 1])
ROOMS = (
    "attribution",
    "diagnostics",
    "inference",
    "robustness",
    "runs",
    "tasks",
    "training",
    "units",
)
# What modules are called by; a call of one on a tensor that somebody keeps is what is looked for.
MODULES = {"module", "model", "network"}


class Steps(nn.Module):
    """A function in place."""

    def __init__(self, step: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x)


def _rows(x: Tensor) -> Tensor:
    x[:, :, 1:].mul_(-0.7)
    return x


FIRST: dict[str, Callable[[], nn.Module]] = {
    "SELU": lambda: nn.SELU(inplace=True),
    "ReLU": lambda: nn.ReLU(inplace=True),
    "add": lambda: Steps(lambda x: x.add_(0.3)),
    "clamp": lambda: Steps(lambda x: x.clamp_(0.2, 0.6)),
    "rows": lambda: Steps(_rows),
}


class Copying(nn.Module):
    """The twin: its network gets a copy of whatever comes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x.clone())


def network(first: str, maps: bool = False) -> nn.Sequential:
    """A small classifier, or with `maps` logits of every pixel, behind a first step in place."""
    torch.manual_seed(0)
    body = [FIRST[first](), nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True)]
    head = [nn.Conv2d(4, 3, 1)] if maps else [
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 6), nn.ReLU(inplace=True), nn.Linear(6, 3),
    ]  # fmt: skip
    return nn.Sequential(*body, *head).eval()


def pictures() -> Tensor:
    return torch.rand(4, 2, 6, 8, generator=torch.Generator().manual_seed(1))


def _examined(module: nn.Module, x: Tensor) -> Any:
    recorder = Recorder(module)
    context = Context(module, x, LABELS, CLASSES, recorder=recorder)
    logits = [context.clean, context.logits(x), context.logits(x.flip(-1), note="mirrored")]
    assert recorder.clean is not None
    return logits, list(recorder.clean.responses.values()), list(recorder.movement().values())


def _margin(module: nn.Module, x: Tensor) -> Tensor:
    layer = next(m for m in module.modules() if isinstance(m, nn.Conv2d))
    return margin_taken(module, layer, x, x.flip(-1), LABELS)


def _curves(module: nn.Module, x: Tensor) -> Any:
    shown = torch.arange(48.0).view(6, 8)
    found = curves(module, x[:1], 1, {"map": shown}, baseline=torch.zeros(1, 1, 1, 1))
    return [(c.deletion, c.insertion) for c in found.values()]


def _heard(module: nn.Module, x: Tensor) -> list[Tensor]:
    heard: list[Tensor] = []
    for _ in range(2):
        responses(module, x, lambda sound: heard.append(sound.values.clone()))
    return heard


def _shuffled(module: nn.Module, x: Tensor) -> Tensor:
    with shuffled(module, x[:1], None, "all") as found:
        return attribute(found.module, x[:1], 0, "gradient").values


def _plain(module: nn.Module, x: Tensor) -> list[Tensor]:
    return [witness.plainly(module, x[:1]), witness.plainly(module, x[:1])]


def _not_finite(module: nn.Module, x: Tensor) -> Tensor:
    first_non_finite_layer(module, x)
    return x


LOOKS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    **{m: lambda module, x, m=m: attribute(module, x[:1], 1, m).values
       for m, row in METHODS.items() if m != "class-map" and not row.needs},
    "curves": _curves,
    "occlusion map of what cannot be traced": lambda module, x: occlusion_map(Untraced(module), x[0], 1, patch=2),
    "shuffled": _shuffled,
    "occlusion": lambda module, x: occlusion(module, x[0], 1, patch=2, stride=2),
    "tiled": lambda module, x: tiled(module, x[:1], tile=4),
    "dense": lambda module, x: dense(module, torch.cat([x[:1]] * 2, 3), window=(6, 8), stride=1),
    "witness": _plain,
    "context": _examined,
    "margin": _margin,
    "fgsm": lambda module, x: fgsm(module, x, LABELS, 0.1),
    "pgd": lambda module, x: pgd(module, x, LABELS, 0.1, steps=3),
    "features": lambda module, x: [features_of(module, x), features_of(module, x)],
    "shifts": lambda module, x: [(s.at_one, s.at_stride) for s in layer_shifts(module, x)],
    "initial loss": lambda module, x: [initial_loss(module, x, LABELS, 3).data["loss"] for _ in range(2)],
    "one batch": lambda module, x: overfit_batch(module, x, LABELS, steps=3, seconds=0).data["losses"],
    "gradients": lambda module, x: check_gradients(module, x, LABELS).tables[0].rows,
    "listening": _heard,
    "mirrored": lambda module, x: Mirrored(module)(x),
    "logits": lambda module, x: predict_logits(module, [x], dtype=torch.float32, flip=True),
    "not finite": _not_finite,
}  # fmt: skip


class Untraced(nn.Module):
    """Control flow that follows the pixels, which no trace can."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x) if float(x.detach().sum()) > -1e9 else x


def _looked(look: str, module: nn.Module, x: Tensor) -> Any:
    try:
        return LOOKS[look](module, x)
    except StriateError:
        return "refused"


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("look", LOOKS)
def test_a_first_step_in_place_changes_nothing(look: str, first: str) -> None:
    given = pictures()
    found = _looked(look, network(first), given)
    assert torch.equal(given, pictures())
    want = _looked(look, Copying(network(first)).eval(), pictures())
    ours, theirs = pytree.tree_flatten(found)[0], pytree.tree_flatten(want)[0]
    assert ours
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, (Tensor, float)):
            torch.testing.assert_close(one, other, equal_nan=True)
        elif not isinstance(one, str) or one == "refused":  # names of layers differ
            assert one == other


def test_maps_of_a_network_that_writes() -> None:
    masks = torch.zeros(4, 6, 8, dtype=torch.long)
    given = pictures()
    context = Context(network("add", maps=True), given, masks, CLASSES, task=Segment())
    want = network("add", maps=True)(pictures()).detach()
    torch.testing.assert_close(context.logits(given), want)
    torch.testing.assert_close(context.logits(given), want)


def runs_a_module(call: ast.Call) -> bool:
    """`module(x)`, `self.model(x)`, `trained.pixels(x)`; not `module(*inputs)`, which gives inputs away."""
    # What is computed in the call itself is nobody else's.
    plain = bool(call.args) and isinstance(call.args[0], ast.Name | ast.Attribute | ast.Subscript)
    if isinstance(call.func, ast.Attribute):
        named = isinstance(call.func.value, ast.Name)
        return plain and named and call.func.attr in MODULES | {"pixels"}
    return plain and isinstance(call.func, ast.Name) and call.func.id in MODULES


def outside_modules(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those of a module's own `forward`: what it is made of gets what it was given."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.FunctionDef) and node.name == "forward"):
            yield node
            yield from outside_modules(node)


def test_modules_are_run_in_one_place() -> None:
    """Whoever runs a module itself, and not by `borrow.forward`, forgets that it may write."""
    found = []
    for room in ROOMS:
        for path in sorted((Path(striate.__file__).parent / room).rglob("*.py")):
            found += [
                f"{room}/{path.name}:{node.lineno}"
                for node in outside_modules(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and runs_a_module(node)
            ]
    assert not found
