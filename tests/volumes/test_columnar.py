"""Parquet and Arrow tables as data, and what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import striate
from striate.errors import DataError, UsageError
from striate.tasks.table import task_of
from striate.volumes import columnar, mount
from tests.volumes.packing import ITEMS, as_parquet, as_saved, as_table, mask, picture

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


def write(path: Path, **columns) -> str:
    pq.write_table(pa.table(columns), path, row_group_size=7)
    return str(path)


def images(count: int) -> list[bytes]:
    return [picture(i) for i in range(count)]


def test_plain_bytes_and_words(tmp_path: Path) -> None:
    data = write(tmp_path / "a.parquet", picture=images(20), breed=["a", "b"] * 10)
    assert striate.open_source(data).classes == ("a", "b")


def test_paths_beside_the_table(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"{i}.png").write_bytes(picture(i))
    (tmp_path.parent / "outside.png").write_bytes(picture(99))
    names = [f"{i}.png" for i in range(20)]
    data = write(
        tmp_path / "a.parquet", file=[*names, "../outside.png"], label=["a", "b"] * 10 + ["a"]
    )
    source = striate.open_source(data)
    assert len(source) == 20
    assert "outside the folder" in source.damaged[0].reason


@pytest.mark.parametrize(
    ("columns", "task"),
    [
        ({"mask": [mask(i) for i in range(20)]}, "segment"),
        ({"objects": [{"bbox": [[1, 1, 3 + i % 3, 4]], "category": ["ab"[i % 2]]} for i in range(20)]}, "detect"),
        ({"tags": [["a", "b", "c"][: 1 + i % 3] for i in range(20)]}, "multilabel"),
        ({"age": [20.5 + 1.37 * i for i in range(20)]}, "regression"),
    ],
    ids=["mask", "boxes", "tags", "numbers"],
)  # fmt: skip
def test_columns_are_targets_of_each_task(tmp_path: Path, columns, task: str) -> None:
    data = write(tmp_path / "a.parquet", image=images(20), **columns)
    assert task_of(data).name == task
    assert len(striate.open_source(data)) == 20


def test_a_column_may_be_named(tmp_path: Path) -> None:
    data = write(
        tmp_path / "a.parquet", before=images(20), after=images(20)[::-1], kind=["a", "b"] * 10
    )
    with pytest.raises(
        DataError,
        match=r"there are before \(binary\), after \(binary\), kind \(string\).*image=COLUMN",
    ):
        striate.open_source(data)
    source = striate.open_source(f"parquet:{data}?image=after&label=kind")
    assert len(source) == 20
    with pytest.raises(DataError, match="has no column sort, which label= names; there are before"):
        striate.open_source(f"parquet:{data}?image=after&label=sort")
    with pytest.raises(UsageError, match="colour= names no role"):
        striate.open_source(f"parquet:{data}?colour=after")


def test_a_damaged_row_is_named_and_left_out(tmp_path: Path) -> None:
    """Which ends an iteration elsewhere (huggingface/datasets#6470), and a row without one (cheryyunl/ROVER#1)."""
    bad = images(20)
    bad[13] = bad[13][:50]
    rows = [{"bytes": image, "path": None} for image in bad]
    rows[5] = {"bytes": None, "path": None}
    source = striate.open_source(write(tmp_path / "a.parquet", image=rows, label=["a", "b"] * 10))
    assert [d.path for d in source.damaged] == ["0000005.jpg", "0000013.png"]
    assert "row 5" in source.damaged[0].reason
    assert len(source) == 18


def test_an_empty_table_and_a_broken_one(tmp_path: Path) -> None:
    """The broken one by its name (huggingface/datasets#7806)."""
    nothing = {"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}
    with pytest.raises(DataError, match="holds no rows"):
        striate.open_source(write(tmp_path / "a.parquet", **nothing))
    whole = Path(as_parquet(tmp_path)).read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b\.parquet cannot be read as a table"):
        striate.open_source(str(tmp_path / "b.parquet"))


def test_splits_are_those_of_the_files_names(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("validation", 40), ("test", 80)):
        pictures = [picture(first + i) for i in range(8)]
        write(tmp_path / f"{split}-00000-of-00001.parquet", image=pictures, label=["a", "b"] * 4)
    source = striate.open_source(f"parquet:{tmp_path}")
    assert [len(s) for s in source.splits.values()] == [8, 8, 8]


def test_a_row_group_is_read_and_not_the_file(tmp_path: Path, monkeypatch) -> None:
    """Of 36 rows in groups of 10, one image costs one group, and groups that find no room are let go."""
    root = mount(as_parquet(tmp_path))
    monkeypatch.setattr(columnar, "KEPT_BYTES", 1)
    from striate.files import VOLUMES

    volume = VOLUMES[str(root)]
    asked = []
    real = columnar.Shard.column
    counting = lambda self, group, name: asked.append(group) or real(self, group, name)  # noqa: E731
    monkeypatch.setattr(columnar.Shard, "column", counting)
    for row in (3, 7, 25, 3):
        assert volume.read(f"{row:07d}.png") == ITEMS[row][1]
    assert asked == [0, 2, 0]
    assert len(volume.reader.kept) == 1


def test_a_dataset_that_is_not_here_says_what_to_copy(monkeypatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'nobody/nothing' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=offline))
    with pytest.raises(DataError, match=r"save_to_disk\('FOLDER'\).*give hf:FOLDER"):
        striate.open_source("hf:nobody/nothing-of-that-name")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'striate\[hf\]'"):
        striate.open_source("hf:nobody/another-of-that-name")


def test_a_saved_dataset_that_lacks_a_file_names_it(tmp_path: Path) -> None:
    data = as_saved(tmp_path)
    assert len(striate.open_source(data)) == len(as_table())
    next((tmp_path / "saved").glob("*.arrow")).unlink()
    with pytest.raises(DataError, match=r"data-00000-of-00001\.arrow is missing"):
        striate.open_source(data)
