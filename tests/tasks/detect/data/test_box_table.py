"""Tables of boxes: a line an object, its place named in any of the usual ways."""

import pytest
from box_sets import pictures, whole

from striate.errors import DataError
from striate.tasks.detect.data.sources import is_box_data, open_boxes

A_CAT, A_DOG = ("cat", 2, 3, 12, 13, False), ("dog", 20, 5, 30, 25, False)


def a_set(folder, text, count=2, name="boxes.csv"):
    pictures(folder, count)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("header", "cat", "dog"),
    [
        ("file,x,y,w,h,label", "0.png,2,3,10,10,cat", "0.png,20,5,10,20,dog"),
        ("file,x,y,width,height,label", "0.png,2,3,10,10,cat", "0.png,20,5,10,20,dog"),
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "0.png,40,30,cat,2,3,12,13", "0.png,40,30,dog,20,5,30,25"),
        ("image_path;x1;y1;x2;y2;label_name", "0.png;2;3;12;13;cat", "0.png;20;5;30;25;dog"),
        ("image,cx,cy,w,h,label", "0.png,7,8,10,10,cat", "0.png,25,15,10,20,dog"),
        (
            "label,x_center,y_center,width,height,file",
            "cat,0.175,0.26666666667,0.25,0.33333333333,0.png",
            "dog,0.625,0.5,0.25,0.66666666667,0.png",
        ),
        (
            "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf",
            "0,x,cat,1,0.05,0.3,0.1,0.43333333333,0",
            "0,x,dog,1,0.5,0.75,0.16666666667,0.83333333333,0",
        ),
        ("image_id,width,height,bbox,source", '0,40,30,"[2, 3, 10, 10]",x', '0,40,30,"[20. 5. 10. 20.]",x'),
        ("0.png,2,3,12,13,cat", "0.png,20,5,30,25,dog", "1.png,,,,,"),
        ("Image Name\tLeft\tTop\tRight\tBottom\tClass", "0.PNG\t2\t3\t12\t13\tcat", "0.PNG\t20\t5\t30\t25\tdog"),
        (
            '"file","x","y","w","h","label"',
            '"0.png","2,0","3,0","10,0","10,0","cat"',
            '"0.png","20,0","5,0","10,0","20,0","dog"',
        ),
    ],
    ids=lambda value: value[:24],
)  # fmt: skip
def test_every_way_to_name_a_place(tmp_path, header, cat, dog):
    source = open_boxes(a_set(tmp_path, "\n".join((header, cat, dog)) + "\n"))
    expected = [A_CAT, A_DOG]
    if "bbox" in header:
        expected = [("object", *place[1:]) for place in expected]
    assert whole(source)["0.png"] == expected
    assert is_box_data(tmp_path) and is_box_data(tmp_path / "boxes.csv")
    shares = "0.1" in cat
    assert any(
        ("shares" in note) == shares and ("pixels" in note) != shares for note in source.notes
    )


def test_a_line_without_numbers_is_background(tmp_path):
    source = open_boxes(
        a_set(
            tmp_path, "file,x,y,w,h,label\n0.png,2,3,10,10,cat\n0.png,20,5,10,20,dog\n1.png,,,,,\n"
        )
    )
    assert whole(source)["1.png"] == []


def test_images_that_no_line_names_are_left_out(tmp_path):
    source = open_boxes(
        a_set(tmp_path, "file,x,y,w,h,label\n0.png,2,3,10,10,cat\n0.png,20,5,10,20,dog\n")
    )
    assert list(whole(source)) == ["0.png"]


def test_splits_by_a_column_or_by_the_names_of_tables(tmp_path):
    lines = "".join(f"{i}.png,2,3,10,10,cat,{s}\n" for i, s in enumerate(("train", "val", "test")))
    source = open_boxes(
        a_set(tmp_path / "a", "file,x,y,w,h,label,split\n" + lines, 3) / "boxes.csv"
    )
    assert [len(s) for s in source.splits.values()] == [1, 1, 1]
    folder = a_set(
        tmp_path / "b",
        "file,x,y,w,h,label\n0.png,2,3,10,10,cat\n0.png,2,3,9,9,cat\n",
        2,
        "train.csv",
    )
    (folder / "test.csv").write_text("file,x,y,w,h,label\n1.png,2,3,10,10,cat\n")
    source = open_boxes(folder, val=0.0)
    assert source.train.keys == ("0.png",) and source.test.keys == ("1.png",)


def test_group_of_is_a_crowd(tmp_path):
    source = open_boxes(
        a_set(
            tmp_path,
            "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n0,cat,0.05,0.3,0.1,0.5,1\n0,cat,0.1,0.3,0.1,0.5,0\n",
        )
    )
    assert sorted(c for *_, c in whole(source)["0.png"]) == [False, True]


@pytest.mark.parametrize(
    "line",
    [
        "0.png,2,three,10,10,cat",
        "0.png,2,3,-inf,10,cat",
        "0.png,2,3,10,10,",
        ",2,3,10,10,cat",
        "0.png,2,3,0,10,cat",
    ],
)
def test_faults_of_a_line(tmp_path, line):
    source = open_boxes(a_set(tmp_path, f"file,x,y,w,h,label\n0.png,2,3,10,10,cat\n{line}\n"))
    assert whole(source)["0.png"] == [A_CAT]
    assert len(source.faults) == 1


def test_one_line_an_image_may_be_a_table_of_classes_and_is_not_claimed(tmp_path):
    text = "file,label,roi.x1,roi.y1,roi.x2,roi.y2\n0.png,cat,2,3,12,13\n1.png,dog,2,3,12,13\n"
    a_set(tmp_path, text)
    assert not is_box_data(tmp_path) and not is_box_data(tmp_path / "boxes.csv")
    assert whole(open_boxes(tmp_path))["0.png"] == [A_CAT]  # where boxes are asked for


@pytest.mark.parametrize(
    "text", ["file,label\n0.png,cat\n1.png,dog\n", "", "a,b,c\n1,2,3\n", "x,y,w,h\n1,2,3,4\n"]
)
def test_other_tables_are_neither_claimed_nor_read(tmp_path, text):
    a_set(tmp_path, text)
    assert not is_box_data(tmp_path)
    with pytest.raises(DataError):
        open_boxes(tmp_path)
