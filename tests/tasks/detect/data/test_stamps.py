"""Stamps: on cut-outs that are drawn here, and on Debian's where they are installed."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from striate.errors import DataError, UsageError
from striate.tasks.detect.data import stamps as room
from striate.tasks.detect.data.stamps import (
    BACKGROUNDS,
    STAMPS,
    Stamp,
    find_backgrounds,
    find_stamps,
    open_stamps,
    scene,
)

INSTALLED = STAMPS.is_dir() and BACKGROUNDS.is_dir()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Thirty red discs and thirty green squares, cut out, five of them with a mirrored form; four backgrounds of blue."""
    home = tmp_path_factory.mktemp("stamps")
    for name, colour in (("discs", (255, 0, 0, 255)), ("squares", (0, 255, 0, 255))):
        (home / "stamps" / name / "inner").mkdir(parents=True)
        for i in range(30):
            picture = Image.new("RGBA", (80 + i, 80 + i), (255, 255, 255, 0))
            pen = ImageDraw.Draw(picture)
            (pen.ellipse if name == "discs" else pen.rectangle)(
                (10, 10, 60 + i, 60 + i), fill=colour
            )
            picture.save(home / "stamps" / name / "inner" / f"{i}.png")
            if i < 5:
                picture.save(home / "stamps" / name / "inner" / f"{i}_mirror.png")
    (home / "stamps" / "few").mkdir()
    picture.save(home / "stamps" / "few" / "0.png")
    (home / "grounds").mkdir()
    for i in range(8):
        Image.new("RGB", (400, 300), (0, 0, 40 + i)).save(home / "grounds" / f"{i}-l.png")
        Image.new("RGB", (400, 300), (0, 0, 90 + i)).save(home / "grounds" / f"{i}-d.png")
    return home / "stamps", home / "grounds"


def opened(folders, **more):
    return open_stamps(
        **{"count": 20, "size": 96, **more}, stamps=folders[0], backgrounds=folders[1]
    )


def test_classes_are_the_categories_with_enough_stamps(folders):
    found, classes = find_stamps(folders[0])
    assert classes == ("discs", "squares") and len(found) == 70
    assert len(find_backgrounds(folders[1])) == 8


def test_regions_are_the_pixels_of_the_colour(folders):
    source = opened(folders)
    seen = 0
    for split in source.splits.values():
        for i, objects in enumerate(split.objects):
            pixels = split.image(i)[..., :3].astype(int)
            drawn = np.zeros(pixels.shape[:2], dtype=np.int64)
            for region, label in zip(objects.regions, objects.labels, strict=True):
                full = region.full(*pixels.shape[:2])
                assert not drawn[full].any()  # no pixel has two objects
                drawn[full] = label + 1
                seen += 1
            # Above half an alpha a colour outweighs the blue beneath: red and green are what they are laid as.
            red, green = pixels[..., 0], pixels[..., 1]
            assert (red[drawn == 1] > 120).all() and (green[drawn == 2] > 120).all()
            assert (np.maximum(red, green)[drawn == 0] < 136).all()
    assert seen > 20


def test_boxes_are_those_of_the_regions(folders):
    for objects in opened(folders).train.objects:
        assert [r.box for r in objects.regions] == [tuple(b) for b in objects.boxes.tolist()]


def test_splits_share_neither_stamps_nor_backgrounds(folders, monkeypatch):
    used = {}
    original = room.scene

    def spy(stamps, grounds, rng, size):
        used.setdefault(tuple(sorted(s.path.name for s in stamps)), set(grounds))
        return original(stamps, grounds, rng, size)

    monkeypatch.setattr(room, "scene", spy)
    opened(folders)
    assert len(used) == 3
    families = [{n.removesuffix(".png").removesuffix("_mirror") for n in names} for names in used]
    papers = [{p.name[0] for p in grounds} for grounds in used.values()]
    # A number names a disc and a square, so that parts are compared by file within one class.
    for sets in (papers,):
        assert sum(map(len, sets)) == len(set().union(*sets))
    found, _ = find_stamps(folders[0])
    parts = room._parts([s.family for s in found], np.array([s.label for s in found]))
    by_family = {}
    for stamp, part in zip(found, parts.tolist(), strict=True):
        by_family.setdefault(stamp.family, set()).add(part)
    assert all(len(p) == 1 for p in by_family.values()) and len(families) == 3
    assert set(parts.tolist()) == {0, 1, 2}


def test_the_seed_decides_and_the_test_stamps_do_not_move(folders):
    first, again, other = opened(folders, seed=1), opened(folders, seed=1), opened(folders, seed=2)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert len(first.train) == 14 and first.generated and first.horizontal_flip is False


def test_a_covered_object_keeps_what_is_seen_of_it(folders):
    stamps, _ = find_stamps(folders[0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        _, objects = scene(stamps, list(folders[1].glob("*.png")), rng, 200)
        total = sum(r.full(200, 200).astype(int) for r in objects.regions)
        assert total.max() <= 1


@pytest.mark.parametrize(
    "more",
    [{"count": 5}, {"count": 10**8}, {"size": 10}, {"size": 10**6}, {"val": 0.9, "test": 0.5}],
)
def test_numbers_out_of_range_are_refused(folders, more):
    with pytest.raises(UsageError):
        opened(folders, **more)


def test_missing_packages_are_named(tmp_path):
    with pytest.raises(DataError, match=r"tuxpaint-stamps-default.*gnome-backgrounds"):
        open_stamps(stamps=tmp_path, backgrounds=tmp_path)


def test_a_stamp_without_transparency_is_not_pasted(tmp_path, folders):
    Image.new("RGB", (50, 50), (255, 0, 0)).save(tmp_path / "0.png")
    only = [Stamp(path=tmp_path / "0.png", label=0, family="a")]
    _, objects = scene(only, list(folders[1].glob("*.png")), np.random.default_rng(0), 96)
    assert len(objects) == 0


@pytest.mark.skipif(
    not INSTALLED, reason="needs Debian's tuxpaint-stamps-default and gnome-backgrounds"
)
def test_debian_has_enough():
    source = open_stamps(count=10, size=96)
    assert {"animals", "food", "plants", "vehicles"} <= set(source.classes)
    assert source.train.counts(len(source.classes)).sum() > 10
