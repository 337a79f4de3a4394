"""Exporting: a trained network to one file that any program can run, written only where it gives the same answers."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import striate
from striate.borrow import borrowed, forward
from striate.errors import RunError, UsageError
from striate.export import pt2
from striate.export.convert import OPSET, Program
from striate.export.engines import Session, need, versions
from striate.export.envelope import ABOUT, FORMAT, PROOF, noted, packed
from striate.export.gate import Gate, quantised
from striate.export.kinds import KINDS, Made
from striate.export.machine import machine, now
from striate.export.plain import Written, write_plain
from striate.export.proof import Listed, Proof, compared, controlled, with_controls
from striate.export.references import References, altered, in_bfloat16, references
from striate.findings import Finding
from striate.geometry import map_tensors
from striate.writing import write_atomically

if TYPE_CHECKING:
    from striate.tasks.trained import Trained

Say = Callable[[str], None]
PRECISIONS = ("f32", "bf16", "int8")
MOST_SIDE = 16_384


def export(
    trained: Trained, path: Path, *, size: str | tuple[int, int] | None = None, precision: str = "f32",
    gate: Gate | None = None, written: Written | None = None, force: bool = False, say: Say = lambda text: None,
) -> Finding:  # fmt: skip
    """Write a network with its preprocessing and its answers into one file, with the proof that it gives the same answers.

    path: its ending says the kind, see `KINDS`. size: (height, width) of the images that it will take, or such as "480x640";
    any size if None. precision: of `PRECISIONS`; bf16 and int8 within what is stated of them. gate: what int8 is measured
    on. written: makes the run.toml beside a .safetensors. force: write over what is there. Raises ExactnessError where the
    answers differ, and UsageError for a network that cannot be exported: nothing is written then.
    """
    refuse(path, precision, force=force)
    kind = path.suffix.lower()
    sides = _size(size)
    if kind == ".safetensors":
        if sides is not None:
            raise UsageError(
                "a .safetensors holds weights alone, for images of any size; leave --size out"
            )
        return write_plain(trained, path, written, say)
    make = KINDS[kind][1]
    say("answers of the network")
    made = references(trained, sides)
    say("graph")
    program = Program.of_images(_as(trained, kind, precision), sides, made.names)
    about = described(trained, sides, made.names, precision)
    file: Made = make(program)
    measured: dict[str, Any] = {}
    if precision == "int8":
        if gate is None:
            raise UsageError(
                "int8 is measured before it is let through; give images that it is measured on: gate="
            )
        file, measured = quantised(trained, file, made, gate, say)
        made = replace(made, allowed=measured["allowed"])
    if precision == "bf16":
        made = in_bfloat16(trained, made)
    say("proof")
    listed = rows_of(trained, made) if trained.task.objects else None
    try:
        session = file.session(made.names, precision)
        proof = compared(made, session, about, listed if precision == "f32" else None)
    except RunError as error:
        raise _refused(trained, error, file, sides) from error
    proof.refuse(f"{path} was not written{_instead(proof, kind, precision)}")
    proof = with_controls(
        proof, controlled(altered(trained, made, precision), session, about), {**machine(), **versions(), "date": now()}
    )  # fmt: skip
    proof.refuse(f"a proof that does not see this proves nothing, and {path} was not written")
    about["proof"] = {
        **proof.document(), "deviation": made.deviation, "noise": made.noise, "allowed": made.allowed, **measured,
    }  # fmt: skip
    contents = file.sealed({ABOUT: noted(about), PROOF: packed(made.arrays())})
    if kind == ".pt2":  # torch writes no two that are the same
        again: Session = pt2.TorchProgram(contents[kind], made.names)
        compared(made, again, about).refuse(f"{path} was not contents")
    for end, data in contents.items():
        write_atomically(path if end == kind else path.with_suffix(end), data)
    return _finding(proof, path, about, made, measured)


def refuse(path: Path, precision: str = "f32", *, force: bool = False) -> None:
    """Raise UsageError for a name or a precision that nothing is exported under, what is there, and an extra that is not."""
    kind = path.suffix.lower()
    if kind not in KINDS:
        kinds = ", ".join(f"{end} ({what})" for end, (what, _) in KINDS.items())
        raise UsageError(
            f"{path} ends in {path.suffix or 'nothing'}, which is no kind of file that is exported; there are {kinds}"
        )
    for file in files_of(path):
        if file.exists() and (file.is_dir() or not force):
            other = "choose another name"
            raise UsageError(
                f"{file} exists; {other if file.is_dir() else f'{other}, or --force to write over it'}"
            )
    _refuse_precision(kind, precision)
    needs = getattr(KINDS[kind][1], "needs", ())
    for module in (*needs, *(("nncf",) if precision == "int8" else ())):
        need(module)  # before anything takes time


def files_of(path: Path) -> list[Path]:
    """What is written under a name: the file, and what stands beside it."""
    beside = {".xml": [path.with_suffix(".bin")], ".safetensors": [path.with_name("run.toml")]}
    return [path, *beside.get(path.suffix.lower(), [])]


def rows_of(trained: Trained, made: References) -> Listed:
    """What makes the rows of an image's objects from outputs by name, as `predict` does."""
    how = trained.preprocessing
    with borrowed(trained.model) as network, torch.no_grad():
        form = forward(network, torch.zeros((1, how.channels, *how.size)))

    def listed(outputs: Mapping[str, np.ndarray]) -> list[list[dict[str, Any]]]:
        values = iter([outputs[name] for name in made.names[1:]])
        output = map_tensors(form, lambda _: torch.from_numpy(np.ascontiguousarray(next(values))))
        return [
            [{**row, "sure": getattr(p, "sure", 0.0)} for row in p.rows() if isinstance(row.get("score"), float)]
            for p in trained.task.decode(output, trained)
        ]  # fmt: skip

    return listed


