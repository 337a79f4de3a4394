"""Every model of timm and torchvision: does the trace follow it, and leave it as it was?

    python benchmarks/every_model.py [--library timm|torchvision] [--part 1/4] [--match REGEX] [--out every_model.jsonl]

Each model is built without memory, run once on meta tensors as it is, then given memory and traced, in evaluation and in
training form. Held are: the trace works wherever the plain run does, the outputs have the same shapes, and afterwards
every parameter and buffer has the same bits and version, every submodule the same mode, attributes and hooks, and the
random generators the same state. A line of JSON a model goes to --out; names that stand there already are skipped, so
that an interrupted pass goes on. Exit status 1 if any model fails.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision.models as torchvision
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from striate.errors import GeometryError
from striate.geometry import Geometry, trace

CLIPS = {"mvit": (16, 224, 224), "swin3d": (16, 224, 224), "s3d": (16, 224, 224), "r3d": (16, 112, 112),
         "mc3": (16, 112, 112), "r2plus1d": (16, 112, 112)}  # fmt: skip


class OnMeta(TorchFunctionMode):
    """Builds parameters without memory, but leaves the small tables that a constructor computes with."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.ones, torch.zeros):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def names(library: str) -> list[str]:
    return timm.list_models() if library == "timm" else torchvision.list_models()


def built(library: str, name: str) -> tuple[nn.Module, Any]:
    """A model without memory, and the shape of its input (of a batch of two)."""
    if library == "timm":
        with torch.device("meta"):
            module = timm.create_model(name)
        return module, (2, *module.default_cfg["input_size"])
    builder = torchvision.get_model_builder(name)
    backbone = {"weights_backbone": None} if "weights_backbone" in builder.__annotations__ else {}
    with OnMeta():
        module = builder(weights=None, **backbone)
    for prefix, clip in CLIPS.items():
        if name.startswith(prefix):
            return module, (2, 3, *clip)
    if name.startswith("raft"):
        return module, [(1, 3, 128, 256)] * 2
    size = 299 if name.startswith("inception") else 224
    return module, (2, 3, size, size)


def shapes(result: Any) -> list[tuple[int, ...] | None]:
    leaves = pytree.tree_leaves(result)
    return [tuple(leaf.shape) if isinstance(leaf, Tensor) else None for leaf in leaves]


def plain(module: nn.Module, shape: Any) -> list[tuple[int, ...] | None] | str:
    """Shapes that the model returns on meta tensors, or why it does not run."""
    several = isinstance(shape, list)
    try:
        with torch.no_grad():
            args = [torch.empty(s, device="meta") for s in (shape if several else [shape])]
            return shapes(module(*args))
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def traced_shapes(geometry: Geometry) -> list[tuple[int, ...] | None]:
    return [None if i is None else geometry.values[i].shape for i in geometry.outputs]


def give_memory(module: nn.Module) -> None:
    """Replace the meta tensors by numbers that differ from what an update would write."""
    module.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.fill_(1 if not tensor.is_floating_point() else 0.37)


def state(module: nn.Module) -> dict[str, Any]:
    """Everything that a trace could change, in a form that compares by ==."""
    found: dict[str, Any] = {}
    for path, sub in module.named_modules():
        for key, value in sub.__dict__.items():
            held = isinstance(value, (dict, list, set))
            found[f"{path}.{key}"] = (
                [id(v) for v in (value.values() if isinstance(value, dict) else value)]
                if held
                else value
                if isinstance(value, (bool, int, float, str))
                else id(value)
            )
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        bits = 0
        if tensor.device.type != "meta" and tensor.numel():
            flat = tensor.detach().contiguous().view(-1)
            bits = int(
                flat.view(
                    {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize]
                ).sum()
            )
        found[f"{name} (tensor)"] = (
            id(tensor),
            tensor._version,
            tensor.requires_grad,
            id(tensor.grad),
            bits,
        )
    found["global hooks"] = [
        len(hooks)
        for hooks in (
            torch_module._global_forward_hooks,
            torch_module._global_forward_pre_hooks,
            torch_module._global_backward_hooks,
        )
    ]
    found["random"] = (
        torch.get_rng_state().numpy().tobytes(), random.getstate(), np.random.get_state()[1].tobytes()
    )  # fmt: skip
    return found


