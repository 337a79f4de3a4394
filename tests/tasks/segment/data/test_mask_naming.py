"""Tables of names: in any form that a person, a spreadsheet or an annotation tool writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from striate.errors import DataError
from striate.tasks.segment.data.naming import find_naming, read_naming

Expected = tuple[tuple[str, ...], tuple[int, ...] | None, tuple[int, ...] | None]
GROUND: Expected = (("ground", "cell"), (0, 1), None)
SEA: Expected = (("road", "sea"), None, (0x000000, 0x0080FF))

READ: list[tuple[str, str, Expected]] = [
    ("classes.csv", "name,value\nground,0\ncell,1\n", GROUND),
    ("classes.csv", "name;value\nground;0\ncell;1\n", GROUND),
    ("classes.csv", "name\tvalue\nground\t0\ncell\t1\n", GROUND),
    ("classes.csv", "name|value\nground|0\ncell|1\n", GROUND),
    ("classes.csv", "value,name\n0,ground\n1,cell\n", GROUND),
    ("classes.csv", "0;ground\n1;cell\n", GROUND),
    ("classes.csv", "ground,0\ncell,1", GROUND),
    ("classes.csv", "ground,0,\ncell,1,\n", GROUND),
    ("classes.csv", "sep=;\nname;value\nground;0\ncell;1\n", GROUND),
    ("_classes.csv", "Pixel Value, Class\n0, ground\n1, cell\n", GROUND),
    ("classes.csv", "ground\ncell\n", (("ground", "cell"), None, None)),
    ("classes.csv", '"road, wet",0\n"sea",2\n', (("road, wet", "sea"), (0, 2), None)),
    ("classes.csv", "name,red,green,blue\nroad,0,0,0\nsea,0,128,255\n", SEA),
    ("classes.csv", "r;g;b;name\n0;0;0;road\n0;128;255;sea\n", SEA),
    ("classes.csv", "name,colour\nroad,#000000\nsea,#0080ff\n", SEA),
    ("classes.csv", 'name,rgb\nroad,"(0, 0, 0)"\nsea,"(0, 128, 255)"\n', SEA),
    ("class_dict.csv", "name,r,g,b\nroad,0,0,0\nsea,0,128,255\n", SEA),
    ("classes.csv", "id;name;r;g;b\n3;road;0;0;0\n5;sea;0;128;255\n", (("road", "sea"), (3, 5), (0, 0x0080FF))),
    ("labelmap.txt", "# label:color_rgb:parts:actions\nroad:0,0,0::\nsea:0,128,255::\n", SEA),
    ("label_colors.txt", "0 0 0\troad\n0 128 255\tsea\n", SEA),
    ("classes.txt", "wall, brick\nfloor, wood\n", (("wall, brick", "floor, wood"), None, None)),
    ("classes.txt", "0: ground\n1: cell\n", GROUND),
    ("objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tName\n1\t0.16\t11664\t1172\twall\n2\t0.11\t6046\t612\tbuilding\n",
     (("wall", "building"), (1, 2), None)),
    ("id2label.json", '{"0": "ground", "1": "cell"}', GROUND),
    ("dataset.json", '{"labels": {"ground": 0, "cell": 1}, "channel_names": {"0": "CT"}}', GROUND),
    ("dataset.json", '{"labels": {"0": "ground", "1": "cell"}}', GROUND),
    ("notes.json", '{"categories": [{"id": 0, "name": "ground"}, {"id": 1, "name": "cell"}]}', GROUND),
    ("meta.json", '{"classes": [{"title": "road", "color": "#000000"}, {"title": "sea", "color": "#0080FF"}]}', SEA),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "expected"), READ, ids=[f"{n} {t[:12]!r}" for n, t, _ in READ]
)
def test_tables_of_names(tmp_path: Path, name: str, text: str, expected: Expected) -> None:
    (tmp_path / name).write_text(text)
    found = read_naming(tmp_path / name)
    assert (found.names, found.values, found.colours) == expected
    assert found.where == name


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    (tmp_path / "classes.csv").write_bytes(
        end.join(["name;value", "Boden;0", "Zellhülle;1", ""]).encode(encoding)
    )
    assert read_naming(tmp_path / "classes.csv").names == ("Boden", "Zellhülle")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ground\n", "cannot be understood; write a line a class"),
        ("", "cannot be understood"),
        ("name,value\n", "cannot be understood"),
        ("a,b\nc\n", "cannot be understood"),
        ("a,0\nb,0\n", "gives 0 to 'a' and 'b'; give each value to one class"),
        ("a,1,2,3\nb,1,2,3\n", "gives #010203 to 'a' and 'b'"),
        (
            "a,0\n" + "b" * 140_000 + ",1\n",
            "cannot be understood",
        ),  # more than the csv module takes
        ("a,0\nb," + "9" * 5000 + "\n", "cannot be understood"),
    ],
    ids=lambda text: text[:20],
)
def test_tables_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_naming(tmp_path / "classes.csv")


@pytest.mark.parametrize(
    "text",
    [
        '[{"name": "a"}, {"nam": "b"}]',
        '{"a": 1e999, "b": 0}',
        '[{"name": "a", "id": 1e999}, {"name": "b", "id": 0}]',
    ],
)
def test_numbers_that_no_class_has(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(DataError, match="cannot be understood"):
        read_naming(tmp_path / "classes.json")


@pytest.mark.parametrize(
    "data", [b"\xff\xfea\x00\n\x00b", b"\xfe\xff\x00a\x00\n\x00b\x00"], ids=repr
)
def test_half_a_character_at_the_end(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "classes.txt").write_bytes(data)
    assert read_naming(tmp_path / "classes.txt").names[0] == "a"


def test_long_lines_take_no_time_of_their_own(tmp_path: Path) -> None:
    """Patterns that try each length of blanks and of digits took hours for one line."""
    line = "a" + " " * 40_000 + "1" * 40_000 + " 2 " + "1" * 40_000 + "x"
    (tmp_path / "classes.txt").write_text(f"{line}\nb\n")
    assert read_naming(tmp_path / "classes.txt").names[1] == "b"


def test_the_table_is_looked_for_with_the_masks_and_above(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, a\n1, b\n")
    (tmp_path / "dataset.json").write_text('{"title": "photographs of the sea"}')
    files = [("train", "_classes.csv"), ("dataset.json",)]
    found = find_naming(tmp_path, files, ["train/x_mask.png"])
    assert found is not None and found.names == ("a", "b")
    assert find_naming(tmp_path, files, ["other/x_mask.png"]) is None
