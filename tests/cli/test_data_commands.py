"""`striate data` on names of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image


def test_names_that_are_no_text_are_printed_as_their_bytes(tmp_path: Path) -> None:
    for name in (b"k\xe4", b"dog"):
        folder = os.fsencode(tmp_path) + b"/" + name
        os.mkdir(folder)
        for i in range(3):
            Image.new("RGB", (9, 9), (i, len(name), 0)).save(tmp_path / "one.png")
            os.rename(tmp_path / "one.png", folder + b"/\xff%d.png" % i)
        (tmp_path / os.fsdecode(name) / "z\udcff.jpg").touch()
    done = subprocess.run(
        [sys.executable, "-m", "striate", "data", str(tmp_path), "--format", "table"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"it is empty (0 bytes)" in done.stdout
