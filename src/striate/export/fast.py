"""Fast: a trained network on an engine, to be used like the network itself, after it has given the same answers here.

`striate predict --engine onnxruntime` makes the engine's file once, proves it on this machine and keeps both in the user's
cache; `auto` takes the fastest engine that has been proven here, and torch where none has.
"""

from __future__ import annotations

import atexit
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import striate
from striate.borrow import borrowed, forward
from striate.documents import from_json, to_json
from striate.errors import UsageError
from striate.export.convert import Program, to_onnx
from striate.export.engines import ENGINES, EXACT, Runner, need, package_of, there
from striate.export.machine import machine
from striate.export.proof import Proof, compared, sentence
from striate.export.references import SHARE, answered, in_bfloat16, references
from striate.geometry import leaves_of, map_tensors
from striate.paths import user_cache
from striate.writing import write_atomically

if TYPE_CHECKING:
    from striate.tasks.trained import Trained

NAMES = ("auto", "torch", *ENGINES)
ROUNDS = 5  # timed passes of a batch, after one that is not
TIMED = 8  # images in it
Say = Callable[[str], None]


class Leaves(nn.Module):
    """A network whose output is a flat tuple of the tensors in it, as a file has them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) float32, normalised -> its tensors."""
        return tuple(part for part in leaves_of(self.network(images)) if isinstance(part, Tensor))


class OnEngine(nn.Module):
    """What stands for a network that runs on an engine: normalised images (N, C, H, W) float32 on the CPU to its output.

    form: an output of the network, whose tensors are replaced by the engine's. again: the same file once more, for as many
    threads as are said.
    """

    def __init__(self, runner: Runner, form: Any, again: Callable[[int], Runner]) -> None:
        super().__init__()
        self.runner = runner
        self.form = form
        self.again = again

    def abreast(self, threads: int) -> OnEngine:
        """The same for so many threads at once, each of which computes its own images."""
        return OnEngine(self.again(threads), self.form, self.again).eval()

    @property
    def words(self) -> str:
        """The engine, its version and precision."""
        return f"{self.runner.engine} {self.runner.version} in {self.runner.precision}"

    def forward(self, images: Tensor) -> Any:
        """See the class. Raises RunError where the engine fails, UsageError where it is to be traced."""
        if images.is_meta or type(images) is not Tensor:
            raise UsageError("a network on an engine cannot be traced; use --engine torch")
        given = np.ascontiguousarray(images.detach().float().cpu().numpy())
        values = iter(self.runner(given))
        return map_tensors(self.form, lambda _: torch.from_numpy(next(values)))


class Answers:
    """A network on an engine as a proof takes it."""

    def __init__(self, trained: Trained, runner: Runner) -> None:
        self.trained = trained
        self.engine, self.precision = runner.engine, runner.precision

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """See Session."""
        found = answered(self.trained, images)
        return {name: found[name] for name in names}


def on_engine(trained: Trained, engine: str = "auto", *, say: Say = lambda text: None) -> Trained:
    """The network on an engine that gives its answers on this machine; itself for torch.

    engine: one of `NAMES`. Raises UsageError for another name, an engine that is not installed or a network that it lacks an
    operation of, and ExactnessError where answers differ.
    """
    if engine not in NAMES:
        raise UsageError(f"there is no engine {engine!r}; there are {', '.join(NAMES)}")
    if engine == "torch" or (engine == "auto" and not any(folder().glob("*.json"))):
        return trained
    key = digest_of(trained)
    if engine == "auto":
        proven = [(kept["rate"], name) for name in EXACT if (kept := known(key, name)) and there(name)]  # fmt: skip
        rate, name = max(proven, default=(0.0, "torch"))
        record = known(key, name) if name != "torch" else None
        if record is None or rate <= record["torch_rate"]:
            return trained
        engine = name
    need(package_of(engine))
    kept = known(key, engine)
    file = folder() / f"{key}.onnx"
    if kept is None or not file.is_file():
        kept = prove(trained, engine, key, say)
    return _behind(trained, engine, file)[0]


