"""Splits given in Python: a dict of train, val and test opens with these splits, whatever each of them is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

import striate
from striate.data import open_given
from striate.data.own import given_again
from striate.errors import DataError, UsageError
from striate.runs.given import folder_of

COUNTS = {"train": 30, "val": 6, "test": 9}
RNG = np.random.default_rng(3)
PIXELS = {s: RNG.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8) for s, n in COUNTS.items()}
NUMBERS = {s: np.arange(n) % 3 for s, n in COUNTS.items()}
GIVEN = {s: TensorDataset(torch.from_numpy(PIXELS[s]), torch.from_numpy(NUMBERS[s])) for s in COUNTS}  # fmt: skip


class Named(Dataset[Any]):
    """A Dataset that knows its classes."""

    def __init__(self, split: str, classes: list[str]) -> None:
        self.split, self.classes = split, classes

    def __len__(self) -> int:
        return COUNTS[self.split]

    def __getitem__(self, i: int) -> Any:
        return PIXELS[self.split][i], int(NUMBERS[self.split][i])


FORMS: dict[str, dict[str, Any]] = {
    "datasets": GIVEN,
    "arrays": {s: (PIXELS[s], NUMBERS[s]) for s in COUNTS},
    "columns": {s: {"image": PIXELS[s], "label": NUMBERS[s]} for s in COUNTS},
    "mixed, in another order": {
        "Test": (PIXELS["test"], NUMBERS["test"]), "validation": GIVEN["val"], "train": GIVEN["train"],
    },
    "subsets": {s: Subset(Named(s, ["0", "1", "2"]), range(n)) for s, n in COUNTS.items()},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_dataset_is_the_split_of_its_name(form: str) -> None:
    source = open_given(FORMS[form])
    assert source.classes == ("0", "1", "2")
    for name, split in source.splits.items():
        assert len(split) == COUNTS[name]
        for i, key in enumerate(split.keys):
            number = int(key.removeprefix(f"{name}/"))
            assert np.array_equal(split.image(i), PIXELS[name][number].transpose(1, 2, 0))
            assert split.labels[i] == NUMBERS[name][number]


def test_a_split_that_is_missing_is_drawn_from_train() -> None:
    source = open_given({"train": GIVEN["train"], "test": GIVEN["test"]}, val=0.2)
    assert len(source.test) == 9
    assert len(source.val) > 0
    assert len(source.train) + len(source.val) == 30
    assert {key.partition("/")[0] for key in source.val.keys} == {"train"}


def test_copies_of_test_images_are_taken_out_of_train() -> None:
    leaky = torch.utils.data.ConcatDataset([GIVEN["train"], Subset(GIVEN["test"], [4])])
    source = open_given({**GIVEN, "train": leaky})
    assert len(source.train) == 30
    assert [d.dropped for d in source.duplicates] == [("train/30",)]


def test_masks_come_in_splits_too() -> None:
    masks = {s: (PIXELS[s][:, 0] > 99).astype(np.uint8) for s in COUNTS}
    run_data = {s: (PIXELS[s], masks[s]) for s in COUNTS}
    source = striate.open_source(run_data, task="segment")
    assert {name: len(split) for name, split in source.splits.items()} == COUNTS


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "no split": ({**GIVEN, "extra": GIVEN["val"]}, UsageError, "extra .* is no split; splits are train, val, test"),
    "twice": ({**GIVEN, "valid": GIVEN["val"]}, UsageError, "'val' and 'valid' both name the split val"),
    "no train": ({"test": GIVEN["test"]}, UsageError, "no 'train' to learn from"),
    "empty": ({**GIVEN, "val": Subset(GIVEN["val"], [])}, DataError, "split val, .* holds no images"),
    "classes": (
        {"train": Named("train", ["a", "b", "c"]), "test": Named("test", ["b", "a", "c"])},
        DataError, r"different classes \(train: a, b, c; test: b, a, c\)",
    ),
    "none": ({"train": 3}, UsageError, "int is no data"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_splits_that_cannot_be_used_are_refused_with_the_reason(case: str) -> None:
    data, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        open_given(data)


def test_a_run_learns_from_three_datasets(tmp_path: Any) -> None:
    run = striate.train(GIVEN, model="[conv4-relu]-fc", epochs=1, out=tmp_path / "run")
    source = run.source
    assert {name: len(split) for name, split in source.splits.items()} == COUNTS


def test_a_wrapped_network_is_probed_on_the_test_split_of_a_dict() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    trained = striate.wrap(network, classes=["0", "1", "2"], preprocessing=(8, (0.5,) * 3, (0.5,) * 3))  # fmt: skip
    with folder_of(GIVEN, None, trained) as name:
        assert name is not None
        opened = given_again(name)
        assert {split: len(part) for split, part in opened.splits.items()} == COUNTS
