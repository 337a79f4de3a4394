"""A folder that is scanned again gives what a first scan gives, however it changed; unchanged files are not read."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import described, processes, scanning
from striate.data.pool import ordered
from striate.data.records import Record, inspect
from striate.data.scanning import scan


def image(path: Path, level: int, size: tuple[int, int] = (9, 7)) -> None:
    rng = np.random.default_rng(level)
    Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images, of which one is broken; small folders are noted too, and at once."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(described, "LEAST", 1)
    monkeypatch.setattr(described, "SETTLED", -60.0)
    root = tmp_path / "photos"
    root.mkdir()
    for i in range(12):
        image(root / f"{i}.{'png' if i % 2 else 'jpg'}", i)
    (root / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []

    def counted(path: Path) -> Record | str:
        names.append(path.name)
        return inspect(path)

    for module in (scanning, described):
        monkeypatch.setattr(module, "inspect", counted)
    return names


def keys_of(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir())


def directly(root: Path) -> list[Record | None]:
    """Every file read, without the scan."""
    found = [inspect(root / key) for key in keys_of(root)]
    return [None if isinstance(one, str) else one for one in found]


def test_unchanged_files_are_not_read_again(folder: Path, asked: list[str]) -> None:
    first = scan(folder, keys_of(folder))
    assert len(asked) == 12
    asked.clear()
    assert scan(folder, keys_of(folder)) == first
    assert asked == ["5.png"]  # what is wrong with it is said anew
    assert first[0] == directly(folder)


def test_one_by_one_from_threads_is_the_same(folder: Path, asked: list[str]) -> None:
    keys = keys_of(folder)
    for _ in range(2):
        one = described.Described(folder, len(keys))
        found = list(ordered(one.record, keys))
        assert found == [inspect(folder / key) for key in keys]
        one.keep(keys)
    assert sorted(asked) == sorted([*keys, "5.png"])


def same_time(path: Path) -> None:
    """Other pixels in as many bytes, with the time of writing set back."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-20:-19] = bytes(b ^ 1 for b in data[-20:-19])  # an empty file stays empty
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    """Another file of the same size and time in its place."""
    before = path.stat()
    other = path.with_suffix(".new")
    data = bytearray(path.read_bytes())
    data[-21:-20] = bytes(b ^ 1 for b in data[-21:-20])
    other.write_bytes(data)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def swapped(path: Path) -> None:
    """Two files exchange their names."""
    other = next(p for p in sorted(path.parent.iterdir()) if p.suffix == path.suffix and p != path)
    spare = path.with_suffix(".spare")
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


CHANGES: list[Callable[[Path], None]] = [
    same_time, replaced, swapped, Path.unlink, lambda path: image(path, 99, (4, 5)), lambda path: path.write_bytes(b""),
    lambda path: image(path.with_name(f"more{path.name}"), 7),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_after_any_changes_a_scan_is_what_reading_everything_gives(folder: Path, seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(8):
        assert scan(folder, keys_of(folder))[0] == directly(folder)
        for change in choose.choices(CHANGES, k=2):
            change(folder / choose.choice(keys_of(folder)))
    assert scan(folder, keys_of(folder))[0] == directly(folder)


def test_a_file_that_has_just_changed_is_not_noted(
    folder: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(described, "SETTLED", 60.0)
    scan(folder, keys_of(folder))
    scan(folder, keys_of(folder))
    assert len(asked) == 24


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"[1, 2]",
        lambda data: b'{"files": 3, "made_by": 4}',
        lambda data: data.replace(b"JPEG", b"PNG\\ud800"),
        lambda data: data.replace(b", 9, 7, 3, false", b", 9.5, 7, 3, false"),
        lambda data: data.replace(b'"made_by": "', b'"made_by": "0'),
        lambda data: b"[" * 100_000,
    ],
)
def test_records_that_were_spoiled_are_read_again(
    folder: Path, spoil: Callable[[bytes], bytes]
) -> None:
    scan(folder, keys_of(folder))
    place = described.place_of(folder)
    assert place is not None
    place.write_bytes(spoil(place.read_bytes()))
    found = scan(folder, keys_of(folder))[0]
    assert [r and r.content for r in found] == [r and r.content for r in directly(folder)]


def test_a_cache_that_cannot_be_written_is_done_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("off", str(folder / "0.jpg"), "\0"):
        monkeypatch.setenv("STRIATE_CACHE", given) if given != "\0" else None
        assert scan(folder, keys_of(folder))[0] == directly(folder)
    monkeypatch.setenv("STRIATE_CACHE", "off")
    assert described.place_of(folder) is None


def test_records_hold_no_more_folders_than_they_should(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(described, "KEPT", 2)
    for name in "abc":
        (folder.parent / name).mkdir()
        image(folder.parent / name / "0.png", 1)
        scan(folder.parent / name, ["0.png"])
    place = described.place_of(folder)
    assert place is not None
    assert len(list(place.parent.iterdir())) == 2
    assert json.loads(described.place_of(folder.parent / "c").read_bytes())["files"]  # type: ignore[union-attr]


def test_processes_describe_as_this_one_does(folder: Path) -> None:
    image(folder / "späte\nZeile.png", 3)
    paths = [str(folder / key) for key in keys_of(folder)] * 11 + [str(folder / "missing.jpg")]
    found = list(processes.described_apart(paths, count=2))
    assert found == [inspect(Path(path)) for path in paths]


def test_a_process_that_ends_is_done_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(folder / key) for key in keys_of(folder)] * 30
    right = [inspect(Path(path)) for path in paths]
    monkeypatch.setattr(processes, "CODE", "import sys; sys.stdin.readline(); print('[3]')")
    assert list(processes.described_apart(paths, count=2)) == right
    monkeypatch.setattr(processes.sys, "executable", "/nothing")
    assert list(processes.described_apart(paths, count=2)) == right


def test_many_small_files_are_read_by_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "MANY", 3)
    monkeypatch.setattr(scanning, "inspect", None)
    assert scan(folder, keys_of(folder))[0] == directly(folder)
