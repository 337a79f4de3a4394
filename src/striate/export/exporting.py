"""Exporting: a trained network to one file that any program can run, written only where it gives the same answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import striate
from striate.errors import RunError, UsageError
from striate.export import pt2
from striate.export.convert import OPSET, Program, to_onnx
from striate.export.engines import OnnxRuntime, Session, need, versions
from striate.export.envelope import (
    ABOUT,
    DIGEST,
    FORMAT,
    PROOF,
    Envelope,
    noted,
    packed,
)
from striate.export.machine import machine, now
from striate.export.proof import compared, controlled, with_controls
from striate.export.references import altered, references
from striate.findings import Finding
from striate.writing import write_atomically

if TYPE_CHECKING:
    from striate.tasks.trained import Trained

Say = Callable[[str], None]
KINDS = {
    ".onnx": "ONNX, for ONNX Runtime and most others",
    ".pt2": "torch.export, for torch alone",
}
MOST_SIDE = 16_384


def export(
    trained: Trained, path: Path, *, size: str | tuple[int, int] | None = None, force: bool = False,
    say: Say = lambda text: None,
) -> Finding:  # fmt: skip
    """Write a network with its preprocessing and its answers into one file, with the proof that it gives the same answers.

    path: its ending says the kind. size: (height, width) of the images that it will take, or such as "480x640"; any size if
    None. force: write over `path`. Raises ExactnessError where the answers differ, and UsageError for a network that cannot
    be exported: nothing is written then.
    """
    if path.suffix.lower() not in KINDS:
        kinds = ", ".join(f"{end} ({what})" for end, what in KINDS.items())
        raise UsageError(
            f"{path} ends in {path.suffix or 'nothing'}, which is no kind of file that is exported; there are {kinds}"
        )
    if path.exists() and (path.is_dir() or not force):
        remedy = (
            "choose another name"
            if path.is_dir()
            else "choose another name, or --force to write over it"
        )
        raise UsageError(f"{path} exists; {remedy}")
    sides = _size(size)
    plain = path.suffix.lower() == ".pt2"
    for module in () if plain else ("onnx", "onnxscript", "onnxruntime"):
        need(module)  # before anything takes time
    say("answers of the network")
    made = references(trained, sides)
    say("graph")
    program = Program.of_images(trained, sides, made.names)
    about = described(trained, sides, made.names)
    say("proof")
    session: Session
    if plain:
        data = pt2.saved(program, {})
        session = pt2.TorchProgram(data, made.names)
    else:
        data = Envelope(graph=Envelope.open(to_onnx(program)).graph, texts={}).bytes()
        session = OnnxRuntime(data)
    try:
        proof = compared(made, session, about)
    except RunError as error:
        if sides is not None:
            raise
        raise UsageError(
            f"{trained.name} cannot be exported for images of any size: {error.sentence}; give --size HEIGHTxWIDTH"
        ) from error
    proof.refuse(f"{path} was not written")
    proof = with_controls(
        proof, controlled(altered(trained, made), session, about), {**machine(), **versions(), "date": now()}
    )  # fmt: skip
    proof.refuse(f"a proof that does not see this proves nothing, and {path} was not written")
    about["proof"] = {**proof.document(), "deviation": made.deviation, "noise": made.noise}
    texts = {ABOUT: noted(about), PROOF: packed(made.arrays())}
    if plain:
        data = pt2.sealed(pt2.saved(program, texts), texts)
        compared(made, pt2.TorchProgram(data, made.names), about).refuse(f"{path} was not written")
        write_atomically(path, data)
    else:
        envelope = Envelope.open(data).with_texts(**texts)
        write_atomically(path, envelope.with_texts(**{DIGEST: envelope.digest}).bytes())
    finding = proof.finding(
        "export", "Exported file", f"{path} takes {_words(about)} and was proven on {len(made.images)} cases"
    )  # fmt: skip
    kept = {k: v for k, v in about.items() if k != "proof"}
    more = {"file": str(path), "bytes": path.stat().st_size, "about": kept}
    return replace(finding, data={**finding.data, **more})


def write_script(path: Path) -> None:
    """Write the program that uses exported files without Striate and torch."""
    write_atomically(path, Path(__file__).with_name("predict.py.txt").read_bytes())


def described(trained: Trained, size: tuple[int, int] | None, outputs: list[str]) -> dict[str, Any]:
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
        "precision": "f32",
        "opset": OPSET,
        "made": {"striate": striate.__version__, **_torch()},
    }  # fmt: skip
    if trained.run is not None:
        about["weights_sha256"] = trained.run.info.get("model_sha256")
    return about


def _torch() -> dict[str, str]:
    import torch

    return {"torch": torch.__version__}


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


def _words(about: dict[str, Any]) -> str:
    size = about["input"]["size"]
    what = "images of any size" if size is None else f"images of {size[0]} x {size[1]} pixels"
    return f"uint8 {what} in {about['input']['colours']}"