def prove(trained: Trained, engine: str, key: str, say: Say = lambda text: None) -> dict[str, Any]:
    """Make the engine's file, compare its answers with the network's here, and keep both. Raises ExactnessError."""
    say(f"{engine}: the network is brought to it once, and its answers are compared")
    file = folder() / f"{key}.onnx"
    if not file.is_file():
        write_atomically(file, to_onnx(Program.of_network(trained, Leaves(trained.model))))
    fast, runner = _behind(trained, engine, file)
    made = references(trained, trained.preprocessing.size if trained.task.axes == 2 else None)
    if precision_of(engine) == "bf16":
        made = in_bfloat16(trained, made)
    made = replace(made, files={})  # files are read by the same code, whatever the engine
    proof: Proof = compared(
        made, Answers(fast, runner), {"labels": trained.classes, "precision": precision_of(engine)}
    )
    proof.refuse("use --engine torch")
    rates = rate(trained), rate(fast)
    record = {
        **_circumstances(engine), "engine": engine, "precision": runner.precision, "rate": rates[1],
        "torch_rate": rates[0], "passed": True, "largest": sentence(max(proof.checks, key=lambda c: c.value)),
    }  # fmt: skip
    write_atomically(folder() / f"{key}-{engine}.json", to_json(record).encode())
    say(
        f"{engine} {runner.version} in {runner.precision} gives the same answers in {len(proof.checks)} checks: "
        f"{rates[1]:,.0f} images/s, torch {rates[0]:,.0f}"
    )
    return record


def precision_of(engine: str) -> str:
    """What an engine's name says that it computes in."""
    return engine.partition("-")[2] or "f32"


def share_of(engine: str) -> float:
    """The share of the answers' deviation by which an engine may be off, as a proof allows it."""
    return SHARE[precision_of(engine)]


def known(key: str, engine: str) -> dict[str, Any] | None:
    """The kept proof of a network on an engine; None where there is none of these versions and this processor."""
    try:
        record = from_json((folder() / f"{key}-{engine}.json").read_bytes())
        same = all(record.get(k) == v for k, v in _circumstances(engine).items())
        return dict(record) if same and record.get("passed") is True else None
    except (OSError, ValueError, AttributeError):
        return None


def rate(trained: Trained) -> float:
    """Images a second of a network on tensors in memory, in the median of five passes of eight images."""
    how = trained.preprocessing
    x = torch.zeros((TIMED, how.channels, *how.size))
    x = x.contiguous(memory_format=torch.channels_last)
    taken = []
    with borrowed(trained.model) as network, torch.inference_mode():
        for _ in range(ROUNDS + 1):
            begun = time.perf_counter()
            forward(network, x, writes=False)
            taken.append(time.perf_counter() - begun)
    return TIMED / float(np.median(taken[1:]))


def digest_of(trained: Trained) -> str:
    """Of all that decides the network's answers."""
    made = hashlib.sha256(repr(trained.model).encode())
    for name, value in trained.model.state_dict().items():
        made.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        made.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    made.update(to_json(trained.preprocessing.to_dict()).encode())
    made.update(f"{trained.task.name} {trained.flip_test} {trained.temperature}".encode())
    return made.hexdigest()[:32]


def folder() -> Path:
    """Where engines' files and proofs are kept; where nothing is, until the process ends."""
    return user_cache("engines") or _passing()


@cache
def _passing() -> Path:
    place = TemporaryDirectory(prefix="striate-engines-")
    atexit.register(place.cleanup)
    return Path(place.name)


def _behind(trained: Trained, engine: str, file: Path) -> tuple[Trained, Runner]:
    """The trained network with the engine in its place, and what runs it."""
    runner: Runner = ENGINES[engine](file)
    how = trained.preprocessing
    with borrowed(trained.model) as network, torch.no_grad():
        form = forward(network, torch.zeros((1, how.channels, *how.size)))
    again = partial(_again, engine, file)
    return replace(trained, model=OnEngine(runner, form, again).eval(), precision="fp32"), runner


def _again(engine: str, file: Path, threads: int) -> Runner:
    made: Runner = ENGINES[engine](file, abreast=threads)
    return made


def _circumstances(engine: str) -> dict[str, Any]:
    from importlib import metadata

    return {
        "striate": striate.__version__,
        "version": metadata.version(package_of(engine)),
        **machine(),
    }
