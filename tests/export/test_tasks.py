"""What a file gives for each task, and the proof of it, with the graph run by torch: that takes no exporter's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from striate.data import Preprocessing
from striate.errors import UsageError
from striate.export.exporting import rows_of
from striate.export.framed import Framed
from striate.export.graph import Graph
from striate.export.proof import compared, unlike
from striate.export.references import References, cuts_of, references
from striate.tasks.table import find_task
from striate.tasks.trained import Trained

CLASSES = ("ant", "bee", "cat")


class Eager:
    """The graph in torch, as a session; `spoil` changes what it answers."""

    engine, precision = "torch", "f32"

    def __init__(
        self, trained: Trained, names: Sequence[str], size: tuple[int, int] | None
    ) -> None:
        self.graph, self.names = Graph(trained, size).eval(), names
        self.spoil = lambda found: found

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        with torch.no_grad():
            values = self.graph(torch.from_numpy(np.array(images)))
        found = {n: v.numpy().copy() for n, v in zip(self.names, values, strict=True)}
        self.spoil(found)
        return {name: found[name] for name in names}


def trained(task: str, model: nn.Module | None = None, **more: object) -> Trained:
    torch.manual_seed(5)
    how = Preprocessing(
        channels=3, height=20, width=24, fit="pad", mean=(0.3, 0.5, 0.6), interpolation="lanczos"
    )
    network = model or nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )  # fmt: skip
    return Trained(
        name=task, model=network.eval(), preprocessing=how, classes=CLASSES, task=find_task(task), **more
    )  # fmt: skip


def proof(made: References, session: Eager, **more: object) -> dict[str, float]:
    """How far each check is off, in what is allowed."""
    about = {
        "labels": CLASSES,
        "precision": "f32",
        "own_size": session.graph.own_size,
        "input": {"size": None},
    }
    about |= {"preprocessing": session.graph.trained[0].preprocessing.to_dict()}
    found = compared(made, session, {**about, **more.pop("about", {})}, **more)
    return {c.name: c.value / max(c.limit, 1e-9) for c in found.checks if not c.passed}


TASKS = {
    "multilabel": {"calibration": {"thresholds": [0.2, 0.5, 0.9]}},
    "regression": {"calibration": {"center": [1.0, -3.0, 50.0], "spread": [2.0, 0.1, 30.0]}},
    "embed": {},
    "classify": {"temperature": 0.6, "flip_test": True},
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_with_one_answer_an_image_passes_and_its_faults_do_not(task: str) -> None:
    network = trained(task, **TASKS[task])
    made = references(network, None)
    session = Eager(network, made.names, None)
    assert not proof(made, session)
    for name in made.names[1:]:
        session.spoil = lambda found, name=name: found[name].__imul__(1.003)
        assert proof(made, session), name


def test_a_tag_that_crosses_its_threshold_is_a_changed_decision() -> None:
    network = trained("multilabel", calibration={"thresholds": [0.2, 0.5, 0.9]})
    made = references(network, None)
    assert made.thresholds == (0.2, 0.5, 0.9) and cuts_of({}, 2) == (0.5, 0.5)
    shares = np.concatenate([v["probabilities"] for v in made.outputs.values()])
    apart = float(np.median(shares[:, 0]))
    made = replace(made, thresholds=(apart * 1.0001, 0.5, 0.9))
    session = Eager(network, made.names, None)
    session.spoil = lambda found: found.update(
        probabilities=np.where(
            found["probabilities"] > apart * 1.0001, 0.01, found["probabilities"]
        )
    )
    assert "decisions that changed" in proof(made, session)


def test_detections_are_compared_as_sets() -> None:
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 7, 3, 2, 1)
    )  # a map of cells
    made_of = trained("detect", network)
    made_of = replace(made_of, preprocessing=replace(made_of.preprocessing, height=64, width=64))
    made = references(made_of, (64, 64))
    session, listed = Eager(made_of, made.names, (64, 64)), rows_of(made_of, made)
    about = {"about": {"input": {"size": [64, 64]}}}
    assert listed(made.outputs["noise"])[0]
    assert not proof(made, session, listed=listed, **about)
    session.spoil = lambda found: found["output"][:, 1].__isub__(2.0)
    assert "objects that differ" in proof(made, session, listed=listed, **about)


ROW = {"path": "0", "class": "ant", "score": 0.9, "left": 1.0, "area": 200, "sure": 0.3}


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 0), ({"score": 0.9005}, 0), ({"left": 1.04}, 0), ({"area": 201}, 0),
        ({"class": "bee"}, 2), ({"score": 0.95}, 2), ({"left": 1.5}, 2), ({"area": 220}, 2),
    ],
)  # fmt: skip
def test_a_row_has_a_partner_that_is_as_good_as_equal(change: dict, count: int) -> None:
    low = {**ROW, "score": 0.3}
    assert unlike([[ROW, low]], [[low, {**ROW, **change}]]) == count
    assert unlike([[ROW, low]], [[ROW]]) == 0  # at the lowest score that is listed
    assert unlike([[ROW]], [[]]) == 1


@pytest.mark.parametrize(
    ("size", "longest", "enlarge"), [((50, 31), 24, 1.0), ((20, 33), 0, 1.7), ((9, 64), 40, 0.5)]
)
def test_a_frame_gives_the_pixels_that_the_task_sees(
    size: tuple[int, int], longest: int, enlarge: float
) -> None:
    how = Preprocessing(channels=3, height=16, width=16, longest=longest, enlarge=enlarge)
    images = np.random.default_rng(1).integers(0, 256, (4, *size, 3)).astype(np.uint8)
    expected = np.stack([how.colours(image) for image in images])
    found = Framed(how, size)(torch.from_numpy(images).permute(0, 3, 1, 2).float())
    assert np.array_equal(found.numpy(), expected)


def test_a_framed_segmenter_goes_out_for_one_size_alone() -> None:
    network = trained("segment", nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)))  # fmt: skip
    network = replace(
        network, preprocessing=replace(network.preprocessing, fit="squash", longest=24)
    )
    with pytest.raises(UsageError, match=r"images of any size; give --size HEIGHTxWIDTH"):
        Graph(network, None)
    made = references(network, (40, 30))
    assert made.outputs["noise"]["pixels"].shape == (1, 3, 24, 18)
    assert not proof(
        made, Eager(network, made.names, (40, 30)), about={"input": {"size": [40, 30]}}
    )


def test_files_are_seen_as_striate_sees_them() -> None:
    network = trained("classify")
    made = references(network, None)
    assert set(made.files) == {
        "grey.png", "alpha.png", "16 bits.png", "turned by EXIF.jpg", "one pixel.png", "one row.png", "large.jpg",
    }  # fmt: skip
    session = Eager(network, made.names, None)
    for name, (data, pixels) in made.files.items():
        other = replace(made, files={name: (data, np.maximum(pixels, 1) - 1)})
        assert "grey levels of the network's input, of files" in proof(other, session), name
    again = References.of(
        made.arrays(), {"labels": CLASSES, "decides": "class", "calibration": {}},
        {"deviation": made.deviation, "noise": made.noise},
    )  # fmt: skip
    assert not proof(again, session) and again.files.keys() == made.files.keys()
