"""Tags, numbers and masks given in Python: arrays and Datasets learn as tables and folders do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.data import open_given
from striate.errors import DataError
from striate.tasks.table import open_source

N = 48
RNG = np.random.default_rng(0)
YES = RNG.integers(0, 2, (N, 2))
IMAGES = RNG.integers(0, 90, (N, 12, 12, 3), dtype=np.uint8)
IMAGES[:, :6, :, 0] += (150 * YES[:, :1, None]).astype(np.uint8)
IMAGES[:, 6:, :, 1] += (150 * YES[:, 1:, None]).astype(np.uint8)
WORDS = [[n for n, yes in zip(("upper", "lower"), row, strict=True) if yes] for row in YES]
NUMBERS = IMAGES[..., 0].mean((1, 2)) / 10
MASKS = (IMAGES.max(-1) > 120).astype(np.int64)


class Items(Sequence[Any]):
    """A Dataset: a length and items by number."""

    def __init__(self, targets: Any, classes: Sequence[str] | None = None) -> None:
        self.targets = targets
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return N

    def __getitem__(self, number: Any) -> Any:
        return torch.from_numpy(IMAGES[number].transpose(2, 0, 1)), self.targets[number]


def bright() -> nn.Module:
    """A layer that knows at its beginning where red and green are bright."""
    network = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        network.weight.zero_()
        network.weight[1, :2], network.weight[0, :2] = 3.0, -3.0
        network.bias.copy_(torch.tensor([3.0, -3.0]))
    return network


FORMS: dict[str, tuple[str, Any, dict[str, Any], tuple[str, ...]]] = {
    "rows of tags": ("multilabel", (IMAGES, YES), {"targets": "upper, lower"}, ("upper", "lower")),
    "lists of tags": ("multilabel", (IMAGES, WORDS), {}, ("lower", "upper")),
    "dataset of tags": ("multilabel", Items(torch.from_numpy(YES), ("a", "b")), {}, ("a", "b")),
    "a number": ("regression", (IMAGES, NUMBERS), {"targets": "age [years]"}, ("age [years]",)),
    "two numbers": ("regression", (IMAGES, np.stack([NUMBERS, YES[:, 0]], 1)), {}, ("number 0", "number 1")),
    "dataset of numbers": ("regression", Items(torch.from_numpy(NUMBERS)), {}, ("number",)),
    "masks": ("segment", (IMAGES, MASKS), {}, ("background", "object")),
    "masks of 255": ("segment", (IMAGES, (255 * MASKS).astype(np.uint8)), {}, ("background", "object")),
    "dataset of masks": ("segment", Items(torch.from_numpy(MASKS)[:, None]), {}, ("background", "object")),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_opens_with_its_images_and_targets(form: str) -> None:
    task, data, more, classes = FORMS[form]
    source = open_source(data, task=task, **more)
    assert source.classes == classes and len(source) == N
    for split in source.splits.values():
        assert len(split)
        for i, key in enumerate(split.keys):
            number = int(key.split("/")[1])
            assert np.array_equal(split.image(i), IMAGES[number])
            if task == "segment":
                assert np.array_equal(split.mask(i), MASKS[number])
                assert (
                    split.pixels[i].tolist()
                    == np.bincount(MASKS[number].ravel(), minlength=2).tolist()
                )
            elif form == "lists of tags":
                assert split.targets[i].tolist() == YES[number, ::-1].tolist()
            elif task == "multilabel":
                assert split.targets[i].tolist() == YES[number].tolist()
            else:
                assert split.targets[i, 0] == np.float32(NUMBERS[number])


@pytest.mark.parametrize("form", ["rows of tags", "dataset of numbers", "masks"])
def test_each_task_trains_predicts_probes_explains_and_reports(form: str, tmp_path: Path) -> None:
    task, data, more, classes = FORMS[form]
    model = bright() if task == "segment" else "[conv4-relu-pool]-fc"
    held = open_source(data, task=task, **more)  # as long as it is held its run can be probed
    run = striate.train(held, task=task, model=model, epochs=1, out=tmp_path / "run")
    assert run.classes == classes and run.info["results"]["images"] == len(held.test)
    predictions = list(run.predict(IMAGES[:3]))
    assert len(predictions) == 3 and all(p.error is None for p in predictions)
    assert run.probe(names=["flip"])[0].name == "probe-flip"
    assert len(list(run.explain(IMAGES[:1], methods=["gradient"], trust=False))) == 1
    assert run.report().is_file()


@pytest.mark.parametrize(
    ("task", "labels"),
    [("multilabel", YES), ("regression", np.stack([NUMBERS, NUMBERS * 2], 1))],
    ids=["multilabel", "regression"],
)  # fmt: skip
def test_a_network_of_tags_or_numbers_trained_elsewhere_is_wrapped(
    task: str, labels: np.ndarray, tmp_path: Path
) -> None:
    class Exact(nn.Module):
        """Knows the numbers, or tags, from the images."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            red = x[:, 0].mean((1, 2)) * 25.5 * self.scale
            if task == "regression":
                return torch.stack([red, 2 * red], 1)
            halves = torch.stack([x[:, 0, :6].amax((1, 2)), x[:, 1, 6:].amax((1, 2))], 1)
            return 99 * (halves - 0.5)

    trained = striate.wrap(
        Exact(), classes=("one", "two"), preprocessing=(12, (0.0,) * 3, (1.0,) * 3), task=task
    )
    (found, *_) = trained.probe(IMAGES, labels, names=["flip"])
    assert found.data["images"] == N  # all that were given: it learned from none
    assert found.data["clean"] == pytest.approx(1, abs=1e-3)
    page = trained.report(IMAGES, labels, out=tmp_path / "page.html").read_text()
    assert f"{N} test" in page and "0 train" in page
    if task == "multilabel":  # words are brought into the network's order
        lists = [
            [n for n, yes in zip(("two", "one"), row[::-1], strict=True) if yes] for row in YES
        ]
        assert trained.probe(IMAGES, lists, names=["flip"])[0].data["clean"] == found.data["clean"]


