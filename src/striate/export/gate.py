"""Gate: INT8, let through where it costs no more of the headline metric than was allowed, on images that were kept for that.

NNCF (openvinotoolkit/nncf) quantises; the preprocessing stays in float32, since integers are not resized by it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from striate.answer import answer_of
from striate.borrow import borrowed, forward
from striate.errors import ExactnessError
from striate.export.engines import need
from striate.export.kinds import Made, VinoMade
from striate.export.references import PIXELS, References
from striate.geometry import map_tensors
from striate.tasks.mirroring import gain_of

if TYPE_CHECKING:
    from striate.tasks.examples import Examples
    from striate.tasks.metric import Metric
    from striate.tasks.trained import Trained

AT_ONCE = 8  # images of a batch
ROOM = 2.0  # times the largest error here that another processor may show: integer arithmetic differs between them
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What INT8 is measured on.

    calibration: (M, C, h, w) uint8, images that the network has learned from, as it sees them, by which ranges are chosen.
    examples: images with targets that it has not learned from. metric: the task's. drop: how much of its headline INT8 may
    cost, 0.01 for one point of a hundred.
    """

    calibration: np.ndarray
    examples: Examples
    metric: Metric
    drop: float


def quantised(
    trained: Trained, file: Made, made: References, gate: Gate, say: Say
) -> tuple[VinoMade, dict[str, Any]]:
    """The file with its layers in INT8, and what that costs. Raises ExactnessError where it costs too much."""
    assert isinstance(file, VinoMade)
    say(f"INT8, with ranges of {len(gate.calibration)} images")
    model = _quantised(file.model, gate.calibration)
    made_int8 = VinoMade(None, model)
    say(f"INT8 and float32 on {len(gate.examples):,} images")
    behind = _network(trained, model, made)
    plain, whole = evidence(_plain(trained), gate), evidence(behind, gate)
    gain = gain_of(gate.metric, plain, whole, seed=trained.seed)
    low, high = float(gain.low), float(gain.high)
    before, after = (float(_headline(gate.metric, e)) for e in (plain, whole))
    value = after - before
    cost = f"{100 * -value:.2f} points of {gate.metric.name}"
    words = (
        f"{cost} (95 %: {100 * -high:.2f} to {100 * -low:.2f}; {100 * before:.2f} before) on {len(gate.examples):,} "
        f"{'images' if len(gate.examples) != 1 else 'image'}"
    )
    found = {
        "metric": gate.metric.name, "images": len(gate.examples), "before": before, "change": value, "low": low,
        "high": high, "drop": gate.drop, "words": words,
    }  # fmt: skip
    if not low >= -gate.drop:
        raise ExactnessError(
            f"INT8 costs {words}, and {100 * gate.drop:g} were allowed; allow more (--drop), give more images, or leave "
            "--precision int8 out",
            found,
        )
    session = made_int8.session(made.names, "int8")
    first = made.names[1]
    error = max(
        float(np.abs(session(images, [first])[first].astype(float) - made.outputs[case][first]).max())
        for case, images in made.images.items()
    )  # fmt: skip
    return made_int8, {**found, "allowed": ROOM * error}


def evidence(network: Callable[[torch.Tensor], Any], gate: Gate) -> np.ndarray:
    """(N, ...) what each image adds to the metric. network: uint8 (N, C, h, w) as the network sees them -> its output."""
    parts = []
    for at in range(0, len(gate.examples), AT_ONCE):
        part = slice(at, at + AT_ONCE)
        parts.append(
            gate.metric.evidence(network(gate.examples.images[part]), gate.examples.targets[part])
        )
    return np.concatenate(parts)


def _headline(metric: Metric, found: np.ndarray) -> Any:
    return next(iter(metric.score(found).values()))


def _plain(trained: Trained) -> Callable[[torch.Tensor], Any]:
    def run(pixels: torch.Tensor) -> Any:
        x = trained.normalise(pixels)
        with borrowed(trained.model) as network, torch.no_grad():
            output = forward(network, x)
            if not trained.flip_test:
                return output
            other, output = answer_of(forward(network, x.flip(-1))), answer_of(output)
        return (output + (other.flip(-1) if output.ndim == 4 else other)) / 2

    return run


def _quantised(model: Any, calibration: np.ndarray) -> Any:
    """OpenVINO's model with every layer in INT8 but those that make the pixels that the network sees."""
    nncf, (height, width) = need("nncf"), _sides(model)
    images = [
        np.asarray(
            Image.fromarray(np.squeeze(image.transpose(1, 2, 0))).resize(
                (width or image.shape[2], height or image.shape[1])
            )
        )
        for image in calibration
    ]
    given = [image.reshape(1, *image.shape[:2], -1) for image in images]
    kept = nncf.IgnoredScope(names=sorted(_above(model, PIXELS)), validate=False)
    with _silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nncf.quantize(
            model, nncf.Dataset(given), subset_size=len(given), preset=nncf.QuantizationPreset.MIXED, ignored_scope=kept,
            fast_bias_correction=True,
        )  # fmt: skip


def _sides(model: Any) -> tuple[int | None, int | None]:
    """(height, width) of the images that a model takes, None for any."""
    shape = model.inputs[0].partial_shape
    height, width = (None if shape[k].is_dynamic else int(shape[k].get_length()) for k in (1, 2))
    return height, width


def _above(model: Any, name: str) -> set[str]:
    """Names of the operations that an output is made of."""
    stack, found = [next(o for o in model.outputs if name in o.get_names()).get_node()], set[str]()
    kept = set[str]()
    while stack:
        node = stack.pop()
        if node.get_friendly_name() in found:
            continue
        found.add(node.get_friendly_name())
        if node.get_type_name() not in ("Constant", "Parameter", "Result"):
            kept.add(node.get_friendly_name())
        stack += [i.get_source_output().get_node() for i in node.inputs()]
    return kept


def _network(trained: Trained, model: Any, made: References) -> Callable[[torch.Tensor], Any]:
    """A model from the pixels that the network sees on, in the form of the network's own output."""
    vino, copied = need("openvino"), model.clone()
    seen = next(o for o in copied.outputs if PIXELS in o.get_names()).get_node()
    source = seen.input_value(0)
    entry = vino.op.Parameter(source.get_element_type(), source.get_partial_shape())
    for target in source.get_target_inputs():
        target.replace_source_output(entry.output(0))
    names = made.names[1:]
    results = [next(o for o in copied.outputs if n in o.get_names()).get_node() for n in names]
    part = vino.Model(results, [entry], "network")
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = vino.Core().compile_model(part, "CPU", options)
    how = trained.preprocessing
    with borrowed(trained.model) as network, torch.no_grad():
        form = forward(network, torch.zeros((1, how.channels, *how.size)))
        form = answer_of(form) if trained.flip_test else form

    def run(pixels: torch.Tensor) -> Any:
        found = compiled([pixels.float().numpy()])
        values = iter(compiled.outputs)
        return map_tensors(form, lambda _: torch.from_numpy(np.array(found[next(values)])))

    return run


@contextlib.contextmanager
def _silent() -> Any:
    """What NNCF says and draws of itself is not shown."""
    logger = logging.getLogger("nncf")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
