"""References: images and what the network answers to them here, on the way that `predict` takes: what a proof compares with.

Nothing of the exported graph has a part in it: images go through `Preprocessing`, probabilities are made in float64.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from striate.answer import answer_of
from striate.borrow import borrowed, forward
from striate.errors import DataError, UsageError
from striate.export.cases import batch_of, cases, files
from striate.geometry import map_tensors
from striate.images import read_image
from striate.writing import write_atomically

if TYPE_CHECKING:
    from striate.tasks.trained import Trained

SHARE = {"f32": 1e-4, "bf16": 3e-2, "f16": 3e-2}  # of the logits' deviation that an error may have
LONELY = 1e-3  # of the deviation, from which on an answer depends on the batch; rounding of deep networks reaches 2e-4
SEEN = 1e-4  # of a probability, from which on a control is asked to notice another temperature
PIXELS = "pixels"
BATCH = "batch"  # the case of seven images
FILE, SEEN_OF = "file", "seen"  # under which image files and what is seen of them are stored
USUAL = 0.5  # probability from which a tag is given where no threshold was chosen


@dataclass(frozen=True)
class References:
    """Cases by name: images (N, H, W, C) uint8 with N 1, or 7 for "batch", and what each output should be, (N, ...).

    The outputs are `pixels` first, uint8, and then the task's answers, the first of which is the network's own. labels:
    names of the classes. decides: as of the task. deviation: of the first answer over all cases. noise: by how much an image
    alone and in a batch differ in torch, which is rounding. files: image files by name, and the `pixels` that the network
    sees of each, (1, C, h, w). thresholds: probabilities from which tags are given, one a class, where there are any.
    allowed: what the first answer may be off, where that was measured and not derived.
    """

    images: Mapping[str, np.ndarray]
    outputs: Mapping[str, Mapping[str, np.ndarray]]
    labels: tuple[str, ...]
    decides: str
    deviation: float
    noise: float = 0.0
    files: Mapping[str, tuple[bytes, np.ndarray]] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()
    allowed: float | None = None

    def limit(self, precision: str) -> float:
        """By how much the first answer may be off: a share of its deviation, or four times torch's own rounding; of integers
        what was measured."""
        if self.allowed is not None:
            return self.allowed
        return max(SHARE.get(precision, 0.0) * self.deviation, 4 * self.noise)

    @property
    def names(self) -> list[str]:
        """Of the outputs."""
        return list(next(iter(self.outputs.values())))

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name, to be stored."""
        flat = {f"images/{case}": image for case, image in self.images.items()}
        for case, outputs in self.outputs.items():
            flat |= {f"{name}/{case}": value for name, value in outputs.items()}
        for name, (data, pixels) in self.files.items():
            flat |= {f"{FILE}/{name}": np.frombuffer(data, np.uint8), f"{SEEN_OF}/{name}": pixels}
        return flat

    @classmethod
    def of(
        cls, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> References:
        """What `arrays` gave, with what a file says of itself, and of its proof."""
        images: dict[str, np.ndarray] = {}
        outputs: dict[str, dict[str, np.ndarray]] = {}
        given: dict[str, dict[str, np.ndarray]] = {FILE: {}, SEEN_OF: {}}
        for key, array in arrays.items():
            name, _, case = key.partition("/")
            if name == "images":
                images[case] = array
            elif name in given:
                given[name][case] = array
            else:
                outputs.setdefault(case, {})[name] = array
        allowed = stored.get("allowed")
        return cls(
            images, outputs, tuple(about["labels"]), str(about["decides"]), float(stored["deviation"]),
            float(stored["noise"]),
            {name: (data.tobytes(), given[SEEN_OF][name]) for name, data in given[FILE].items()},
            cuts_of(about["calibration"], len(about["labels"])), None if allowed is None else float(allowed),
        )  # fmt: skip


def references(trained: Trained, size: tuple[int, int] | None) -> References:
    """The cases of a network with its answers, each image by itself. size: (height, width) of all images, None for any.

    Raises UsageError where the answer to an image depends on the others of its batch.
    """
    own_size = trained.task.axes == 4
    images = {
        name: image[None]
        for name, image in cases(trained.preprocessing, size, own_size=own_size).items()
    }
    outputs, kept = dict[str, dict[str, np.ndarray]](), dict[str, np.ndarray]()
    for name, image in images.items():
        try:
            outputs[name] = answered(trained, image)
        except Exception:  # whatever a network of somebody else raises on a small image
            if name == "noise" or not own_size:
                raise
            continue
        kept[name] = image
    seven = batch_of(trained.preprocessing, size, own_size=own_size)
    singles = [answered(trained, image[None]) for image in seven]
    kept[BATCH] = seven
    outputs[BATCH] = {k: np.concatenate([one[k] for one in singles]) for k in singles[0]}
    made = References(
        kept, outputs, trained.classes, trained.task.decides, _deviation(list(outputs.values())),
        files=seen(trained, size), thresholds=cuts_of(trained.calibration, len(trained.classes)),
    )  # fmt: skip
    together = answered(trained, seven)
    first = made.names[1]
    error = float(np.abs(together[first].astype(float) - outputs[BATCH][first]).max())
    if not error <= LONELY * made.deviation:
        raise UsageError(
            f"{trained.name} answers differently to an image in a batch than alone: by {error:.3g} at most, the "
            f"deviation of its answers {made.deviation:.3g}; take what looks at the whole batch out of its evaluation form"
        )
    return replace(made, noise=error)


class _Short(nn.Module):
    """A network with its numbers in bfloat16, as torch computes it: (N, C, H, W) float32 to its output in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).bfloat16()

    def forward(self, images: torch.Tensor) -> Any:
        output = self.network(images.bfloat16())
        return map_tensors(output, lambda part: part.float() if part.is_floating_point() else part)


def in_bfloat16(trained: Trained, made: References) -> References:
    """References that allow what bfloat16 costs: 3e-2 of the deviation of the first answers, or twice what torch itself is
    off in bfloat16 where that is more; 7e-2 to 3e-1 with EfficientNet-Lite0's weights, by the image."""
    first = made.names[1]
    short = replace(trained, model=_Short(trained.model).eval())
    try:
        own = [
            float(np.abs(answered(short, image)[first] - made.outputs[case][first]).max())
            for case, images in made.images.items()
            for image in [images if case != BATCH else images[:1]]
        ]
    except Exception:  # whatever a network of somebody else raises in bfloat16
        own = []
    allowed = max([SHARE["bf16"] * made.deviation, *(2 * error for error in own)])
    return replace(made, allowed=allowed)


def seen(trained: Trained, size: tuple[int, int] | None) -> dict[str, tuple[bytes, np.ndarray]]:
    """Image files by name, each with what `predict` shows the network of it, (1, C, h, w) uint8; without those that it
    refuses, such as 8 bits where numbers were learned from."""
    found = {}
    with TemporaryDirectory(prefix="striate-") as folder:
        for name, data in files(
            trained.preprocessing, size, own_size=trained.task.axes == 4
        ).items():
            file = Path(folder) / name
            write_atomically(file, data, durable=False)
            try:
                # For images of one size nothing is decoded at a part of its size.
                image = file if size is None else read_image(file)
                found[name] = (data, trained.task.read(trained, image)[None])
            except DataError:
                continue
    return found


def cuts_of(calibration: Mapping[str, Any], count: int) -> tuple[float, ...]:
    """The probability from which each of `count` tags is given."""
    known = calibration.get("thresholds")
    return tuple(map(float, known)) if known else (USUAL,) * count


def altered(trained: Trained, made: References, precision: str = "f32") -> dict[str, References]:
    """References of faults that a proof must tell apart: colours, no antialias, another mean, temperature, labels.

    precision: of what is proven; where it is coarse, so are the faults that it can be asked to notice.
    """
    how = trained.preprocessing
    some = [n for n in made.images if n != BATCH and n != "black"][:3] + [
        n for n in made.images if "reduced" in n
    ]

    def again(other: Trained, turn: Any = None, names: list[str] = some) -> References:
        outputs = {
            n: answered(other, made.images[n] if turn is None else turn(made.images[n]))
            for n in names
        }
        return replace(made, images={n: made.images[n] for n in names}, outputs=outputs, files={})

    wrong: dict[str, References] = {}
    if how.channels == 3:
        wrong["swapped colours"] = again(trained, lambda image: image[..., ::-1])
    reduced = [n for n in some if "reduced" in n]
    if reduced and how.interpolation != "nearest":
        plain = replace(trained, preprocessing=replace(how, interpolation="nearest"))
        wrong["no antialias"] = again(plain, names=reduced)
    for shift in (0.05, 0.5):  # the larger where fresh weights hardly answer to the smaller
        mean = (how.mean[0] + shift, *how.mean[1:])
        moved = again(replace(trained, preprocessing=replace(how, mean=mean)))
        shown = _shows(made, moved, made.names[1], 2 * made.limit(precision))
        if shown:
            break
    if shown or precision == "f32":
        wrong["another mean"] = moved
    if trained.task.decides and trained.task.axes == 2 and "probabilities" in made.names:
        hotter = replace(trained, temperature=trained.temperature * 1.1)
        if trained.task.decides == "class" and len(trained.classes) > 1:
            made_hotter = again(hotter)
            least = max(SEEN, 4 * made.limit(precision) / trained.temperature)
            if _shows(made, made_hotter, "probabilities", least):
                wrong["another temperature"] = made_hotter
    if len(made.labels) > 1:
        turned = (made.labels[1], made.labels[0], *made.labels[2:])
        wrong["exchanged labels"] = replace(made, labels=turned)
    return wrong


def _shows(made: References, other: References, name: str, least: float) -> bool:
    """Whether any case tells them apart; a network that is sure of all of them gives 1 at every temperature."""
    return any(
        float(np.abs(made.outputs[case][name] - other.outputs[case][name]).max()) > least
        for case in other.images
    )


@torch.no_grad()
def answered(trained: Trained, images: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs for images (N, H, W, C) uint8 as `predict` has them, in float32."""
    how = trained.preprocessing
    enter = how.colours if trained.task.axes == 4 else how.apply
    pixels = np.stack([enter(np.ascontiguousarray(image)) for image in images])
    x = how.normalise(torch.from_numpy(pixels)).contiguous(memory_format=torch.channels_last)
    with borrowed(trained.model) as network, torch.no_grad():
        output = forward(network, x)
        if trained.flip_test:
            mirrored = answer_of(forward(network, x.flip(-1))).float()
            output = answer_of(output).float()
            output = (output + (mirrored.flip(-1) if output.ndim == 4 else mirrored)) / 2
        answers = trained.task.answers(output, trained)
    found = {name: value.cpu().numpy() for name, value in answers.items()}
    first = next(iter(found.values()))
    if trained.task.axes == 2 and trained.task.decides == "class":
        found["probabilities"] = _softmax(first.astype(np.float64) / trained.temperature)
    elif trained.task.decides == "tags":
        found["probabilities"] = (1 / (1 + np.exp(-first.astype(np.float64)))).astype(np.float32)
    return {PIXELS: pixels, **found}


def _softmax(values: np.ndarray) -> np.ndarray:
    shares = np.exp(values - values.max(1, keepdims=True))
    made: np.ndarray = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    return made


def _deviation(outputs: list[dict[str, np.ndarray]]) -> float:
    """Of the first answers; a hundredth of their size where all are the same."""
    first = list(outputs[0])[1]
    values = np.concatenate([one[first].astype(np.float64).ravel() for one in outputs])
    spread = float(values.std())
    return spread if spread > 0 else max(float(np.abs(values).max()) * 0.01, 1e-6)
