"""What `striate predict` says of files that hold more than one picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from striate.cli.console import say_left_out
from striate.data.files import find_files


def test_pages_and_pictures_after_the_first_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [Image.new("L", (8, 8), 60 * k) for k in range(3)]
    for name in ("moves.gif", "moves.webp", "pages.tif"):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
    for name in ("still.gif", "still.webp", "still.tif"):
        pictures[0].save(tmp_path / name)
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    say_left_out(find_files([str(tmp_path)]))
    said = capsys.readouterr().err
    assert "1 file holds several pages, of which the first is read" in said
    assert "2 files hold several pictures, of which the first is read" in said
    assert "moves.gif" in said and "still" not in said
