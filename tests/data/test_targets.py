"""Tables of tags and of numbers: which they are taken for, how they are read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data.numbers import numbers_of, unit_of
from striate.data.source import Source
from striate.data.tags import flags_of, tags_of
from striate.data.targets import noted, open_targets, target_kind
from striate.errors import DataError, UsageError
from striate.tasks.table import open_source, task_for

Fill = Callable[..., Path]

CYCLE = (("cat",), ("cat", "dog"), ("dog",), ())


def written(root: Path, heading: str, row: Callable[[int], str], n: int = 24) -> Path:
    """labels.csv with a row for each of pictures/0.png, ..."""
    lines = [heading, *(f"pictures/{i}.png,{row(i)}" for i in range(n))]
    path = root / "labels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def targets_of(source: Source) -> dict[str, tuple[float, ...]]:
    return {
        key: tuple(row)
        for split in source.splits.values()
        for key, row in zip(split.keys, split.targets.tolist(), strict=True)  # type: ignore[attr-defined]
    }


@pytest.mark.parametrize(
    ("heading", "row"),
    [
        ("file,tags", lambda tags: "; ".join(tags) or "none"),
        ("file,tags", lambda tags: " ".join(tags) or "none"),
        ("file,tags", lambda tags: f'"{", ".join(tags) or "none"}"'),
        ("file,labels", lambda tags: "|".join(tags) or "none"),
        ("file,label", lambda tags: '"' + str(list(tags)) + '"'),
        ("file,cat,dog", lambda tags: f"{int('cat' in tags)},{int('dog' in tags)}"),
        ("file,cat,dog", lambda tags: f"{'cat' in tags},{'dog' in tags}"),
        ("file,cat,dog", lambda tags: ",".join("yes" if t in tags else "no" for t in ("cat", "dog"))),
        ("file,cat,dog", lambda tags: ",".join("x" if t in tags else "" for t in ("cat", "dog"))),
        ("file,cat,dog", lambda tags: ",".join("1" if t in tags else "-1" for t in ("cat", "dog"))),
    ],
    ids=["semicolons", "blanks", "commas", "bars", "lists", "01", "true", "yes", "x", "minus"],
)  # fmt: skip
def test_the_same_tags_in_every_form(
    fill: Fill, heading: str, row: Callable[[tuple[str, ...]], str]
) -> None:
    path = written(fill("pictures", images=24), heading, lambda i: row(CYCLE[i % 4]))
    assert target_kind(path) == "tags"
    source = open_targets(path, "tags")
    assert source.classes == ("cat", "dog")
    for key, target in targets_of(source).items():
        tags = CYCLE[int(Path(key).stem) % 4]
        assert target == (float("cat" in tags), float("dog" in tags)), key
    assert all(split.targets.any(0).all() for split in source.splits.values())  # type: ignore[attr-defined]


def test_tags_on_a_line_each_are_put_together(fill: Fill) -> None:
    root = fill("pictures", images=24)
    lines = [f"pictures/{i}.png,{tag}" for i in range(24) for tag in CYCLE[i % 3]]
    (root / "labels.csv").write_text("file,label\n" + "\n".join(lines), encoding="utf-8")
    assert target_kind(root) == target_kind(root / "labels.csv") == "tags"
    found = targets_of(open_targets(root / "labels.csv", "tags"))
    assert found["pictures/1.png"] == (1.0, 1.0)
    assert found["pictures/2.png"] == (0.0, 1.0)


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        (["1", "0", ""], [True, False, None]),
        (["1", "", "x"], [True, False, True]),
        (["1", "-1"], [True, False]),
        (["1", "0", "-1"], [True, False, None]),
        (["Yes", "no", "nan"], [True, False, None]),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_what_a_cell_of_a_tag_says(texts: list[str], known: list[bool | None]) -> None:
    assert flags_of(texts) == known


def test_a_column_without_tags_is_refused() -> None:
    with pytest.raises(DataError, match="holds no tag; write the tags of each image"):
        tags_of(["", "none"], "labels.csv, column tags")


def test_rows_without_targets_are_named_and_left_out(fill: Fill) -> None:
    path = written(
        fill("pictures", images=24), "file,cat,dog", lambda i: ["1,0", "0,1", ",1"][i % 3]
    )
    source = open_targets(path, "tags")
    assert len(source) == 16
    assert len(source.damaged) == 8
    assert source.damaged[0].path == "pictures/2.png"
    assert source.damaged[0].reason == "labels.csv does not say whether it has cat"


def test_tags_that_never_occur_are_named_and_left_out(fill: Fill) -> None:
    path = written(
        fill("pictures", images=24), "file,cat,dog,owl", lambda i: ["1,0,0", "1,1,0"][i % 2]
    )
    source = open_targets(path, "tags")
    assert source.classes == ("cat", "dog")
    assert any("the tag owl never occurs and is left out" in note for note in source.notes)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "2.5", "-3e2"], [1, 2.5, -300]),
        (["3,5", "4"], [3.5, 4]),
        (["1,234.5", "7"], [1234.5, 7]),
        (["1.234,5", "7,25"], [1234.5, 7.25]),
        (["12 %", "3%"], [12, 3]),
        (["nan", "", "?", "2"], [np.nan, np.nan, np.nan, 2]),
        (["inf", "-Infinity", "2"], [np.inf, -np.inf, 2]),
    ],
    ids=lambda value: "_".join(map(str, value)),
)
def test_numbers_as_people_write_them(texts: list[str], values: list[float]) -> None:
    np.testing.assert_array_equal(numbers_of(texts, "column x")[0], values)


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["1,234", "2,500"], "holds '1,234', which may be 1234 or 1.234; write the numbers without"),
        (["1,5", "2.5"], "writes decimals with a point .2.5. and with a comma .1,5."),
        (["1", "old"], "holds 'old', which is no number; write a number, or leave the cell empty"),
    ],
    ids=["thousands-or-decimals", "both", "word"],
)  # fmt: skip
def test_numbers_that_may_mean_two_things_are_refused(texts: list[str], why: str) -> None:
    with pytest.raises(DataError, match=why):
        numbers_of(texts, "column x")


@pytest.mark.parametrize(
    ("heading", "parts"),
    [("age [years]", ("age", "years")), ("weight_kg", ("weight", "kg")), ("Size (mm)", ("Size", "mm")),
     ("score", ("score", "")), ("bone_age", ("bone_age", ""))],
    ids=lambda value: str(value),
)  # fmt: skip
def test_the_unit_stands_in_the_heading(heading: str, parts: tuple[str, str]) -> None:
    assert unit_of(heading) == parts


@pytest.mark.parametrize(
    ("heading", "row", "kind"),
    [
        ("file,age", lambda i: "4", "numbers"),
        ("file,age", lambda i: "old" if i == 3 else f"{20 + i}", "numbers"),
        ("file,age", lambda i: f"{20 + i}", "numbers"),
        ("file,age [years]", lambda i: f"{i % 4}", "numbers"),
        ("file,weight_kg,height_cm", lambda i: f"{i / 7:.2f},{i}", "numbers"),
        ("file,age,hospital", lambda i: f"{i / 3:.1f},here", "numbers"),
        ("file,label", lambda i: f"{i % 4}", None),
        ("file,grade", lambda i: f"{i % 4}", None),
        ("file,label", lambda i: ["cat", "dog"][i % 2], None),
        ("file,cat,dog", lambda i: ["1,0", "0,1"][i % 2], None),
        ("file,label,age", lambda i: f"{['cat', 'dog'][i % 2]},{i}", None),
    ],
    ids=["constant-age", "slip", "age", "unit", "two", "beside-words", "digits", "grades", "words",
         "one-hot", "class-and-age"],
)  # fmt: skip
def test_what_a_table_is_taken_for(
    fill: Fill, heading: str, row: Callable[[int], str], kind: str | None
) -> None:
    path = written(fill("pictures", images=24), heading, row)
    assert target_kind(path) == kind


def test_few_whole_numbers_are_classes_and_that_is_said(fill: Fill) -> None:
    path = written(fill("pictures", images=24), "file,grade", lambda i: str(i % 4))
    source = open_source(path)
    assert source.classes == ("0", "1", "2", "3")
    assert "the 4 different numbers in its column grade are taken as classes" in source.notes[-1]
    assert noted(source, "digits") is source


def test_a_table_with_tags_and_numbers_is_refused(fill: Fill) -> None:
    path = written(
        fill("pictures", images=24), "file,tags,age", lambda i: f"{['cat;dog', 'dog'][i % 2]},{i}"
    )
    with pytest.raises(DataError, match="say which to learn: --task multilabel learns the tags"):
        target_kind(path)
    assert open_targets(path, "tags").classes == ("cat", "dog")
    assert open_targets(path, "numbers").classes == ("age",)


def test_numbers_keep_their_columns_and_bad_rows_are_named(fill: Fill) -> None:
    rows = {3: "nan,2", 5: "1,inf", 7: ",4"}
    path = written(
        fill("pictures", images=24), "file;weight_kg;score", lambda i: rows.get(i, f"{i / 4},{i * i}")
    )  # fmt: skip
    path.write_text(path.read_text().replace(",", ";"))
    source = open_targets(path, "numbers")
    assert source.classes == ("weight_kg", "score")
    assert targets_of(source)["pictures/6.png"] == (1.5, 36.0)
    reasons = {d.path: d.reason for d in source.damaged}
    assert reasons == {
        "pictures/3.png": "labels.csv gives it no number in weight_kg",
        "pictures/5.png": "labels.csv gives it an infinite number in score",
        "pictures/7.png": "labels.csv gives it no number in weight_kg",
    }


def test_the_fingerprint_depends_on_the_numbers(fill: Fill) -> None:
    root = fill("pictures", images=24)
    found = [
        open_targets(written(root, "file,age", lambda i: f"{i + extra}"), "numbers").fingerprint  # noqa: B023
        for extra in (0, 0, 0.001)
    ]
    assert found[0] == found[1] != found[2]


def test_a_split_column_is_kept(fill: Fill) -> None:
    path = written(
        fill("pictures", images=24), "file,age,split", lambda i: f"{i},{['train', 'test', 'val'][i % 3]}"
    )  # fmt: skip
    source = open_targets(path, "numbers")
    assert [len(s) for s in source.splits.values()] == [8, 8, 8]
    assert set(source.test.keys) == {f"pictures/{i}.png" for i in range(1, 24, 3)}


@pytest.mark.parametrize(
    ("heading", "row", "only", "kind", "error", "why"),
    [
        ("file,length [cm]", lambda i: "4", None, "numbers", DataError, "the same number in its column length .cm."),
        ("file,age", lambda i: "old" if i == 3 else str(i), None, "numbers", DataError, "holds 'old', which is no number"),
        ("file,age", lambda i: "4", None, "numbers", DataError, "gives every image the same number in its column age"),
        ("file,age,size", lambda i: f"4,{i}", "age,size", "numbers", DataError, "leave it out with --set targets=size"),
        ("file,age", lambda i: str(i), "aeg", "numbers", UsageError, "no column 'aeg'; did you mean 'age'"),
        ("file,label", lambda i: ["a", "b"][i % 2], None, "numbers", DataError, "holds no column of numbers"),
        ("file,age", lambda i: "nan", None, "numbers", DataError, "holds no column of numbers"),
        ("file,age,size", lambda i: f"{i},{i}", None, "tags", DataError, "holds no tags: its columns are file, age, size"),
        ("file,tags", lambda i: "cat", None, "tags", DataError, "has the tag 'cat' and no other; there is nothing to learn"),
    ],
    ids=["constant-unit", "slip", "constant", "one-constant", "no-column", "words", "nothing", "no-tags", "one-tag"],
)  # fmt: skip
def test_tables_that_nothing_can_be_learned_from(
    fill: Fill, heading: str, row: Callable[[int], str], only: str | None, kind: str, error: type, why: str
) -> None:  # fmt: skip
    path = written(fill("pictures", images=24), heading, row)
    with pytest.raises(error, match=why):
        open_targets(path, kind, only=only)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("heading", "cell", "name"),
    [("file,weight", "{} kg", "weight [kg]"), ("file,weight [g]", "{} g", "weight [g]"), ("file,dose", "{}mg", "dose [mg]")],
)  # fmt: skip
def test_numbers_with_their_unit_in_each_cell(
    fill: Fill, heading: str, cell: str, name: str
) -> None:
    path = written(fill("pictures", images=24), heading, lambda i: cell.format(i + 0.5))
    assert target_kind(path) == "numbers"
    source = open_targets(path, "numbers")
    assert source.classes == (name,)
    assert sorted(v for (v,) in targets_of(source).values()) == [i + 0.5 for i in range(24)]


def test_names_that_end_like_units_stay_names(fill: Fill) -> None:
    """4a and 5a are classes, and so are sizes in different units."""
    for cells in (("4a", "5a"), ("5 mg", "5 g")):
        path = written(fill("pictures", images=24), "file,label", lambda i, c=cells: c[i % 2])
        assert target_kind(path) is None
        assert open_source(str(path)).classes == tuple(sorted(cells))


def test_four_tags_of_0_and_1_are_no_boxes(fill: Fill) -> None:
    """A file and four numbers, but under headings of their own, or of yes and no alone."""
    tags = [f"{i & 1},{i >> 1 & 1},{i >> 2 & 1},{i >> 3 & 1}" for i in range(24)]
    path = written(fill("pictures", images=24), "image,scab,rust,complex,spot", lambda i: tags[i])
    assert task_for(path.parent).name == "multilabel"
    assert open_source(str(path.parent)).classes == ("complex", "rust", "scab", "spot")
