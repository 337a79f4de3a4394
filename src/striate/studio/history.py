"""History: a training under way or over, epoch by epoch, and what a person may ask of one that is under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.answer import answer_of
from striate.errors import UsageError
from striate.runs.kept import kept_epochs
from striate.runs.record import read_metrics
from striate.runs.steering import LOWEST, live_of, steer
from striate.studio.describing import thumbnail
from striate.studio.desk import Part
from striate.studio.numbers import number_from
from striate.studio.shelf import Network
from striate.units.filters import kernels_of

HARDEST = 12
FILTERS = 64
AT_ONCE = 50


def folder_of(one: Network) -> Path:
    """The folder of a network's run. Raises UsageError for one that comes from none."""
    path = Path(one.base)
    if not path.is_dir():
        raise UsageError(f"{one.base} has no training to look at; start the studio with a run")
    return path


def history(one: Network) -> Part:
    """The metrics of all epochs, which of them are kept, and where a training stands that is under way."""
    path = folder_of(one)
    run = one.run()
    if run.wrapped:
        raise UsageError(f"{one.base} was trained elsewhere: there are no epochs of it to look at")
    rows = read_metrics(path / "metrics.csv")
    names = [n for n in (rows[0] if rows else {}) if n.startswith(("train_", "val_"))]
    return {
        "name": one.base, "finished": run.finished, "rows": rows, "metrics": names, "kept": kept_epochs(path),
        "live": live_of(path), "seconds": run.info.get("training", {}).get("seconds"),
    }, {}  # fmt: skip


def steered(one: Network, question: Mapping[str, Any]) -> Part:
    """Pause, go on, stop, or lower the learning rate of a training that is under way. Raises UsageError where none is."""
    path = folder_of(one)
    if live_of(path) is None:
        raise UsageError(f"no training of {one.base} is under way")
    wishes: dict[str, Any] = {}
    for name in ("pause", "stop"):
        if name in question:
            wishes[name] = question[name] is True
    if "rate" in question:
        wishes["rate"] = number_from(
            question["rate"], "the share of the learning rate", LOWEST, 1.0
        )
    steer(path, wishes)
    return {"asked": wishes}, {}


def filters(one: Network) -> Part:
    """The first kernels of a network that see more than one pixel: `filters` (U, h, w, 3) uint8 in colour, each stretched
    to its own range, or (U, h, w) of the first input channel. Raises UsageError where there are none."""
    network = one.units
    for layer in network.layers:
        kernels = kernels_of(network, layer)
        if kernels is None or kernels.shape[-1] < 2:
            continue
        some = kernels[:FILTERS]
        header = {"layer": layer.name, "count": len(kernels)}
        if some.shape[1] == 3:
            most = some.flatten(1).abs().amax(1).clamp(min=1e-12).view(-1, 1, 1, 1)
            levels = ((0.5 + 0.5 * some / most) * 255).round().to(torch.uint8)
            return header, {"filters": np.ascontiguousarray(levels.permute(0, 2, 3, 1).numpy())}
        return header, {"filters": some[:, 0].numpy().astype(np.float32)}
    raise UsageError(f"{one.base} has no filters that see more than one pixel")


def confusion(one: Network) -> Iterator[Part]:
    """How often each class is taken for which, on the labelled images, and the images that are hardest; as they are seen.

    Array `counts` (K, K) int32: rows are labels. `hardest` of the header: number, label, prediction, and the probability of
    the label.
    """
    images, labels = one.labelled
    k = len(one.trained.classes)
    counts = np.zeros((k, k), np.int32)
    shares: list[torch.Tensor] = []
    best: list[torch.Tensor] = []
    for first in range(0, len(images), AT_ONCE):
        part, truth = images[first : first + AT_ONCE], labels[first : first + AT_ONCE]
        with torch.inference_mode():
            answer = answer_of(one.module(part.float() / 255)).float() / one.trained.temperature
        shares.append(answer.softmax(1).gather(1, truth[:, None])[:, 0])
        best.append(answer.argmax(1))
        np.add.at(counts, (truth.numpy(), best[-1].numpy()), 1)
        own = torch.cat(shares)
        said = torch.cat(best)
        order = own.argsort(stable=True)[:HARDEST].tolist()
        header = {
            "classes": list(one.trained.classes), "of": len(images), "seen": len(own),
            "hardest": [
                {
                    "id": f"t{i}", "label": one.trained.classes[int(labels[i])], "said": one.trained.classes[int(said[i])],
                    "share": float(own[i]),
                }
                for i in order
            ],
        }  # fmt: skip
        yield (
            header,
            {"counts": counts.copy(), **{f"t{i}": thumbnail(images[i].numpy()) for i in order}},
        )
