"""A run is called after its data."""

from __future__ import annotations

from pathlib import Path

from striate.runs.planning import source_name


def test_after_a_folder_a_table_without_its_ending_or_a_source(tmp_path: Path) -> None:
    (tmp_path / "photos.v2").mkdir()
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n")
    assert source_name(str(tmp_path / "photos.v2")) == "photos.v2"
    assert source_name(str(table)) == "labels"
    assert source_name("digits") == "digits"
    assert source_name("python:arrays-0a1b2c3d") == "arrays"
