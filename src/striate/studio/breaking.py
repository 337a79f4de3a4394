"""Breaking: accuracy along a slider, the layer and the channels through which it breaks, and what silencing them changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.errors import UsageError
from striate.robustness.activation_shift import Recorder
from striate.robustness.context import Context
from striate.robustness.failure_localisation import locate_failure, silenced
from striate.statistics.intervals import wilson
from striate.studio.changes import STILL, altered_all, range_of
from striate.studio.desk import Part
from striate.studio.numbers import number_from, text_in, whole_in
from striate.studio.shelf import Network

AT_ONCE = 50  # images of a part of an answer
# A condition in words, by its amount and that in percent.
WORDS = {
    "right": "a shift of {1:.0f} % to the right", "down": "a shift of {1:.0f} % down", "degrees": "a turn of {0:.0f}°",
    "scale": "a scale of {0:.2f}", "blur": "a blur of {1:.1f} % of the side", "noise": "noise of {0:.2f}",
    "brightness": "a brightness of {1:.0f} %", "contrast": "a contrast of {1:.0f} %",
}  # fmt: skip
COUNTS = (5, 9, 17)  # points of a curve, coarse to fine


def broken(one: Network, question: Mapping[str, Any]) -> Iterator[Part]:
    """Accuracy on the labelled images along one slider, coarse to fine, each point with its 95 % interval.

    Array `points` (P, 5): amount, accuracy, low, high, images. With `layer` and `channels` those are held at their clean
    mean; `random` draws as many others of the layer instead.
    """
    along = text_in(question, "along")
    ends = range_of(along)
    images, labels = one.labelled
    silencing = Silencing.asked(one, question)
    known: dict[float, list[float]] = {}
    for count in COUNTS:
        for value in np.linspace(*ends, count).tolist():
            if value in known:
                continue
            right = seen = 0
            for first in range(0, len(images), AT_ONCE):
                part = images[first : first + AT_ONCE].float() / 255
                changed = altered_all(part, {**STILL, along: value})
                with torch.inference_mode(), silencing():
                    best = answer_of(one.module(changed)).argmax(1)
                right += int((best == labels[first : first + AT_ONCE]).sum())
                seen += len(part)
                known[value] = [value, right / seen, *wilson(right, seen), seen]
                points = np.array([known[v] for v in sorted(known)], np.float32)
                yield {"along": along, "of": len(images), **silencing.told}, {"points": points}


class Silencing:
    """Channels of a layer that are held at their clean mean; none of no layer. A `with` each time it is called."""

    def __init__(
        self, one: Network, layer: str = "", channels: Sequence[int] = (), random: bool = False
    ) -> None:  # fmt: skip
        self.told: dict[str, Any] = {}
        self._module, self._mean, self._channels = None, torch.zeros(0), list(channels)
        if not layer:
            return
        recorder = recorder_of(one)
        name = f"model.{layer}"
        if name not in recorder.layers or recorder.clean is None:
            raise UsageError(
                f"channels of {layer!r} cannot be silenced; choose a layer that was found"
            )
        self._module = recorder.layers[name]
        self._mean = recorder.clean.responses[name].mean(0)
        if any(not 0 <= c < len(self._mean) for c in channels):
            raise UsageError(
                f"{layer} has channels 0 to {len(self._mean) - 1}, got {list(channels)}"
            )
        if random:
            others = torch.tensor([c for c in range(len(self._mean)) if c not in set(channels)])
            drawn = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))
            self._channels = others[drawn][: len(channels)].tolist()
        self.told = {"layer": layer, "channels": self._channels, "random": random}

    @classmethod
    def asked(cls, one: Network, question: Mapping[str, Any]) -> Silencing:
        """As a question wants it. Raises UsageError for channels that are none."""
        if "layer" not in question:
            return cls(one)
        channels = question.get("channels")
        if not isinstance(channels, list) or not 1 <= len(channels) <= 64:
            raise UsageError("the page sent no channels; load it again")
        given = [whole_in({"channel": c}, "channel", 0, 1 << 20) for c in channels]
        return cls(one, text_in(question, "layer"), given, question.get("random") is True)

    def __call__(self) -> contextlib.AbstractContextManager[None]:
        """Silent for the time of a `with`."""
        if self._module is None:
            return contextlib.nullcontext()
        return silenced(self._module, self._channels, self._mean)


def recorder_of(one: Network) -> Recorder:
    """The mean responses of all layers to the labelled images as they are; kept for the next question."""
    if one.recorder is None:
        images, labels = one.labelled
        context = context_of(one, images, labels, Recorder(one.module))
        _ = context.clean
        one.recorder = context.recorder
    assert one.recorder is not None
    return one.recorder


def context_of(one: Network, images: Tensor, labels: Tensor, recorder: Recorder) -> Context:
    """The network on images (N, C, H, W) uint8 with labels (N,)."""
    trained = one.trained
    return Context(
        model=one.module, images=images, targets=labels, classes=trained.classes, seed=trained.seed,
        recorder=recorder, temperature=trained.temperature, task=trained.task,
    )  # fmt: skip


def located(one: Network, question: Mapping[str, Any]) -> Iterator[Part]:
    """At which layer the failure under one amount of a change enters, and which channels carry it."""
    along = text_in(question, "along")
    amount = number_from(question.get("amount"), along, *range_of(along))
    images, labels = one.labelled
    recorder = recorder_of(one)
    recorder.forget()
    context = context_of(one, images, labels, recorder)
    changed = altered_all(images.float() / 255, {**STILL, along: amount})
    right = context.is_correct(changed, note=WORDS[along].format(amount, 100 * amount))
    found = locate_failure(context)
    clean = recorder.clean
    assert clean is not None
    header: dict[str, Any] = {
        "along": along, "amount": amount, "of": len(images), "right": int(right.sum()),
        "clean": int(clean.is_correct.sum()),
    }  # fmt: skip
    if found is None:
        yield {**header, "found": None}, {}
        return
    yield (
        {
            **header,
            "found": {
                "sentence": found.sentence, "layer": found.layer, "confirmed": found.confirmed,
                "channels": [{"channel": c, "moves": m, "takes": g} for c, m, g in found.channels],
                "curve": [{"layer": n, "failing": a, "other": b} for n, a, b in found.curve],
            },
        },
        {},
    )  # fmt: skip
