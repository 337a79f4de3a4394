"""Round trips: generated objects are written in every format and read again, and are equal."""

import json
import subprocess
import sys

import numpy as np
import pytest
from box_sets import CAT, coco, picture, pictures, thing, whole

from striate.errors import DataError, UsageError
from striate.tasks.detect.data.convert import convert_boxes
from striate.tasks.detect.data.sources import open_boxes
from striate.tasks.detect.data.writers import WRITERS

PIXELS = ("coco", "labelme", "cvat")  # formats that hold outlines


def a_set(folder, *, outlines, splits=True, seed=0):
    """Images with objects of any place and size, crowds and background, as COCO JSON written here."""
    rng = np.random.default_rng(seed)
    for number, split in enumerate(("train", "val", "test") if splits else ("images",)):
        images, things = [], []
        for i in range(4):
            width, height = (int(n) for n in rng.integers(20, 60, 2))
            picture(folder / split / f"{i}.png", 100 * seed + 10 * number + i, size=(width, height))
            images.append((i, f"{split}/{i}.png", width, height))
            for _ in range(0 if i == 3 else int(rng.integers(1, 6))):
                left, top = rng.random(2) * (width - 8, height - 8)
                right, bottom = (
                    left + 2 + rng.random() * (width - left - 2),
                    top + 2 + rng.random() * (height - top - 2),
                )
                more = {}
                if outlines:
                    points = rng.random((5, 2)) * (right - left, bottom - top) + (left, top)
                    more["segmentation"] = [points.ravel().tolist()]
                things.append(
                    thing(
                        len(things), i, (left, top, right, bottom), int(rng.integers(1, 3)),
                        iscrowd=int(rng.random() < 0.2), **more,
                    )
                )  # fmt: skip
        coco(folder / f"instances_{split}.json", images, things)
    return folder


def objects(source):
    """Content of an image -> its split and objects, whatever the files are called; crowds after the others."""
    found = {}
    for name, split in source.splits.items():
        for i, own in enumerate(split.objects):
            order = np.lexsort([*own.boxes.T.round(6), own.labels])
            found[split.image(i).tobytes()] = (
                name,
                own.take(order),
                [source.classes[n] for n in own.labels[order]],
            )
    return found


@pytest.mark.parametrize("outlines", [False, True], ids=["boxes", "outlines"])
@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("seed", range(3))
def test_what_was_written_is_read_again(tmp_path, to, outlines, seed):
    folder = a_set(tmp_path / "in", outlines=outlines, seed=seed)
    finding = convert_boxes(folder, tmp_path / "out", to=to)
    before, after = objects(open_boxes(folder)), objects(open_boxes(tmp_path / "out"))
    assert before.keys() == after.keys()
    for key, (split, old, classes) in before.items():
        other, new, names = after[key]
        assert other == split
        keep = ~old.crowd if to == "yolo" else np.ones(len(old), bool)
        old = old.take(keep)
        assert names == [c for c, k in zip(classes, keep, strict=True) if k]
        np.testing.assert_allclose(new.boxes, old.boxes, rtol=1e-12, atol=1e-12)
        assert new.crowd.tolist() == old.crowd.tolist()
        if to in PIXELS and old.regions is not None:
            for a, b in zip(old.regions, new.regions, strict=True):
                assert a.box == b.box and np.array_equal(a.mask, b.mask)
        else:
            assert new.regions is None
    lost = finding.data["lost"]
    assert bool(lost) == ((outlines and to not in PIXELS) or to == "yolo")


@pytest.mark.parametrize("to", WRITERS)
def test_without_images_the_annotations_hold_in_the_folder_of_the_data(tmp_path, to):
    folder = a_set(tmp_path / "in", outlines=False, splits=False)
    before = whole(open_boxes(folder))
    convert_boxes(folder, tmp_path / "out", to=to, images=False)
    assert not list((tmp_path / "out").rglob("*.png"))
    (folder / "instances_images.json").unlink()
    for path in sorted((tmp_path / "out").rglob("*")):
        if path.is_file():
            place = folder / path.relative_to(tmp_path / "out")
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    after = whole(open_boxes(folder))
    for key, own in before.items():
        own = [o for o in own if not (to == "yolo" and o[-1])]
        assert [o[0] for o in after[key]] == [o[0] for o in own]
        np.testing.assert_allclose([o[1:5] for o in after[key]], [o[1:5] for o in own], atol=1e-6)


