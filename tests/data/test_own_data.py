"""Data given in Python: Datasets, arrays and tables open as a folder of the same images does."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data import Source, open_given
from striate.data import open_source as open_named
from striate.errors import DataError, StriateError, UsageError

N = 40
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (N, 6, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (N, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(N) % 3


class Items(Sequence[Any]):
    """A Dataset: a length and items by number."""

    def __init__(self, items: Sequence[Any], classes: Sequence[str] | None = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: Any) -> Any:
        return self.items[number]


def pairs(images: Any) -> Items:
    return Items([(image, int(label)) for image, label in zip(images, LABELS, strict=True)])


def pixels(source: Source) -> dict[str, np.ndarray]:
    return {
        key: split.image(i) for split in source.splits.values() for i, key in enumerate(split.keys)
    }


FORMS: dict[str, tuple[Any, np.ndarray]] = {
    "grey arrays": ((GREY, LABELS), GREY[..., None]),
    "colour arrays": ((COLOUR, LABELS), COLOUR),
    "channels first": ((COLOUR.transpose(0, 3, 1, 2), LABELS.tolist()), COLOUR),
    "tensors": ((torch.from_numpy(GREY)[:, None], torch.from_numpy(LABELS)), GREY[..., None]),
    "tensors of floats": ((torch.from_numpy(GREY)[:, None] / 255, LABELS), GREY[..., None]),
    "dataset of tensors": (pairs(torch.from_numpy(COLOUR.transpose(0, 3, 1, 2))), COLOUR),
    "dataset of floats": (pairs(torch.from_numpy(COLOUR.transpose(0, 3, 1, 2)) / 255), COLOUR),
    "dataset of PIL": (pairs([Image.fromarray(image) for image in COLOUR]), COLOUR),
    "list of pairs": (list(pairs(GREY)), GREY[..., None]),
    "dicts": (Items([{"image": x, "label": y} for x, y in zip(GREY, LABELS, strict=True)]), GREY[..., None]),
    "columns": ({"image": GREY, "label": LABELS}, GREY[..., None]),
    "transparency": (pairs([Image.fromarray(image).convert("RGBA") for image in COLOUR]), COLOUR),
    "truth": ((GREY > 99, LABELS), (GREY > 99)[..., None] * np.uint8(255)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_images_of_every_form_are_the_same_pixels(form: str) -> None:
    data, expected = FORMS[form]
    source = open_given(data)
    assert source.classes == ("0", "1", "2")
    assert len(source) == N
    for key, image in pixels(source).items():
        number = int(key.rpartition("/")[2])
        assert image.dtype == np.uint8
        assert np.array_equal(image, expected[number])


def test_the_split_is_drawn_by_content_and_seed() -> None:
    one, same, other = (open_given((GREY, LABELS), seed=seed) for seed in (0, 0, 1))
    assert one.train.keys == same.train.keys
    assert one.fingerprint == same.fingerprint != other.fingerprint
    turned = open_given((GREY[::-1].copy(), LABELS[::-1].copy()))
    assert turned.fingerprint == one.fingerprint  # the order of the images decides nothing
    changed = GREY.copy()
    changed[3, 0, 0] ^= 1
    assert open_given((changed, LABELS)).fingerprint != one.fingerprint


def test_a_dataset_is_read_when_asked_for_and_knows_its_classes() -> None:
    source = open_given(Items(pairs(GREY).items, classes=("ant", "bee", "cat", "dog")))
    assert source.classes == ("ant", "bee", "cat", "dog")
    assert source.train.array is None
    assert source.where == "a Items given in Python (40 items)"
    assert source.name == f"python:Items-{source.fingerprint[:8]}"


def test_deeper_images_keep_their_numbers() -> None:
    deep = open_given((GREY.astype(np.uint16) * 200, LABELS)).train
    assert deep.image(0).dtype == np.uint16
    assert (deep.white_stated == 65535).all()
    measured = open_given((GREY.astype(np.float64) - 3.5, LABELS))
    assert measured.train.image(0).dtype == np.float32
    assert (measured.train.white_stated == 0).all()
    assert "taken as measured numbers" in measured.notes[0]


def columns(folder: Path) -> dict[str, list[str]]:
    folder.mkdir()
    for i, image in enumerate(GREY):
        Image.fromarray(image).save(folder / f"{i}.png")
    return {
        "path": [str(folder / f"{i}.png") for i in range(N)],
        "label": [("ant", "bee", "cat")[label] for label in LABELS],
        "split": ["train"] * 20 + ["val"] * 10 + ["test"] * 10,
    }


class Column(list[Any]):
    """A column of any of three libraries."""

    tolist = to_list = to_pylist = lambda self: list(self)


class Frame:
    """A table with the interface of one library."""

    def __init__(self, table: dict[str, list[Any]], **interface: Any) -> None:
        self.table = table
        for name, value in interface.items():
            setattr(self, name, value)

    def __getitem__(self, name: str) -> Column:
        return Column(self.table[name])


@pytest.mark.parametrize("library", ["dict", "pandas", "polars", "pyarrow"])
def test_tables_of_paths_and_labels(tmp_path: Path, library: str) -> None:
    table = columns(tmp_path / "images")
    names = list(table)
    data: Any = {
        "dict": table,
        "pandas": Frame(table, columns=names, iloc=None),
        "polars": Frame(table, columns=names, get_column=None),
        "pyarrow": Frame(table, column_names=names, to_pydict=None),
    }[library]
    source = open_given(data)
    assert source.classes == ("ant", "bee", "cat")
    assert [len(split) for split in source.splits.values()] == [20, 10, 10]
    assert np.array_equal(source.val.image(0)[..., 0], GREY[20])


def lines(*labels: Any) -> tuple[np.ndarray, list[Any]]:
    return GREY[: len(labels)], list(labels)


REFUSED: dict[str, tuple[Any, str]] = {
    "types of labels": (lines(0, 1, "cat"), r"label of item 2 .* is a word, 'cat', and that of item 0 a number"),
    "fraction": (lines(0, 1.5, 2), r"label of item 1 .* is a fraction"),
    "missing": (lines(0, 1, float("nan")), r"label of item 2 .* is missing"),
    "none": (lines(0, None, 2), r"label of item 1 .* is missing"),
    "one-hot": ((GREY, np.eye(3)[LABELS]), r"label of item 0 .* holds 3 values"),
    "mask": (Items([(x, x) for x in GREY]), r"label of item 0 .* as a mask has"),
    "one class": (lines(4, 4, 4), "holds one class, '4'"),
    "lengths": ((GREY, LABELS[:-1]), "40 images and 39 labels"),
    "empty": ((GREY[:0], LABELS[:0]), "no images"),
    "types of images": (Items([(GREY[0], 0), (GREY[1], 1), ("gone.png", 1)]), "item 2 .*gone.png"),
    "object": (Items([(GREY[0], 0), (object(), 1)]), "item 1 .* image is object"),
    "shape": (Items([(GREY[0], 0), (np.zeros((5, 6, 7)), 1)]), r"item 1 .* shape \(5, 6, 7\)"),
    "axes": (Items([(GREY[0], 0), (np.zeros(7), 1)]), "item 1 .* has 1 axes"),
    "infinite": (Items([(GREY[0], 0), (np.full((3, 3), np.inf), 1)]), "item 1 .* infinite"),
    "texts": (Items([(GREY[0], 0), (np.array([["a"]]), 1)]), "item 1 .* not numbers"),
    "three": (Items([(GREY[0], 0, 0)]), r"item 0 .* a tuple of 3; give \(image, label\)"),
    "no pair": (Items([GREY[0]]), "item 0 .* is a ndarray; give"),
    "dict": (Items([{"image": GREY[0], "number": 3}]), "item 0 .* has image, number, and not both"),
    "raises": (SimpleNamespace(), "is no data to learn from"),
    "generator": (iter([1]), r"give list\(data\)"),
    "number": (3, "int is no data"),
    "columns": ({"picture": ["a"], "weight": [1]}, "hold no images with labels"),
    "no file": ({"path": ["a.png"], "label": ["x"]}, "1 of 1 files in column path are not there, the first in row 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learned_from_is_refused_with_its_item(case: str) -> None:
    data, words = REFUSED[case]
    with pytest.raises((UsageError, DataError), match=words):
        open_given(data)


def test_a_dataset_that_raises_is_named_with_the_item() -> None:
    class Broken(Items):
        def __getitem__(self, number: Any) -> Any:
            if number == 2:
                raise OSError("disk")
            return super().__getitem__(number)

    with pytest.raises(DataError, match=r"item 2 of a Broken .* cannot be read: OSError: disk"):
        open_given(Broken(pairs(GREY).items))


def test_a_transform_that_draws_is_refused() -> None:
    class Noisy(Items):
        def __getitem__(self, number: Any) -> Any:
            image, label = self.items[number]
            return image + RNG.integers(0, 99, image.shape), label

    with pytest.raises(DataError, match=r"differs from one reading to the next.*augment="):
        open_given(Noisy(pairs(GREY).items))


def test_a_source_opens_again_under_its_name_as_long_as_it_is_held() -> None:
    source = open_given((GREY, LABELS))
    name = source.name
    assert open_named(name) is source
    del source
    with pytest.raises(StriateError, match=r"was given in Python.*data="):
        open_named(name)


def test_a_run_of_arrays_says_what_they_were(tmp_path: Path) -> None:
    images = np.concatenate([GREY[LABELS == 0] // 4, 255 - GREY[LABELS == 1] // 4])
    run = striate.train(
        (images, ["dark"] * 14 + ["light"] * 13), out=tmp_path / "run", model="[conv4-relu]-fc", epochs=1
    )  # fmt: skip
    assert run.classes == ("dark", "light")
    assert run.info["data"]["where"] == "arrays given in Python (27 x 6 x 5)"
    assert run.recipe.data.startswith("python:arrays-")
    assert striate.open_source(run.recipe.data).fingerprint == run.info["data"]["fingerprint"]
    name = run.recipe.data
    del run
    gc.collect()  # what a training leaves may hold itself in a circle
    with pytest.raises(StriateError, match=r"was given in Python.*--data"):
        striate.open_source(name)


def test_a_source_is_taken_as_it_is() -> None:
    digits = striate.open_source("digits")
    again = striate.open_source(digits)
    assert again.name == f"python:digits-{digits.fingerprint[:8]}"
    assert again.train is digits.train
    assert striate.open_source(again.name) is again


def test_a_part_of_a_dataset_keeps_the_names_of_the_whole() -> None:
    # torch.utils.data.Subset, random_split: what torchvision's ImageFolder knows stands in the dataset inside.
    items = [(image, int(label)) for image, label in zip(COLOUR, LABELS, strict=True)]
    whole = Items(items, classes=("ash", "beech", "elm"))
    part = torch.utils.data.Subset(torch.utils.data.Subset(whole, range(36)), range(30))  # type: ignore[arg-type]
    assert open_given(part).classes == ("ash", "beech", "elm")
