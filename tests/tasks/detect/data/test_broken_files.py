"""Annotation files of every format, broken at random: objects that hold what Objects promise, or one sentence."""

import random
import re
import shutil

import pytest

from striate.errors import StriateError
from striate.tasks.detect.data.convert import convert_boxes
from striate.tasks.detect.data.sources import is_box_data, open_boxes
from striate.tasks.detect.data.writers import WRITERS

TRIALS = 12
PIECES = (
    b"nan", b"-1", b"1e999", b"null", b"{}", b"[]", b'"x"', b"\xff\xfe", b"\x00", b"99999999999999999999", b"true", b"",
    b"<", b"&a;", b",", b"\n", b"0 0 0 0 0\n", b"1e-400",
)  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    home = tmp_path_factory.mktemp("sets")
    for to in WRITERS:
        convert_boxes("scenes", home / to, to=to, count=10, size=48, seed=1)
    return home


def broken(data, rng):
    """Cut off, overwritten, doubled in part, or with a number that is another."""
    at, kind = rng.randrange(len(data) + 1), rng.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.choice(PIECES) + data[at + rng.randrange(20) :]
    if kind == 2:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if kind == 3:
        return data[:at] + data[at : at + rng.randrange(200)] + data[at:]
    numbers = list(re.finditer(rb"-?\d+\.?\d*", data))
    if not numbers:
        return data
    number = rng.choice(numbers)
    return data[: number.start()] + rng.choice(PIECES) + data[number.end() :]


@pytest.mark.parametrize("to", WRITERS)
def test_nothing_but_a_sentence_comes_of_broken_files(sets, tmp_path, to):
    rng = random.Random(to)
    opened = 0
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        shutil.copytree(sets / to, folder)
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".png")
        for path in rng.sample(files, min(len(files), rng.choice((1, 1, 3)))):
            data = path.read_bytes()
            for _ in range(rng.choice((1, 2, 5))):
                data = broken(data, rng)
            path.write_bytes(data)
        is_box_data(folder)
        try:
            source = open_boxes(folder)
        except StriateError:
            continue
        opened += 1
        for split in source.splits.values():
            for objects, (height, width) in zip(split.objects, split.sizes, strict=True):
                assert (objects.boxes >= 0).all() and (objects.sides > 0).all()
                assert (objects.boxes[:, 2] <= width).all() and (
                    objects.boxes[:, 3] <= height
                ).all()
                assert (objects.labels < len(source.classes)).all()
                for region in objects.regions or ():
                    assert region.area > 0 and region.top >= 0 and region.left >= 0
                    assert (
                        region.top + region.height <= height and region.left + region.width <= width
                    )
    assert opened > 0
