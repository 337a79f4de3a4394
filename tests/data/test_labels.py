"""Folders whose classes a table of labels says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from striate.data import Source, open_source
from striate.data.kinds import kind_of
from striate.errors import DataError

Fill = Callable[..., Path]


def labels(source: Source) -> dict[str, str]:
    return {
        key: source.classes[label]
        for split in source.splits.values()
        for key, label in zip(split.keys, split.labels.tolist(), strict=True)
    }


@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv", "Labels.CSV"])
@pytest.mark.parametrize(
    ("file", "label", "columns"),
    [
        ("file", "label", ["file", "label"]),
        ("file", "label", ["label", "file"]),
        ("File Name", "Class", ["File Name", "Class"]),
        ("image_id", "breed", ["image_id", "breed"]),
        ("path", "category", ["width", "path", "category", "remark"]),
        ("id", "what is it", ["what is it", "id"]),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, list) else "",
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_found_by_name(
    fill: Fill, name: str, file: str, label: str, columns: list[str], delimiter: str
) -> None:
    root = fill("pictures", images=4)
    lines = [delimiter.join(columns)]
    for i in range(4):
        values = {file: f"pictures/{i}.png", label: "odd" if i % 2 else "even", "width": "12"}
        lines.append(delimiter.join(values.get(column, "z") for column in columns))
    (root / name).write_text("\n".join(lines))
    source = open_source(root)
    assert labels(source) == {f"pictures/{i}.png": "odd" if i % 2 else "even" for i in range(4)}
    assert source.notes == (f"{name}: column {file} names the file, column {label} its class",)


def write(root: Path, *rows: str, name: str = "labels.csv", header: str = "file,label") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "form",
    ["a/{}.png", "./a/{}.png", "a\\{}.png", "{}.png", "{}", "other/folder/{}.png", "/abs/{}.png"],
)
def test_a_file_is_found_by_path_by_name_and_by_stem(fill: Fill, form: str) -> None:
    root = write(fill("a", images=2), *(f"{form.format(i)},class {i}" for i in range(2)))
    assert labels(open_source(root)) == {"a/0.png": "class 0", "a/1.png": "class 1"}


def test_paths_are_relative_to_the_table(fill: Fill) -> None:
    root = fill("set/images", images=2)
    write(
        root / "set",
        "images/0.png,x",
        "images/1.png,y",
        name="metadata.csv",
        header="file_name,label",
    )
    assert labels(open_source(root)) == {"set/images/0.png": "x", "set/images/1.png": "y"}


def test_a_table_reaches_files_outside_the_folder_where_that_is_allowed(fill: Fill) -> None:
    root = fill("store", "set", images=2)
    write(root / "set", "../store/0.png,x", f"{root / 'store' / '1.png'},y")
    with pytest.raises(DataError, match=r"0\.png lies outside the folder .* --set outside=true"):
        open_source(root / "set", val=0, test=0)
    source = open_source(root / "set", val=0, test=0, outside=True)
    assert labels(source) == {"../store/0.png": "x", "../store/1.png": "y"}
    assert source.train.image(0).shape == (12, 12, 3)


def test_the_split_column(fill: Fill) -> None:
    rows = [f"a/{i}.png,{'xy'[i % 2]},{('train', 'Valid', 'test')[i // 2 % 3]}" for i in range(12)]
    root = write(fill("a", images=12), *rows, header="file,label,split")
    source = open_source(root)
    assert set(source.val.keys) == {f"a/{i}.png" for i in (2, 3, 8, 9)}
    assert set(source.test.keys) == {f"a/{i}.png" for i in (4, 5, 10, 11)}


def test_a_table_in_each_split_folder(fill: Fill) -> None:
    root = fill("train", "test", images=4)
    for split in ("train", "test"):
        rows = (f"{i}.png,{'xy'[i % 2]}" for i in range(4))
        write(root / split, *rows, name="metadata.csv", header="file_name,label")
    source = open_source(root, val=0)
    assert set(source.test.keys) == {f"test/{i}.png" for i in range(4)}
    assert set(source.train.keys) == {f"train/{i}.png" for i in range(4)}


def test_a_table_given_by_name(fill: Fill) -> None:
    root = write(fill("a", "b", images=2), "a/0.png,x", "b/0.png,y", name="mine.csv")
    assert open_source(root).classes == ("a", "b")
    assert labels(open_source(root / "mine.csv")) == {"a/0.png": "x", "b/0.png": "y"}


def test_numbers_as_classes_stand_in_order(fill: Fill) -> None:
    root = write(fill("a", images=3), "0,10", "1,9", "2,9", header="id,label")
    assert open_source(root).classes == ("9", "10")


def test_what_the_table_does_not_name_and_what_is_not_there(fill: Fill) -> None:
    root = write(fill("a", images=3), "a/0.png,x", "a/1.png,y", "a/9.png,y", ",y", "a/2.png,")
    source = open_source(root)
    assert source.outside == ("a/2.png",)
    (damage,) = source.damaged
    assert (damage.path, damage.reason) == ("a/9.png", "labels.csv lists it, but it is not there")
    assert source.notes[0].endswith("; 2 lines without a file or class are left out")


def test_a_name_that_two_files_have(fill: Fill) -> None:
    root = write(fill("a", "b", images=2), "0.png,x", "a/1.png,y", "b/0.png,x")
    (damage,) = open_source(root).damaged
    assert damage.reason == "labels.csv lists it, but 2 files have that name; write its path"


def test_a_file_with_two_labels_is_left_out(fill: Fill) -> None:
    root = write(fill("a", images=3), "a/0.png,x", "a/1.png,y", "a/2.png,y", "a/2.png,x", "1.png,y")
    source = open_source(root)
    assert labels(source) == {"a/0.png": "x", "a/1.png": "y"}
    assert source.damaged[0].reason == (
        "labels.csv gives it the labels x and y; one image has one class"
    )


def test_a_size_that_does_not_fit(fill: Fill) -> None:
    root = fill("a", images=3)
    Image.new("RGB", (20, 30)).save(root / "a/turned.png")
    rows = ("a/0.png,x,12,12", "a/1.png,y,640,480", "a/2.png,y,,", "a/turned.png,x,30,20")
    write(root, *rows, header="file,label,width,height")
    assert open_source(root).missized == ("a/1.png",)


def test_a_table_without_labels_leaves_the_class_folders(fill: Fill) -> None:
    root = write(fill("a", "b", images=2), "a/0.png,13,5", header="file,age,weight")
    source = open_source(root)
    assert source.classes == ("a", "b")
    assert source.notes == ("labels.csv has no label column, so the class folders are used",)


def test_a_table_of_other_things_leaves_the_class_folders(fill: Fill) -> None:
    root = write(fill("a", "b", images=2), "7,cheap", "8,dear", header="id,class")
    source = open_source(root)
    assert source.classes == ("a", "b")
    assert source.damaged == ()
    assert source.notes == (
        "none of the files that labels.csv lists is there, so the class folders are used",
    )


def test_a_table_of_files_elsewhere_alone(fill: Fill, tmp_path: Path) -> None:
    fill("store", images=2)
    root = write(tmp_path / "set", "../store/0.png,x", "../store/1.png,y")
    assert open_source(root, outside=True).classes == ("x", "y")


def test_encodings(fill: Fill) -> None:
    root = fill("a", images=2)
    (root / "labels.csv").write_bytes(
        "\ufefffile,label\r\na/0.png,Käfer\r\na/1.png,犬\r\n".encode()
    )
    assert open_source(root).classes == ("Käfer", "犬")
    (root / "labels.csv").write_bytes("file,label\na/0.png,Käfer\na/1.png,Hund\n".encode("latin-1"))
    assert open_source(root).classes == ("Hund", "Käfer")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "labels.csv is empty; give it the columns file and label"),
        ("when,who\n1,2\n", "labels.csv has no file column: its first line reads when, who; name"),
        ("file,p,q\n0,1,2\n", "labels.csv has no label column: its first line reads file, p, q"),
        (
            "file,label,split\n0,x,tran\n",
            "labels.csv, line 2: the split must be train, val or test",
        ),
        (
            "file,label\nz.png,x\n",
            "none of the files that .*labels.csv lists is there; write paths",
        ),
        ('file,label\n"' + "x" * 200_000 + '",y\n', "cannot read .*labels.csv: field larger"),
    ],
    ids=["empty", "no file", "no label", "split", "nothing there", "too long"],
)
def test_tables_that_cannot_be_used(fill: Fill, text: str, message: str) -> None:
    root = fill("a", images=2)
    (root / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_source(root)


def test_copies_under_two_names_share_a_split(fill: Fill) -> None:
    root = fill("a", images=20)
    for i in range(20):
        shutil.copy(root / f"a/{i}.png", root / f"a/copy{i}.png")
    rows = [f"a/{n}{i}.png,{'xy'[i % 2]}" for i in range(20) for n in ("", "copy")]
    source = open_source(write(root, *rows))
    for split in source.splits.values():
        names = {key.replace("copy", "") for key in split.keys}
        assert len(split) == 2 * len(names)


def test_a_number_beyond_all_floats_is_the_word_that_it_is() -> None:
    rows = [("1.0", "2.0", "1.5e400")[i % 3] for i in range(12)]
    found = kind_of(rows, "label")
    assert found.classes is not None and set(found.classes) == {"1", "2", "1.5e400"}
