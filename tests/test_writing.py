"""Files appear whole or not at all, and all of them go through the one writer."""

from __future__ import annotations

import ast
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from striate import writing
from striate.errors import WriteError
from striate.writing import write_atomically

SOURCE = Path(__file__).parents[1] / "src" / "striate"
ALWAYS = {
    "write_text", "write_bytes", "savefig", "save_file", "imwrite", "tofile", "savez", "savez_compressed", "open_memmap",
    "NamedTemporaryFile", "mkstemp", "touch", "symlink_to", "hardlink_to", "urlretrieve", "copyfile", "copytree", "copy2",
    "to_csv", "to_parquet",
}  # fmt: skip
# Into memory, into the writer's own file, into a folder that is thrown away, under a name that says "unfinished", or a
# lock, which holds nothing.
EXEMPT = {
    ("writing.py", "open"),
    ("figures.py", "savefig"),
    ("lectures/experiments/drawing.py", "savefig"),
    ("runs/outputs.py", "savez_compressed"),
    ("runs/claiming.py", "open"),
    ("runs/given.py", "save"),
    ("inference/tiled/read/outputs.py", "open_memmap"),
    ("inference/tiled/read/outputs.py", "memmap"),
    ("inference/tiled/read/outputs.py", "open"),
    ("inference/tiled/read/raw.py", "open"),
    ("tasks/detect/forms/regions.py", "open_memmap"),  # in a temporary folder, between two passes
    ("studio/shelf.py", "write_bytes"),  # in a temporary folder, for a reader
    ("tasks/instances/labels.py", "imwrite"),  # into the writer's file
}


def writes() -> set[tuple[str, str]]:
    """Calls in the source that write a file: (file, what is called)."""
    return {
        (str(path.relative_to(SOURCE)), name)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and (name := written_by(node))
    }


def written_by(node: ast.Call) -> str:
    """What is called, where it writes a file; else nothing."""
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
    named = {k.arg: k.value for k in node.keywords}
    texts = [a.value for a in (*node.args, *named.values()) if isinstance(a, ast.Constant)]
    if name in ALWAYS:
        return name
    if name in ("open", "fdopen"):
        mode = any(
            isinstance(t, str) and re.fullmatch(r"[wxab+t]{1,3}|r\+b?|rb\+", t) for t in texts
        )
        second = [*node.args[1:2], *(v for k, v in named.items() if k == "mode")]
        mode |= name == "open" and any(
            getattr(a, "id", "") == "mode" for a in second
        )  # decided elsewhere
        flags = any(re.search("O_WRONLY|O_RDWR|O_CREAT", ast.dump(a)) for a in node.args)
        return name if mode or flags else ""
    if name == "memmap":
        return name if "shape" in named else ""
    # Of Pillow and torch; Finding.save and the like are methods of our own, which take no format.
    of_torch = ast.unparse(node.func) in (
        "torch.save", "np.save", "json.dump", "pickle.dump", "shutil.copy", "shutil.move",
    )  # fmt: skip
    of_pillow = name == "save" and any(t in ("PNG", "WEBP", "JPEG") for t in texts)
    bare = name == "save" and "Image." in ast.unparse(node.func)
    in_memory = {getattr(a, "id", "") for a in node.args} & {"buffer", "small", "stream", "file"}
    return name if (bare or of_torch or of_pillow) and not in_memory else ""


def test_every_file_goes_through_the_writer() -> None:
    assert writes() - EXEMPT == set()