def _finding(
    proof: Proof, path: Path, about: Mapping[str, Any], made: References, measured: Mapping[str, Any]
) -> Finding:  # fmt: skip
    words = f"{path} takes {_words(about)} and was proven on {len(made.images)} cases and {len(made.files)} files"
    if measured:
        words = f"{path} costs {measured['words']}; it takes {_words(about)}"
    finding = proof.finding("export", "Exported file", words)
    kept = {k: v for k, v in about.items() if k != "proof"}
    more = {"file": str(path), "bytes": sum(f.stat().st_size for f in files_of(path)), "about": kept}  # fmt: skip
    return replace(finding, data={**finding.data, **more, **({"int8": dict(measured)} if measured else {})})  # fmt: skip


def _refused(
    trained: Trained, error: RunError, file: Made, sides: tuple[int, int] | None
) -> UsageError:
    """What an engine cannot do, with the layer where it names one, and what to do."""
    layer = file.layer(error.sentence)
    where = f"layer {layer}: " if layer else ""
    remedy = "give --size HEIGHTxWIDTH, or export to .pt2" if sides is None else "export to .pt2"
    what = "images of any size" if sides is None else f"images of {sides[0]} x {sides[1]} pixels"
    return UsageError(f"{trained.name} cannot be exported for {what}: {where}{error.sentence}; {remedy}")  # fmt: skip


def _instead(proof: Proof, kind: str, precision: str) -> str:
    """What to do where OpenVINO takes bfloat16 for the resize, too, which needs float32."""
    resized = any(check.name.startswith("grey levels") for check in proof.failed)
    if kind != ".xml" or precision != "bf16" or not resized:
        return ""
    return (
        ": OpenVINO resizes images in bfloat16, too, where the network has it. `striate predict --engine openvino-bf16` "
        "resizes them before; or export f32, or a .pt2 in bf16"
    )


def _refuse_precision(kind: str, precision: str) -> None:
    """Raise UsageError for a precision that a kind of file does not come in."""
    if precision not in PRECISIONS:
        raise UsageError(f"there is no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "int8" and kind != ".xml":
        raise UsageError("int8 is exported for OpenVINO: give a name that ends in .xml")
    if precision == "bf16" and kind not in (".pt2", ".xml"):
        raise UsageError(
            f"{kind} is not exported in bf16, for which ONNX Runtime has no convolutions on processors; give a name that "
            "ends in .pt2 or .xml, or `striate predict --engine openvino-bf16`"
            if kind == ".onnx"
            else "the weights alone are exported as they are; leave --precision out"
        )


def _as(trained: Trained, kind: str, precision: str) -> Trained:
    """The network with numbers of a precision that its file holds itself; OpenVINO is asked for bf16 when it is run."""
    if precision != "bf16" or kind != ".pt2":
        return trained
    return replace(trained, model=copy.deepcopy(trained.model).bfloat16())


def described(
    trained: Trained, size: tuple[int, int] | None, outputs: list[str], precision: str = "f32"
) -> dict[str, Any]:
    """What a file says of itself, as JSON types."""
    how, own_size = trained.preprocessing, trained.task.axes == 4
    about: dict[str, Any] = {
        "format": FORMAT,
        "name": trained.name,
        "task": trained.task.name,
        "decides": trained.task.decides,
        "labels": list(trained.classes),
        "input": {
            "name": "images", "dtype": "uint8", "layout": "NHWC", "channels": how.channels,
            "colours": "RGB" if how.channels == 3 else "grey", "size": None if size is None else list(size),
        },
        "outputs": outputs,
        "preprocessing": how.to_dict(),
        "own_size": own_size,
        "temperature": trained.temperature,
        "mirrored": trained.flip_test,
        "calibration": dict(trained.calibration),
        "precision": precision,
        "opset": OPSET,
        "made": {"striate": striate.__version__, "torch": torch.__version__},
    }  # fmt: skip
    if trained.run is not None:
        about["weights_sha256"] = trained.run.info.get("model_sha256")
    return about


def _size(size: str | tuple[int, int] | None) -> tuple[int, int] | None:
    """(height, width). Raises UsageError."""
    if size is None or size == "any":
        return None
    sides = size
    if isinstance(size, str):
        found = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", size.strip().lower())
        if found is None:
            raise UsageError(f"size is HEIGHTxWIDTH in pixels, such as 480x640, or any; got {size!r}")  # fmt: skip
        sides = int(found[1]), int(found[2])
    height, width = int(sides[0]), int(sides[1])
    if not (1 <= height <= MOST_SIDE and 1 <= width <= MOST_SIDE):
        raise UsageError(f"size must be 1 to {MOST_SIDE:,} pixels a side, got {height}x{width}")
    return height, width


def _words(about: Mapping[str, Any]) -> str:
    size = about["input"]["size"]
    what = "images of any size" if size is None else f"images of {size[0]} x {size[1]} pixels"
    return f"uint8 {what} in {about['input']['colours']}"