@pytest.mark.parametrize("to", WRITERS)
def test_generated_scenes(tmp_path, to):
    convert_boxes("scenes", tmp_path / "out", to=to, seed=3, count=12, size=64)
    before, after = (
        objects(open_boxes("scenes", seed=3, count=12, size=64)),
        objects(open_boxes(tmp_path / "out")),
    )
    for key, (split, old, _) in before.items():
        assert after[key][0] == split
        assert len(after[key][1]) == (len(old) if to != "yolo" else int((~old.crowd).sum()))


@pytest.mark.parametrize("to", WRITERS)
def test_names_of_any_kind_come_back(tmp_path, to):
    names = ['<b>"cat"&co</b>', "=1+1", "größe, 猫", "a: b # c", "- [x]", "007"]
    pictures(tmp_path / "in", 2)
    things = [thing(i, 0, (i, i, i + 5.0, i + 6.0), i) for i in range(len(names))]
    coco(
        tmp_path / "in" / "a.json",
        [(0, "0.png", 40, 30), (1, "1.png", 40, 30)],
        things,
        [{"id": i, "name": n} for i, n in enumerate(names)],
    )
    convert_boxes(tmp_path / "in", tmp_path / "out", to=to)
    assert set(open_boxes(tmp_path / "out").classes) == set(names)


def test_images_of_one_name_in_several_folders_stay_apart(tmp_path):
    for i, name in enumerate(("a/0.png", "b/0.png", "b/0.jpg")):
        picture(tmp_path / "in" / name, i)
    coco(
        tmp_path / "in" / "a.json",
        [(i, n, 40, 30) for i, n in enumerate(("a/0.png", "b/0.png", "b/0.jpg"))],
        [thing(1, 0)],
    )
    for to in WRITERS:
        convert_boxes(tmp_path / "in", tmp_path / to, to=to)
        assert len(open_boxes(tmp_path / to)) == 3


def test_photographs_keep_their_orientation_and_boxes_theirs(tmp_path):
    picture(tmp_path / "in" / "0.jpg", orientation=6)
    coco(tmp_path / "in" / "a.json", [(0, "0.jpg", 40, 30)], [thing(1, 0)])
    before = next(iter(whole(open_boxes(tmp_path / "in")).values()))
    for to in WRITERS:
        convert_boxes(tmp_path / "in", tmp_path / to, to=to)
        after = next(iter(whole(open_boxes(tmp_path / to)).values()))
        np.testing.assert_allclose(after[0][1:5], before[0][1:5], atol=1e-5)


def test_coco_reads_what_was_written(tmp_path):
    peer = pytest.importorskip("pycocotools.coco")
    folder = a_set(tmp_path / "in", outlines=True)
    convert_boxes(folder, tmp_path / "out")
    read = peer.COCO(tmp_path / "out" / "annotations" / "instances_train.json")
    source = open_boxes(folder)
    assert len(read.anns) == sum(map(len, source.train.objects))
    areas = sorted(r.area for o in source.train.objects for r in o.regions or ())
    from pycocotools import mask

    assert sorted(int(mask.area(read.annToRLE(a))) for a in read.anns.values()) == areas


def test_what_exists_is_not_written_over_and_nothing_half_written_stays(tmp_path):
    folder = a_set(tmp_path / "in", outlines=False)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError):
        convert_boxes(folder, tmp_path / "out")
    with pytest.raises(UsageError):
        convert_boxes(folder, tmp_path / "other", to="tfrecord")
    with pytest.raises(UsageError):
        convert_boxes(tmp_path / "nowhere", tmp_path / "other")
    with pytest.raises(DataError):
        convert_boxes(tmp_path / "out", tmp_path / "other")
    with pytest.raises(UsageError):
        convert_boxes("scenes", tmp_path / "other", images=False, count=10, size=64)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_an_image_that_vanishes_leaves_nothing(tmp_path, monkeypatch):
    from striate.errors import WriteError
    from striate.tasks.detect.data import convert

    folder = a_set(tmp_path / "in", outlines=False)

    def gone(path):
        raise FileNotFoundError(2, "No such file", str(path))

    monkeypatch.setattr(convert, "open_regular", gone)
    with pytest.raises(WriteError):
        convert_boxes(folder, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_the_command(tmp_path):
    pictures(tmp_path / "in", 2)
    coco(
        tmp_path / "in" / "a.json",
        [(i, f"{i}.png", 40, 30) for i in range(2)],
        [thing(1, 0), thing(2, 1)],
    )
    run = [
        sys.executable,
        "-m",
        "striate",
        "convert",
        "in",
        "out",
        "--to",
        "yolo",
        "--format",
        "json",
    ]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["objects"] == 2
    assert [o[1:5] for o in whole(open_boxes(tmp_path / "out"))["images/0.png"]] == [
        tuple(map(pytest.approx, CAT))
    ]
    again = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2 and "exists" in again.stderr and "Traceback" not in again.stderr
