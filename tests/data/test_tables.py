"""Tables of labels as spreadsheets, Kaggle, pandas and other tools write them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import Source, check, open_source
from striate.data.several import separator_of
from striate.errors import DataError

Fill = Callable[..., Path]

CLASSES = ("cat", "dog")


def labels(source: Source) -> dict[str, str]:
    return {
        key: source.classes[label]
        for split in source.splits.values()
        for key, label in zip(split.keys, split.labels.tolist(), strict=True)
    }


def table(header: str | None, row: str = "{file},{label}", n: int = 12, end: str = "\n") -> str:
    """A heading and a row for each of pictures/0.png, ..., alternately cat and dog."""
    rows = [
        row.format(file=f"pictures/{i}.png", stem=i, i=i, label=CLASSES[i % 2], number=i % 2)
        for i in range(n)
    ]
    return end.join([header] * (header is not None) + rows) + end


RIGHT = {f"pictures/{i}.png": CLASSES[i % 2] for i in range(12)}


@pytest.mark.parametrize(
    "content",
    [
        table("file,label").encode("utf-16"),
        table("file,label").encode("utf-16-le"),
        table("file,label").encode("utf-16-be"),
        table("file,label").encode("utf-8-sig"),
        table("file,label", end="\r").encode(),
        table("file,label", end="\r\n").encode(),
        table("sep=;\nfile;label", "{file};{label}").encode(),
        table("sep=;\r\nfile;label", "{file};{label}", end="\r\n").encode("utf-16"),
        table('"sep=,"\nfile,label').encode(),
        table("file|label", "{file}|{label}").encode(),
        table("file;label;weight", "{file};{label};0,5").encode(),
        table(",file,label", "{i},{file},{label}").encode(),
        table("Unnamed: 0,file,label", "{i},{file},{label}").encode(),
        table("Unnamed: 0,file,animal", "{i},{file},{label}").encode(),
        table("file,label,,,", "{file},{label},,,").encode() + b",,,,\n , ,,\n",
        table("file,label,note", '{file},{label},"two\nlines"').encode(),
        table('"file","label"', '"{file}","{label}"').encode(),
        table(" File , Label ", " {file} , {label} ").encode(),
        table(None).encode(),
        table(None, "{i},{file},{label}").encode(),
        table("ImageId,Class", "{stem}.png,{label}").encode(),
        table("image_name,target", "{stem},{label}").encode(),
        table("file,label", "C:\\Users\\me\\pictures\\{stem}.png,{label}").encode(),
        table("file,label", "/home/other/data/pictures/{stem}.png,{label}").encode(),
        table("file,label", "{stem}.jpg,{label}").encode(),
        table("file,label", "PICTURES/{stem}.PNG,{label}").encode(),
        table("url,label", "https://a.b/pictures/{stem}.png?w=640,{label}").encode(),
        table("file,label,class_name", "{file},{number},{label}").encode(),
        table("name,file", "{label},{file}").encode(),
        table("file,label", '{file},"[""{label}""]"').encode(),
        table("file,label", "{file},['{label}']").encode(),
        table("file,cat,dog", "{file},X,{number}").replace("X,0", "1,0").replace("X,1", "0,1").encode(),
        table("file,label,xmin,ymin,xmax,ymax", "{file},{label},1,1,3,4").encode(),
    ],
    ids=lambda content: ascii(content[:40]),
)  # fmt: skip
def test_the_same_labels_in_every_form(fill: Fill, content: bytes) -> None:
    root = fill("pictures", images=12)
    (root / "labels.csv").write_bytes(content)
    source = open_source(root)
    assert labels(source) == RIGHT
    assert source.damaged == source.outside == ()


def test_json_in_lines_and_whole(fill: Fill) -> None:
    root = fill("pictures", images=12)
    rows = [{"file_name": file, "label": label} for file, label in RIGHT.items()]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert labels(open_source(root)) == RIGHT
    (root / "rows.json").write_text(json.dumps(rows))
    (root / "map.json").write_text(json.dumps(RIGHT))
    assert labels(open_source(root / "rows.json")) == RIGHT
    assert labels(open_source(root / "map.json")) == RIGHT
    (root / "list.txt").write_text("".join(f"{f} {k}\n" for f, k in RIGHT.items()))
    assert labels(open_source(root / "list.txt")) == RIGHT


SEVERAL = "gives images several labels"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (table("file,labels", "{file},{label} pet").replace("dog pet\n", "dog\n", 2) + "pictures/0.png,pet\n", SEVERAL),
        (table("file,tags", '{file},"cat, dog"') + "pictures/0.png,cat\npictures/1.png,dog\n", SEVERAL),
        (table("file,tags", "{file},{label}|pet"), SEVERAL),
        (table("file,tags", '{file},"{label};pet"'), SEVERAL),
        (table("file,tags", '{file},"[""{label}"", ""pet""]"'), SEVERAL),
        (table("file,tags", "{file},['{label}' 'pet']"), SEVERAL),
        (table("file,cat,dog,pet", "{file},1,{number},1"), SEVERAL),
        (table("file,label") + table(None, "{file},pet"), "gives 12 of 12 images several labels, on a line each"),
        (table("file,age", "{file},{i}.25"), r"12 different numbers in its column age: a measured value"),
        (table("file,label", "{file},{i}7"), r"12 different numbers in its column label: a measured value"),
        (table("file,caption", "{file},a {label} of number {i}"), "12 different labels for 12 images in its column"),
        (table("file,taken", "{file},2024-05-1{number}"), "holds dates in its column taken, not classes"),
        (table("file,label", "{file},nan"), "has no label in its column label; fill the column"),
        (table("file,label,xmin,ymin,xmax,ymax", "{file},{label},1,1,3,4") * 2, r"holds boxes of objects \(xmin"),
        (table("ImageId,EncodedPixels", "{stem}.png,1 3 10 5"), r"holds masks \(column EncodedPixels\)"),
        (table("file,label,is_valid", "{file},{label},maybe"), "line 2: is_valid must be true or false, got 'maybe'"),
        ("PK\x03\x04" + "x" * 50, "is an Excel workbook or another archive, not a table of text; save it as CSV"),
        ("PAR1xxxx", "is a Parquet file, not a table of text; save it as CSV"),
        ("<!DOCTYPE html><p>sign in</p>", "is a page of HTML or XML, not a table"),
    ],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_what_is_no_class_is_refused_with_the_reason(fill: Fill, content: str, words: str) -> None:
    root = fill("pictures", images=12)
    (root / "labels.csv").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=words):
        open_source(root)


def test_the_remedies_work(fill: Fill) -> None:
    root = fill("pictures", images=12)
    (root / "labels.csv").write_text(table("file,tags", "{file},{label}|pet"))
    with pytest.raises(DataError, match="learn them all with --task multilabel"):
        open_source(root)
    (root / "labels.csv").write_text(table("file,tags", "{file},{label}-pet"))
    assert open_source(root).classes == ("cat-pet", "dog-pet")
    (root / "labels.csv").write_text(table("file,age", "{file},{i}.25"))
    with pytest.raises(DataError, match="or give the column that holds the classes the name label"):
        open_source(root)
    (root / "labels.csv").write_text(table("file,age,label", "{file},{i}.25,{label}"))
    assert labels(open_source(root)) == RIGHT


@pytest.mark.parametrize(
    "values",
    [
        {"golden retriever", "labrador retriever", "poodle"},
        {"red car", "blue car", "red bus", "blue bus"},
        {"A+", "A", "B+", "B"},
        {"1/2", "1/4", "3/4"},
        {"Paris, France", "Lyon, France"},
        {"tench, Tinca tinca", "goldfish, Carassius auratus"},
        {"new york", "new orleans", "boston"},
    ],
    ids=lambda values: ascii(sorted(values)),
)
def test_names_of_several_words_are_names(values: set[str]) -> None:
    assert separator_of(values) is None


@pytest.mark.parametrize(
    ("values", "sign"),
    [
        ({"clear primary", "clear", "primary water", "water clear"}, " "),
        ({"cat", "dog", "cat dog"}, " "),
        ({"Atelectasis|Effusion", "Effusion", "No Finding"}, "|"),
        ({"rust", "scab", "rust,scab"}, ","),
        ({"a;b", "b;c", "a;c"}, ";"),
    ],
    ids=lambda values: ascii(values if isinstance(values, str) else sorted(values)),
)
def test_several_labels_are_told_by_their_parts(values: set[str], sign: str) -> None:
    assert separator_of(values) == sign


def test_composed_and_decomposed_names_are_found(fill: Fill) -> None:
    root = fill("pictures", images=2)
    for i in range(2):
        name = unicodedata.normalize("NFD", f"gew\u00e4chs{i}.png")
        (root / f"pictures/{i}.png").rename(root / "pictures" / name)
    (root / "labels.csv").write_text("file,label\npictures/gew\u00e4chs0.png,x\ngew\u00e4chs1,y\n")
    source = open_source(root, val=0, test=0)
    assert sorted(source.classes[k] for k in source.train.labels) == ["x", "y"]
    assert source.train.image(0).shape == (12, 12, 3)


def test_class_folders_in_two_unicode_forms_are_one_class(fill: Fill) -> None:
    nfc, nfd = "caf\u00e9", "cafe\u0301"
    source = open_source(fill(f"train/{nfd}", "train/tea", f"test/{nfc}", "test/tea"))
    assert source.classes == (nfc, "tea")
    assert source.counts()[:, 2].tolist() == [5, 5]


def test_a_file_that_is_missing_is_not_another_of_its_name(fill: Fill) -> None:
    root = fill("a", "b", images=3)
    (root / "a/1.png").unlink()
    rows = "".join(f"{c}/{i}.png,{c}\n" for c in "ab" for i in range(3))
    (root / "labels.csv").write_text("file,label\n" + rows)
    source = open_source(root)
    assert labels(source) == {
        f"{c}/{i}.png": c for c in "ab" for i in range(3) if (c, i) != ("a", 1)
    }
    assert [(d.path, d.reason) for d in source.damaged] == [
        ("a/1.png", "labels.csv lists it, but it is not there")
    ]


def test_leading_zeros_that_a_spreadsheet_dropped(fill: Fill) -> None:
    root = fill("p", images=2)
    (root / "p/0.png").rename(root / "p/0007.png")
    (root / "p/1.png").rename(root / "p/0008.png")
    (root / "labels.csv").write_text("id,label\n7,x\n8.0,y\n")
    source = open_source(root)
    assert labels(source) == {"p/0007.png": "x", "p/0008.png": "y"}
    assert "labels.csv: 2 files were found without the leading zeros of its name" in source.notes


def test_missing_labels_are_left_out_and_names_like_them_are_told(fill: Fill) -> None:
    root = fill("p", images=12)
    (root / "labels.csv").write_text(
        "file,country\n" + "".join(f"{i},{['NA', 'DE', 'nan'][i % 3]}\n" for i in range(12))
    )
    source = open_source(root)
    assert source.classes == ("DE", "NA")
    assert len(source.outside) == 4
    said = " ".join(source.notes)
    assert "the label 'NA' (4) is taken as a class of that name" in said
    assert "4 images have no label (NaN or the like) and are left out" in said
    rows = "".join(f"{i},{['1.0', '0.0', 'NA'][i % 3]}\n" for i in range(12))
    (root / "labels.csv").write_text("file,label\n" + rows)
    assert open_source(root).classes == ("0", "1")


def test_train_and_test_tables_as_kaggle_gives_them(fill: Fill) -> None:
    root = fill("train", "test", images=12)
    (root / "train.csv").write_text(table("id,label", "{stem}.png,{label}"))
    (root / "test.csv").write_text("id\n" + "".join(f"{i}.png\n" for i in range(12)))
    (root / "sample_submission.csv").write_text(table("id,label", "{stem}.png,cat"))
    source = open_source(root)
    assert labels(source) == {f"train/{i}.png": CLASSES[i % 2] for i in range(12)}
    assert len(source.outside) == 12
    (root / "test.csv").write_text(table("path,label", "test/{stem}.png,{label}"))
    source = open_source(root)
    assert {key.split("/")[0] for key in source.test.keys} == {"test"}
    assert len(source.test) == 12


def test_the_only_table_is_used_and_of_several_none(fill: Fill) -> None:
    root = fill("pictures", images=12)
    (root / "mine.csv").write_text(table("file,label"))
    assert labels(open_source(root)) == RIGHT
    (root / "yours.csv").write_text(table("file,label"))
    with pytest.raises(DataError, match=r"several tables of labels \(mine.csv, yours.csv\); give"):
        open_source(root)
    assert labels(open_source(root / "mine.csv")) == RIGHT


def test_flags_say_the_split(fill: Fill) -> None:
    root = fill("pictures", images=12)
    rows = table("file,label,is_valid", "{file},{label},{i}").splitlines()
    rows = [
        r.rsplit(",", 1)[0] + ("," + str(i > 8) if i else ",is_valid") for i, r in enumerate(rows)
    ]
    (root / "labels.csv").write_text("\n".join(rows))
    assert set(open_source(root).val.keys) == {f"pictures/{i}.png" for i in (8, 9, 10, 11)}


def test_a_column_that_is_no_split_is_none(fill: Fill) -> None:
    root = fill("pictures", images=12)
    (root / "labels.csv").write_text(table("file,label,dataset", "{file},{label},ISIC"))
    assert labels(open_source(root)) == RIGHT


def test_table_and_class_folders_together(fill: Fill) -> None:
    root = fill("cat", "dog", images=6)
    rows = [f"{c}/{i}.png,{'dog' if i == 0 else c}" for c in CLASSES for i in range(6)]
    (root / "labels.csv").write_text("file,label\n" + "\n".join(rows))
    source = open_source(root)
    assert labels(source)["cat/0.png"] == "dog"
    assert (
        "labels.csv decides the classes, not the folders; 1 of 12 images lies in the folder of another class (cat/0.png)"
        in source.notes
    )
    (root / "labels.csv").write_text("file,label\n" + "\n".join(rows[:3]))
    source = open_source(root)
    assert labels(source)["cat/0.png"] == "cat"
    assert "lists 3 of 12 images, so the class folders are used" in source.notes[0]
    (root / "labels.csv").write_text(table("file,label", "cat/{stem}.png,a text of its own {i}"))
    assert "identifiers or texts, not classes, so the class folders" in open_source(root).notes[0]


def test_names_that_look_like_one_class_are_told(fill: Fill) -> None:
    root = fill("train/Cat", "train/dog", "test/cat", "test/dog ")
    (remark,) = [r for r in check(open_source(root)).data["remarks"] if r["kind"] == "like names"]
    assert remark["status"] == "problem"
    assert remark["sentence"] == "'Cat' and 'cat', 'dog' and 'dog ' look like one class."
