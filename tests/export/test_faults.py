"""Faults that exporters make, planted one by one into a file: the proof must find each, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from striate.export.engines import OnnxRuntime
from striate.export.envelope import Envelope
from striate.export.proof import compared
from striate.export.references import References, references

from .conftest import Exported


def values(model: Any) -> dict[str, np.ndarray]:
    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


def put(model: Any, name: str, array: np.ndarray) -> None:
    (place,) = (i for i in model.graph.initializer if i.name == name)
    place.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))


def change(
    choose: Callable[[np.ndarray], bool], how: Callable[[np.ndarray], np.ndarray]
) -> Callable:
    """A fault: every constant of a kind becomes another."""

    def fault(model: Any, about: dict) -> None:
        chosen = [(n, v) for n, v in values(model).items() if choose(v)]
        assert chosen, "nothing to spoil"
        for name, value in chosen:
            put(model, name, how(value).astype(value.dtype))

    return fault


def shaped(*shape: int) -> Callable[[np.ndarray], bool]:
    return lambda v: v.shape == shape and v.dtype == np.float32


def number(value: float) -> Callable[[np.ndarray], bool]:
    return lambda v: v.size == 1 and v.dtype == np.float64 and float(v.ravel()[0]) == value


def floats(v: np.ndarray) -> bool:
    return v.dtype == np.float32 and v.size > 1


def attribute(kind: str, name: str, value: Any) -> Callable:
    """A fault: an attribute of every node of a kind."""

    def fault(model: Any, about: dict) -> None:
        chosen = [n for n in model.graph.node if n.op_type == kind]
        assert chosen, "nothing to spoil"
        for node in chosen:
            kept = [a for a in node.attribute if a.name != name]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return fault


def operation(kind: str, other: str) -> Callable:
    """A fault: every node of a kind does something else."""

    def fault(model: Any, about: dict) -> None:
        chosen = [n for n in model.graph.node if n.op_type == kind]
        assert chosen, "nothing to spoil"
        for node in chosen:
            node.op_type = other

    return fault


def at_input(*nodes: tuple[str, dict]) -> Callable:
    """A fault: what is done to the images first; (operation, attributes) in order."""

    def fault(model: Any, about: dict) -> None:
        users = list(model.graph.node)
        del model.graph.value_info[:]  # kinds of numbers inside, which are other ones now
        name = "images"
        for i, (kind, attributes) in enumerate(nodes):
            extra = attributes.pop("inputs", []) if "inputs" in attributes else []
            model.graph.node.insert(i, helper.make_node(kind, [name, *extra], [f"spoiled_{i}"], **attributes))  # fmt: skip
            name = f"spoiled_{i}"
        for node in users:
            for k, given in enumerate(node.input):
                if given == "images" and node.op_type != "Shape":
                    node.input[k] = name

    return fault


def reversed_batch(model: Any, about: dict) -> None:
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array([v], np.int64), f"r{i}") for i, v in enumerate((-1, -(2**40), 0, -1))]
    )  # fmt: skip
    for node in model.graph.node:
        for k, name in enumerate(node.output):
            if name == "logits":
                node.output[k] = "straight"
        for k, name in enumerate(node.input):
            if name == "logits":
                node.input[k] = "straight"
    model.graph.node.append(helper.make_node("Slice", ["straight", "r0", "r1", "r2", "r3"], ["logits"]))  # fmt: skip


def exchanged_outputs(model: Any, about: dict) -> None:
    for node in model.graph.node:
        for names in (node.output, node.input):
            for k, name in enumerate(names):
                names[k] = {"logits": "probabilities", "probabilities": "logits"}.get(name, name)


def labels(model: Any, about: dict) -> None:
    about["labels"] = [about["labels"][i] for i in (0, 2, 1, 3)]


def stated(model: Any, about: dict) -> None:
    about["precision"] = "bf16"


def bfloat(v: np.ndarray) -> np.ndarray:
    return (v.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


FAULTS: dict[str, Callable] = {
    "bias dropped": change(shaped(4), np.zeros_like),
    "weights transposed": change(shaped(16, 16), np.transpose),
    "kernels turned": change(lambda v: v.ndim == 4 and v.shape[-1] == 3, lambda v: v[..., ::-1, ::-1]),
    "colour order": change(shaped(6, 3, 3, 3), lambda v: v[:, ::-1]),
    "mean of another channel": change(
        lambda v: v.shape == (1, 3, 1, 1) and bool((v < 0).all()), lambda v: v[:, [1, 0, 2]]
    ),
    "deviation of one channel": change(
        lambda v: v.shape == (1, 3, 1, 1) and bool((v > 0).all()),
        lambda v: v * np.array([1, 1.02, 1]).reshape(1, 3, 1, 1),
    ),
    "256 for 255": change(
        lambda v: v.shape == (1, 3, 1, 1) and bool((v > 0).all()), lambda v: v * 255 / 256
    ),
    "half precision": change(floats, lambda v: v.astype(np.float16)),
    "bfloat16": change(floats, bfloat),
    "one weight lost": change(
        shaped(8, 6, 3, 3), lambda v: np.where(np.abs(v) == np.abs(v).max(), 0, v)
    ),
    "temperature": change(lambda v: v.size == 1 and abs(float(v.ravel()[0]) - 1.7) < 1e-6, np.ones_like),
    "softmax over the batch": attribute("Softmax", "axis", 0),
    "slope of the leaky ReLU": attribute("LeakyRelu", "alpha", 0.01),
    "another activation": operation("Tanh", "Softsign"),
    "padding on one side": lambda model, about: [
        attribute("Conv", "pads", [0, 0, 2, 2])(_first_conv(model), about)
    ],
    "no half-pixel centres": change(
        lambda v: v.dtype == np.float64 and v.size > 4 and float(v.ravel()[0]) == 0.5, lambda v: v - 0.5
    ),
    "no antialias": operation("Max", "Min"),
    "another bicubic": change(number(-0.5), lambda v: v - 0.25),
    "rounded down": change(lambda v: v.dtype == np.float32 and v.size == 1 and v.ravel()[0] == 2**21, np.zeros_like),
    "crop": change(number(0.9), lambda v: v - 0.025),
    "weights of the resize in 8 places": change(number(2.0**22), lambda v: v / 2**14),
    "uint8 read as int8": at_input(("Cast", {"to": TensorProto.INT8})),
    "a batch reversed": reversed_batch,
    "outputs exchanged": exchanged_outputs,
    "labels exchanged": labels,
    "another precision than stated": stated,
}  # fmt: skip


class _Part:
    """The nodes of a graph up to the first convolution, which can be spoiled apart."""

    def __init__(self, node: Any) -> None:
        self.graph = type("Graph", (), {"node": [node]})()


def _first_conv(model: Any) -> Any:
    return _Part(next(n for n in model.graph.node if n.op_type == "Conv"))


@pytest.fixture(scope="module")
def made(exported: Exported) -> tuple[bytes, References, dict]:
    envelope = Envelope.open(exported.path.read_bytes())
    return envelope.graph, references(exported.trained, None), envelope.about


def test_the_file_as_it_is_passes(made: tuple[bytes, References, dict]) -> None:
    graph, right, about = made
    proof = compared(right, OnnxRuntime(graph, abreast=1), about)
    assert proof.passed, proof.failed


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, made: tuple[bytes, References, dict]) -> None:
    graph, right, about = made
    model, stated_about = onnx.load_from_string(graph), dict(about)
    FAULTS[name](model, stated_about)
    session = OnnxRuntime(model.SerializeToString(), abreast=1)
    assert not compared(right, session, stated_about).passed