def check(library: str, name: str, most: int) -> dict[str, Any]:
    """What was found for one model; `faults` is empty if all holds."""
    row: dict[str, Any] = {"library": library, "model": name, "faults": []}
    try:
        module, shape = built(library, name)
    except Exception as error:
        row["not built"] = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        return row
    row["parameters"] = sum(p.numel() for p in module.parameters())
    wanted = {training: plain(module.train(training), shape) for training in (False, True)}
    if row["parameters"] <= most:
        give_memory(module)
    for training in (False, True):
        form = "training" if training else "evaluation"
        module.train(training)
        before = state(module)
        start = time.perf_counter()
        try:
            geometry: Geometry | None = trace(module, shape)
        except GeometryError as error:
            geometry = None
            row[f"{form} refused"] = str(error)
        except Exception as error:
            geometry = None
            row["faults"].append(f"{form}: {type(error).__name__}: {error}")
        row[f"{form} ms"] = round(1e3 * (time.perf_counter() - start))
        after = state(module)
        changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        if changed:
            row["faults"].append(f"{form}: the trace changed {sorted(changed)[:3]}")
        want = wanted[training]
        if isinstance(want, str):
            row[f"{form} plain run"] = want
        elif geometry is None:
            row["faults"].append(f"{form}: runs on meta, but the trace refuses it")
        elif traced_shapes(geometry) != want:
            row["faults"].append(f"{form}: returns {want}, traced {traced_shapes(geometry)}")
        if geometry is not None:
            row[f"{form} unknown"] = sorted({x.op for x in geometry if x.macs is None})
            row[f"{form} global"] = sorted(
                {r.op for r in geometry.records if r.plan.kind == "global"}
            )
            row[f"{form} multiply-adds"] = geometry.known_macs
    return row


def wanted(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    done = set()
    if args.out.exists():
        done = {
            (r["library"], r["model"]) for r in map(json.loads, args.out.read_text().splitlines())
        }
    part, parts = map(int, args.part.split("/"))
    for library in [args.library] if args.library else ["torchvision", "timm"]:
        for name in names(library)[part - 1 :: parts]:
            if re.search(args.match, name) and (library, name) not in done:
                yield library, name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", choices=("timm", "torchvision"))
    parser.add_argument(
        "--part", default="1/1", help="such as 2/4: every fourth model, from the second on"
    )
    parser.add_argument(
        "--match", default="", help="only models whose name holds this regular expression"
    )
    parser.add_argument("--out", type=Path, default=Path("every_model.jsonl"))
    parser.add_argument(
        "--most",
        type=int,
        default=300_000_000,
        help="parameters of a model that is given memory; larger ones are traced on meta",
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with args.out.open("a", encoding="utf-8") as out:
        for library, name in wanted(args):
            row = check(library, name, args.most)
            print(json.dumps(row), file=out, flush=True)
            for fault in row["faults"]:
                print(f"{library}/{name}: {fault}", flush=True)
    rows = [json.loads(line) for line in args.out.read_text(encoding="utf-8").splitlines()]
    faulty = [r for r in rows if r["faults"]]
    runs = [
        r for r in rows if any(f"{form} plain run" not in r for form in ("evaluation", "training"))
    ]
    traced = [r for r in rows if "evaluation multiply-adds" in r]
    print(f"{len(rows)} models: {len(runs)} run on meta tensors as they are, {len(traced)} are traced in evaluation form, "
          f"{len(faulty)} with faults")  # fmt: skip
    raise SystemExit(1 if faulty else 0)


if __name__ == "__main__":
    main()