WRONG: dict[str, tuple[str, Any, str]] = {
    "tags of two lengths": ("multilabel", [[0, 1]] * 20 + [[1]] * 28, "item 20 .* has 1 tags and item 0 has 2"),
    "tags of two kinds": ("multilabel", [["a"]] * 20 + [[0, 1]] * 28, "item 20 .*give one kind for all"),
    "no 0 or 1": ("multilabel", [[0, 1]] * 20 + [[0, 0.5]] * 28, "item 20 .*0.5"),
    "tags that are none": ("multilabel", [None, *WORDS[1:]], "item 0 .* are None; give a list of words"),
    "tags all the same": ("multilabel", [["a"]] * N, "has the same tags"),
    "NaN": ("regression", [float("nan"), *NUMBERS[1:]], r"item 0 .* is missing or infinite \(nan\)"),
    "a word": ("regression", ["tall", *NUMBERS[1:]], "item 0 .*'tall'.* numbers are learned"),
    "numbers of two lengths": ("regression", [[1.0, 2.0], *([v] for v in NUMBERS[1:])], "item 1 .* has 1 numbers"),
    "one number": ("regression", [3.0] * N, "number is 3 for every image"),
    "a mask of another size": ("segment", np.zeros((N, 5, 5), int), r"item 0 .* \(5, 5\); give one of the shape \(12, 12\)"),
    "fractions": ("segment", MASKS / 2 + 0.25, "item 0 .* holds fractions"),
    "NaN in a mask": ("segment", np.full(MASKS.shape, np.nan), "item 0 .* holds NaN"),
    "many classes": ("segment", MASKS * 300, "holds 300; classes are numbers from 0 to 254"),
    "no class": ("segment", MASKS * 0, "hold one class, 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_targets_that_cannot_be_learned_say_why(case: str) -> None:
    task, labels, words = WRONG[case]
    with pytest.raises(DataError, match=words):
        open_source((IMAGES, labels), task=task)


def test_labels_that_are_no_classes_name_the_task_that_learns_them() -> None:
    for labels, words in (
        (YES, "task='multilabel'"),
        (NUMBERS, "task='regression'"),
        (MASKS, "task='segment'"),
    ):
        with pytest.raises(DataError, match=words):
            open_given((IMAGES, labels))