def test_the_search_for_writers_finds_what_it_should() -> None:
    assert writes() >= EXEMPT  # an exemption that is no longer needed goes
    for text in (
        "open(path, 'w')", "path.open('wb')", "path.write_text(x)", "image.save(path, 'PNG')", "torch.save(x, path)",
        "os.open(p, os.O_WRONLY)", "np.savez(path, a=x)", "tifffile.memmap(path, shape=s)", "Image.new(s).save(p)",
        "np.save(path, x)", "json.dump(x, open(p))", "shutil.move(a, b)", "open(path, mode)", "path.touch()",
    ):  # fmt: skip
        assert written_by(ast.parse(text, mode="eval").body), text  # type: ignore[arg-type]
    for text in (
        "open(path)",
        "open(p, 'rb')",
        "finding.save(folder)",
        "image.save(buffer, 'PNG')",
    ):
        assert not written_by(ast.parse(text, mode="eval").body), text  # type: ignore[arg-type]


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    write_atomically(file, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="weights: No space left on device; make room") as got:
        write_atomically(file, b"new")
    assert got.value.errno == 28
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights"]


def test_an_error_in_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old")

    def fails(error: BaseException) -> None:
        with writing.writing(tmp_path / "a") as file:
            file.write(b"half")
            raise error

    for error in (ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fails(error)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_link_is_followed_and_the_mode_stays(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="it is a folder"):
        write_atomically(tmp_path, b"x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WriteError, match="pipe: "):  # nobody reads: it must not wait for one
        write_atomically(tmp_path / "pipe", b"x")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"x")
    assert os.read(reader, 9) == b"x" and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    os.close(reader)
    write_atomically(Path("/dev/null"), b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("x" * 255), b"x")
    with pytest.raises(WriteError, match="name too long"):
        write_atomically(tmp_path / ("x" * 256), b"x")


HALF = """
import sys, time
from pathlib import Path
from striate.writing import writing
with writing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("half", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_swept_and_what_another_writes_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    running = [
        subprocess.Popen([sys.executable, "-c", HALF, tmp_path / "a"], stdout=subprocess.PIPE) for _ in range(2)
    ]  # fmt: skip
    try:
        for process in running:
            assert process.stdout is not None and process.stdout.readline() == b"half\n"
        parts = list(tmp_path.glob(".striate-*.part"))
        assert len(parts) == 2
        running[0].send_signal(signal.SIGKILL)
        running[0].wait()
        writing._swept.clear()
        write_atomically(tmp_path / "b", b"x")
        left = list(tmp_path.glob(".striate-*.part"))
        assert len(left) == 1 and str(running[1].pid) in left[0].name
        assert (tmp_path / "a").read_bytes() == b"old"
    finally:
        for process in running:
            process.kill()
            process.communicate()


def filled(place: Path, name: str = "a", error: BaseException | None = None) -> None:
    """Make a folder with one file, and fail where there is an error."""
    with writing.writing_folder(place) as part:
        write_atomically(part / name, b"x")
        assert not (place / name).exists()
        if error is not None:
            raise error


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "above" / "folder"
    for error in (ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            filled(place, error=error)
        assert not any(place.parent.iterdir())
    place.mkdir()  # an empty one of that name is taken
    filled(place)
    assert [p.name for p in place.parent.iterdir()] == ["folder"]
    usual = tmp_path / "usual"
    usual.mkdir()
    assert place.stat().st_mode == usual.stat().st_mode
    with pytest.raises(WriteError, match="folder: Directory not empty"):
        filled(place, "b")
    assert [p.name for p in place.iterdir()] == ["a"]


def test_a_file_that_is_refused_in_a_new_folder_is_the_folders(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"cannot write .*/folder: File name too long") as caught:
        filled(tmp_path / "folder", "x" * 256)
    assert ".striate-" not in str(caught.value) and not any(tmp_path.iterdir())


def test_a_folder_that_a_killed_process_left_is_swept_and_one_that_is_filled_stays(
    tmp_path: Path,
) -> None:
    left = tmp_path / ".striate-1-left.part"
    left.mkdir()
    (left / "a").write_bytes(b"half")
    with writing.writing_folder(tmp_path / "one") as part:
        assert not left.exists()
        writing._swept.clear()
        filled(tmp_path / "two")
        assert part.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]
