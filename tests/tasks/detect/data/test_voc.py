"""Pascal VOC XML as VOC, labelImg, CVAT and Roboflow write it."""

import pytest
from box_sets import picture, pictures, voc, whole

from striate.errors import DataError
from striate.tasks.detect.data.sources import is_box_data, open_boxes


def a_set(folder, count=3, **more):
    pictures(folder / "JPEGImages", count)
    for i in range(count):
        voc(folder / "Annotations" / f"{i}.xml", [("cat", 1, 1, 12, 13)], **more)
    return folder


def test_pixels_are_counted_from_1_and_the_last_belongs_to_the_box(tmp_path):
    a_set(tmp_path)
    voc(tmp_path / "Annotations" / "1.xml", [("dog", 1, 1, 40, 30), ("cat", 21, 6, 30, 25)])
    source = open_boxes(tmp_path)
    assert whole(source)["JPEGImages/1.png"] == [
        ("cat", 20, 5, 30, 25, False),
        ("dog", 0, 0, 40, 30, False),
    ]
    assert source.format == "Pascal VOC XML" and not source.faults
    assert is_box_data(tmp_path) and is_box_data(tmp_path / "Annotations" / "1.xml")


def test_one_coordinate_of_0_shows_that_the_set_counts_from_0(tmp_path):
    a_set(tmp_path)
    voc(tmp_path / "Annotations" / "1.xml", [("cat", 0, 5, 30, 25)])
    found = whole(open_boxes(tmp_path))
    assert found["JPEGImages/1.png"] == [("cat", 0, 5, 30, 25, False)]
    assert found["JPEGImages/0.png"] == [("cat", 1, 1, 12, 13, False)]


def test_lists_give_the_splits_and_leave_the_others_out(tmp_path):
    a_set(tmp_path, 5)
    for name, text in (
        ("train", "0\n1\n"),
        ("val", "2 \n"),
        ("test", "3  1\n"),
        ("trainval", "0\n1\n2\n"),
    ):
        path = tmp_path / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    source = open_boxes(tmp_path)
    assert [len(s) for s in source.splits.values()] == [2, 1, 1]
    assert source.test.keys == ("JPEGImages/3.png",)


def test_difficult_objects_are_crowds_and_images_without_a_file_background(tmp_path):
    a_set(tmp_path)
    voc(tmp_path / "Annotations" / "0.xml", [("cat", 3, 4, 12, 13, "<difficult>1</difficult>")])
    (tmp_path / "Annotations" / "1.xml").unlink()
    voc(tmp_path / "Annotations" / "2.xml", [])
    found = whole(open_boxes(tmp_path))
    assert found["JPEGImages/0.png"] == [("cat", 2, 3, 12, 13, True)]
    assert found["JPEGImages/1.png"] == [] == found["JPEGImages/2.png"]


@pytest.mark.parametrize(
    ("objects", "expected", "faults"),
    [
        # VOC 2012 itself, py-faster-rcnn #688, tensorflow/models #656: coordinates with fractions
        ([("cat", "15.70000076293945", 4, "30.5", 13)], [("cat", 14.700001, 3, 30.5, 13, False)], 0),
        # tf-faster-rcnn #405: "truncated" as a share
        ([("cat", 3, 4, 12, 13, "<truncated>0.0597</truncated>")], [("cat", 2, 3, 12, 13, False)], 0),
        ([("cat", 3, 4, 12, 13, "<difficult>Unspecified</difficult><pose/>")], [("cat", 2, 3, 12, 13, False)], 0),
        # EdjeElectronics #522
        ([("cat", "(88, 100)", 4, 12, 13)], [], 1),
        ([("cat", 12, 13, 3, 4)], [("cat", 2, 3, 12, 13, False)], 1),
        ([("cat", "", 4, 12, 13)], [], 1),
        ([("", 3, 4, 12, 13)], [], 1),
        ([("cat", 3, 4, 1_000, 13)], [("cat", 2, 3, 40, 13, False)], 1),
    ],
)  # fmt: skip
def test_what_tools_write(tmp_path, objects, expected, faults):
    a_set(tmp_path)
    voc(tmp_path / "Annotations" / "0.xml", objects)
    source = open_boxes(tmp_path)
    assert whole(source)["JPEGImages/0.png"] == expected
    assert len(source.faults) == faults


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_a_size_that_is_missing_is_that_of_the_image(tmp_path, size):
    source = open_boxes(a_set(tmp_path, size=size))
    assert not source.warnings and not source.faults


def test_the_name_of_the_file_counts_where_the_stated_one_is_anothers(tmp_path):
    a_set(tmp_path)
    voc(tmp_path / "Annotations" / "1.xml", [("dog", 3, 4, 12, 13)], filename="0.png")
    found = whole(open_boxes(tmp_path))
    assert found["JPEGImages/1.png"] == [("dog", 2, 3, 12, 13, False)]
    assert [c for c, *_ in found["JPEGImages/0.png"]] == ["cat"]


def test_files_beside_their_images(tmp_path):
    picture(tmp_path / "train" / "a.jpg")
    voc(tmp_path / "train" / "a.xml", [("cat", 3, 4, 12, 13)], filename="a.jpg")
    assert open_boxes(tmp_path).train.keys == ("train/a.jpg",)


LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
FOREIGN = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + "<annotation><object><name>&c;</name></object></annotation>",
        FOREIGN + "<annotation><filename>&b;</filename></annotation>",
        "<annotation><object>", "", "<annotation></wrong>", "<annotation>" * 5000,
        '<?xml version="1.0" encoding="utf-99"?><annotation/>',
    ],
    ids=["laughs", "foreign", "half", "empty", "wrong", "deep", "encoding"],
)  # fmt: skip
def test_a_broken_or_hostile_file_is_a_fault_of_its_own(tmp_path, text):
    a_set(tmp_path)
    (tmp_path / "Annotations" / "1.xml").write_text(text)
    source = open_boxes(tmp_path)
    assert [d.path for d in source.faults] == ["Annotations/1.xml"]
    assert sum(map(len, whole(source).values())) == 2
    for i in (0, 2):
        (tmp_path / "Annotations" / f"{i}.xml").write_text(text)
    with pytest.raises(DataError):
        open_boxes(tmp_path)


def test_xml_of_another_kind_is_not_claimed(tmp_path):
    picture(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "0.png.aux.xml").write_text("<PAMDataset/>")
    assert not is_box_data(tmp_path)


def test_masks_and_classes_beside_their_images_are_theirs(tmp_path):
    # VOC 2012 and Oxford Pets have masks too, Stanford Dogs a folder a class; boxes are read where they are asked for
    a_set(tmp_path / "voc")
    pictures(tmp_path / "voc" / "SegmentationClass", 3)
    for breed in ("beagle", "boxer"):
        picture(tmp_path / "dogs" / "Images" / breed / f"{breed}.png", len(breed))
        voc(tmp_path / "dogs" / "Annotation" / breed / f"{breed}.xml", [(breed, 3, 4, 12, 13)])
    for name in ("voc", "dogs"):
        assert not is_box_data(tmp_path / name)
        assert open_boxes(tmp_path / name).format == "Pascal VOC XML"
