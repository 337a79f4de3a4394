"""The check and the description of boxes: what they count and what they name."""

import numpy as np
import pytest
from box_sets import CAT, DOG, coco, picture, thing

from striate.data.source import Damage
from striate.errors import DataError
from striate.tasks.detect.data.checks import check_boxes
from striate.tasks.detect.data.description import describe_boxes
from striate.tasks.detect.data.source import ArrayBoxSplit, BoxSource
from striate.tasks.detect.data.sources import open_boxes
from striate.tasks.detect.objects import Objects


def source(train, val=((),), test=((),), classes=("cat", "dog"), **more):
    """Each split a list of images, each the labels of its objects."""
    splits = {}
    for number, (name, images) in enumerate((("train", train), ("val", val), ("test", test))):
        pixels = np.random.default_rng(number).integers(
            0, 255, (len(images), 30, 40, 3), dtype=np.uint8
        )
        objects = [
            Objects.of(
                [(1, 1 + i, 11, 11 + i) for i in range(len(own))],
                [max(c, 0) for c in own],
                crowd=[c < 0 for c in own],
            )
            for own in images
        ]
        splits[name] = ArrayBoxSplit.of(
            pixels, objects, [f"{name}/{i}" for i in range(len(images))]
        )
    return BoxSource(
        name="drawn", classes=classes, where="here", fingerprint="0" * 64, **splits, **more
    )


def kinds(finding):
    return {(r["kind"], r["status"]) for r in finding.data["remarks"]}


TEN = [0] * 5 + [1] * 5


def test_nothing_is_wrong_with_good_data():
    found = check_boxes(source([TEN] * 4, [[0, 1]], [[0, 1]]))
    assert found.status == "good" and found.data["remarks"] == []


@pytest.mark.parametrize(
    ("made", "kind", "status"),
    [
        (lambda: source([[0] * 10], [[0]], [[0, 1]]), "untrained class", "problem"),
        (lambda: source([[0] * 10], [[0]], [[0, -1]]), "absent class", "warning"),
        (lambda: source([TEN * 2], [[0]], [[0]]), "untested class", "warning"),
        (lambda: source([[0] * 10 + [1]], [[0, 1]], [[0, 1]]), "rare class", "warning"),
        (lambda: source([[0] * 800 + [1] * 10], [[0, 1]], [[0, 1]]), "imbalance", "note"),
        (lambda: source([TEN * 2], [], []), "few images", "problem"),
        (lambda: source([TEN * 2], [[0, 1]], [[], []]), "background", "problem"),
        (lambda: source([TEN * 2, []], [[0, 1]], [[0, 1]]), "background", "note"),
        (lambda: source([TEN * 2, *[[]] * 30], [[0, 1]], [[0, 1]]), "background", "warning"),
        (lambda: source([TEN * 200], [[0, 1]], [[0, 1]]), "crowded", "note"),
        (lambda: source([TEN * 2], [[0, 1]], [[0, 1]], classes=("cat", "Cat ")), "like names", "problem"),
        (lambda: source([TEN * 2], [[0, 1]], [[0, 1]], warnings=("this was assumed",)), "assumed", "warning"),
        (lambda: source([TEN * 2], [[0, 1]], [[0, 1]], notes=("this was read",)), "assumed", "note"),
        (lambda: source([TEN * 2], [[0, 1]], [[0, 1]], faults=(Damage(path="a", reason="b"),)), "faults", "warning"),
        (lambda: source([TEN * 2], [[0, 1]], [[0, 1]], damaged=(Damage(path="a", reason="b"),)), "damaged", "warning"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_remark(made, kind, status):
    found = check_boxes(made())
    assert (kind, status) in kinds(found)
    assert found.status == min(
        (s for _, s in kinds(found)), key=("problem", "warning", "note").index
    )


@pytest.mark.parametrize(
    "made", [lambda: source([], [[0]], [[0]]), lambda: source([[], [-1]], [[0]], [[0]])]
)
def test_nothing_to_train_on_is_refused(made):
    with pytest.raises(DataError):
        check_boxes(made())


def test_copies_across_splits_are_a_leak(tmp_path):
    for split, numbers in (("train", (0, 1, 2)), ("val", (2, 3))):
        for i in numbers:
            picture(tmp_path / split / f"{i}.png", i)
        coco(
            tmp_path / f"instances_{split}.json",
            [(i, f"{split}/{i}.png", 40, 30) for i in numbers],
            [thing(i, i) for i in numbers],
        )
    found = check_boxes(open_boxes(tmp_path, test=0.0))
    assert ("leak", "warning") in kinds(found)


def test_a_table_lists_every_fault(tmp_path):
    picture(tmp_path / "0.png")
    coco(
        tmp_path / "a.json",
        [(0, "0.png", 40, 30)],
        [thing(1, 0), thing(2, 0, (90.0, 1.0, 95.0, 5.0))],
    )
    found = check_boxes(open_boxes(tmp_path, val=0.0, test=0.0))
    assert [t.caption for t in found.tables][-1] == "Objects that were mended or left out"
    assert found.data["faults"][0]["path"] == "0.png"


def test_the_description_counts(tmp_path):
    for i in range(2):
        picture(tmp_path / f"{i}.png", i, size=(400, 300))
    boxes = [CAT, (100.0, 100.0, 150.0, 150.0), (100.0, 100.0, 300.0, 250.0)]
    things = [thing(i, 0, box) for i, box in enumerate(boxes)] + [
        thing(9, 0, DOG, 2),
        thing(10, 0, DOG, 2, iscrowd=1),
    ]
    coco(tmp_path / "a.json", [(i, f"{i}.png", 400, 300) for i in range(2)], things)
    found = describe_boxes(open_boxes(tmp_path, val=0.0, test=0.0))
    assert found.data["objects"] == {"train": [3, 1], "val": [0, 0], "test": [0, 0]}
    assert found.data["sizes"] == {"small": 2, "medium": 1, "large": 1}
    assert (
        found.data["background"] == 1
        and found.data["crowds"] == 1
        and found.data["most_objects"] == 5
    )
    assert found.data["format"] == "COCO JSON"
    assert [f.media for f in found.figures] == ["image/webp", "image/svg+xml"]


def test_the_description_of_scenes_and_of_images_of_every_depth(tmp_path):
    assert len(describe_boxes(open_boxes("scenes", count=12, size=64)).figures) == 2
    import tifffile

    deep = np.random.default_rng(0).integers(0, 60_000, (30, 40), dtype=np.uint16)
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", deep + i)
    coco(
        tmp_path / "a.json", [(i, f"{i}.tif", 40, 30) for i in range(2)], [thing(1, 0), thing(2, 1)]
    )
    assert len(describe_boxes(open_boxes(tmp_path, val=0.0, test=0.0)).figures) == 3
