"""Engines: what runs a network, each asked for its actual precision.

torch is the reference. ONNX Runtime and OpenVINO are extras; what is missing is said with what installs it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from striate.errors import RunError, UsageError

EXTRAS = {
    "onnx": "export", "onnxscript": "export", "onnxruntime": "export", "openvino": "openvino", "nncf": "int8",
}  # fmt: skip


class Session(Protocol):
    """A file made ready to run."""

    engine: str
    precision: str
    """What layers compute in, as the engine itself says: "f32", "bf16", ..."""

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The named outputs for images (N, H, W, C) uint8."""


def need(module: str) -> Any:
    """A module of an extra. Raises UsageError with what installs it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        extra = EXTRAS[module.split(".")[0]]
        raise UsageError(
            f"{module} is not installed ({error}); install it by `pip install 'striate[{extra}]'`"
        ) from error


def there(module: str) -> bool:
    """Whether a module is installed."""
    return importlib.util.find_spec(module) is not None


class OnnxRuntime:
    """A file in ONNX Runtime, on the CPU, which computes in the precision that stands in the file.

    abreast: threads that call it at once, each of which computes its own images alone; 0 for one that uses all processors.
    """

    engine = "onnxruntime"

    def __init__(self, model: bytes | str | Path, *, abreast: int = 0) -> None:
        runtime = need("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        options.intra_op_num_threads = min(abreast, 1)
        try:
            self.session = runtime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )  # fmt: skip
        except Exception as error:  # its errors have no common class
            raise RunError(
                f"onnxruntime {runtime.__version__} cannot run the file: {first_line(error)}; update it, or export again"
            ) from error
        self.version = str(runtime.__version__)
        kinds = {i.type for i in (*self.session.get_outputs(), *self.session.get_inputs())}
        self.precision = "f16" if "tensor(float16)" in kinds else "f32"

    @property
    def inputs(self) -> list[Any]:
        """Names, shapes and types."""
        return list(self.session.get_inputs())

    @property
    def outputs(self) -> list[str]:
        """Names."""
        return [output.name for output in self.session.get_outputs()]

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """See Session."""
        given = np.ascontiguousarray(images)
        try:
            values = self.session.run(list(names), {self.inputs[0].name: given})
        except Exception as error:
            raise RunError(
                f"onnxruntime fails on images {given.shape}: {first_line(error)}"
            ) from error
        return dict(zip(names, values, strict=True))


class Runner(Protocol):
    """A network's file made ready to run on its normalised input (N, C, H, W) float32; it gives its tensors in order."""

    engine: str
    precision: str
    version: str

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """(N, C, H, W) float32 -> the network's tensors, (N, ...) each."""


class OnnxRuntimeRunner(OnnxRuntime):
    """See Runner."""

    def __call__(self, images: np.ndarray, names: Any = None) -> list[np.ndarray]:  # type: ignore[override]
        """See Runner."""
        try:
            return list(self.session.run(None, {self.inputs[0].name: images}))
        except Exception as error:
            raise RunError(
                f"onnxruntime fails on images {images.shape}: {first_line(error)}; use --engine torch"
            ) from error


class OpenVino:
    """A network compiled by OpenVINO for the processor, in the precision that is asked for and no other.

    Left alone, OpenVINO takes bfloat16 where the processor has it; and where it has none, it takes float32 without a word.
    precision: what its layers really compute in: "f32", "bf16", "int8". Raises RunError where that is not what was asked.
    abreast: see OnnxRuntime.
    """

    engine = "openvino"

    def __init__(
        self, model: str | Path | bytes, weights: bytes | None = None, *, precision: str = "f32", abreast: int = 0
    ) -> None:  # fmt: skip
        vino = need("openvino")
        self.version = str(vino.__version__).split("-")[0]
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if abreast:
            options |= {"INFERENCE_NUM_THREADS": abreast, "NUM_STREAMS": abreast}
        self.requests = (
            threading.local()
        )  # one a thread: a request holds the images and answers of one call
        try:
            core = vino.Core()
            read = (
                core.read_model(str(model)) if weights is None else core.read_model(model, weights)
            )
            self.compiled = core.compile_model(read, "CPU", options)
        except Exception as error:  # its errors are all RuntimeError
            raise RunError(
                f"openvino {self.version} cannot run the network: {said(error)}; use --engine onnxruntime or torch"
            ) from error
        self.precision = self._precision()
        if precision == "bf16" and self.precision != "bf16":
            raise RunError(
                f"openvino {self.version} computes in {self.precision} here although bf16 was asked for: this processor has "
                "no bfloat16 (avx512_bf16 or amx_bf16); ask for f32, or take a processor that has it"
            )

    def _precision(self) -> str:
        """What its layers compute in, by what it reports of each: the least of them."""
        found = set()
        for node in self.compiled.get_runtime_model().get_ops():
            about = node.get_rt_info()
            kind = str(about["layerType"].astype(str)) if "layerType" in about else ""
            if kind in LAYERS:
                found.add(str(about["runtimePrecision"].astype(str)).lower())
        named = {"i8": "int8", "u8": "int8"}
        return next((named.get(p, p) for p in ("i8", "u8", "bf16", "f16") if p in found), "f32")

    def run(self, images: np.ndarray) -> Any:
        """Its outputs for images as it takes them. Raises RunError."""
        try:
            if not hasattr(self.requests, "own"):
                self.requests.own = self.compiled.create_infer_request()
            return self.requests.own.infer([np.ascontiguousarray(images)])
        except Exception as error:
            raise RunError(
                f"openvino fails on images {images.shape}: {said(error)}; use --engine torch"
            ) from error


class OpenVinoSession(OpenVino):
    """See Session."""

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """See Session."""
        result = self.run(images)
        return {name: np.array(result[name]) for name in names}


class OpenVinoRunner(OpenVino):
    """See Runner."""

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See Runner."""
        result = self.run(images)
        return [np.array(result[output]) for output in self.compiled.outputs]


LAYERS = ("Convolution", "FullyConnected", "MatMul", "Deconvolution", "GroupConvolution")
"""Kinds of OpenVINO's layers that hold weights, by which its precision is told."""
ENGINES: dict[str, Any] = {
    "onnxruntime": OnnxRuntimeRunner,
    "openvino": OpenVinoRunner,
    "openvino-bf16": partial(OpenVinoRunner, precision="bf16"),
}
"""What runs a network in the place of torch, by name; in f32 where it says nothing else."""
EXACT = ("onnxruntime", "openvino")
"""Those of them that compute in f32, which nobody has to ask for by name."""


def package_of(engine: str) -> str:
    """The package that an engine is of."""
    return engine.partition("-")[0]


def versions(
    names: Sequence[str] = ("onnxruntime", "onnx", "openvino", "nncf"),
) -> Mapping[str, str]:
    """Versions of the engines that are installed."""
    from importlib import metadata

    return {name: metadata.version(name) for name in names if there(name)}


def said(error: BaseException) -> str:
    """What an error of OpenVINO says: the places in its source that come first are left out."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [
        line
        for line in lines
        if not re.match(r"(Exception from|Check '.*' failed at|\[CPU\] )?\s*src/", line)
    ]
    return (own or lines or [type(error).__name__])[0][:300]


def first_line(error: BaseException) -> str:
    """What an error says, without its details."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
