"""Members of tar archives, against the standard library's reader."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest

from striate import files as files_room
from striate.errors import DataError
from striate.files import read_regular
from striate.volumes import mount
from striate.volumes.tar import members
from tests.volumes.packing import tar

FILES = [
    ("a/0001.jpg", b"x" * 700),
    ("./b.cls", b"1"),
    ("empty.txt", b""),
    ("long/" + "n" * 180 + "/0002.png", b"y" * 512),
    ("\u00e4\u00f6 blank.png", b"z" * 1025),
]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_the_members_are_those_of_the_standard_library(tmp_path: Path, kind: int) -> None:
    files = FILES[:3] if kind == tarfile.USTAR_FORMAT else FILES
    path = tar(tmp_path / "a.tar", files, kind)
    with tarfile.open(path, "a", format=kind) as archive:  # a folder and a link beside them
        folder, link = tarfile.TarInfo("folder"), tarfile.TarInfo("link.jpg")
        folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "b.cls"
        archive.addfile(folder)
        archive.addfile(link)
    data = path.read_bytes()
    found = {name: data[at : at + size] for name, at, size in members(io.BytesIO(data), "a.tar")}
    with tarfile.open(path) as archive:
        regular = [m for m in archive if m.isreg()]
        wanted = {m.name.removeprefix("./"): archive.extractfile(m).read() for m in regular}
    assert found == wanted
    assert len(found) == len(files)


def test_an_archive_that_is_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    data = tar(tmp_path / "a.tar", FILES[:2]).read_bytes()
    whole = list(members(io.BytesIO(data), "a.tar"))
    end = -(-(whole[-1][1] + whole[-1][2]) // 512) * 512  # where the end mark begins
    for cut in (0, 1, 511, 512, 1100, end - 300, end - 511, end, end + 100):
        with pytest.raises(DataError, match=r"a\.tar is cut short after"):
            list(members(io.BytesIO(data[:cut]), "a.tar"))
    assert list(members(io.BytesIO(data[: end + 512]), "a.tar")) == whole


def test_what_is_no_plain_tar_is_named() -> None:
    for head, words in (
        (b"\x1f\x8b", "compressed with gzip.*run gunzip"),
        (b"<html>", "it is no tar archive"),
        (b"PK\x03\x04", "it is no tar archive"),
    ):
        with pytest.raises(DataError, match=words):
            list(members(io.BytesIO(head.ljust(2048, b"1")), "a.tar"))


# kubernetes-sigs/aws-efs-csi-driver and every NFS: a file that another machine replaced answers "Stale file handle" once.
def test_a_stale_handle_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [(f"{i:03d}.png", bytes([i]) * 600) for i in range(4)]
    root = mount(
        f"wds:{tar(tmp_path / 'a.tar', [*files, *((f'{i:03d}.cls', b'0') for i in range(4))])}"
    )
    assert read_regular(root / "000.png") == files[0][1]
    ordinary, left = os.pread, [2]

    def stale(descriptor: int, size: int, offset: int) -> bytes:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return ordinary(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", stale)
    monkeypatch.setattr(files_room, "LAG", 0.0)
    assert read_regular(root / "001.png") == files[1][1] and left == [0]
    left[0] = files_room.STALE
    with pytest.raises(OSError, match="Stale"):
        read_regular(root / "002.png")
