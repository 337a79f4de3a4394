"""The sources that have a name: digits, lines, Fashion-MNIST."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from striate.data import SOURCES, Source, open_source
from striate.data import fashion as fashion_file
from striate.data.lines import line_image
from striate.errors import DataError, UsageError
from striate.tasks.segment.data import MASK_SOURCES
from striate.tasks.table import sources


def test_the_table_lists_every_source() -> None:
    assert list(SOURCES) == ["digits", "lines", "fashion-mnist"]
    finding = sources()
    assert [row[0] for row in finding.tables[0].rows] == [
        *SOURCES,
        "stamps",
        *MASK_SOURCES,
        "glyphs",
        "a path",
    ]
    assert all(len(str(row[1])) > 20 for row in finding.tables[0].rows)


# digits


@pytest.mark.parametrize("seed", range(5))
def test_digits_are_scikit_learns(seed: int) -> None:
    raw = load_digits()
    source = open_source("digits", seed=seed)
    assert len(source) == 1797
    assert source.classes == tuple("0123456789")
    assert len(source.test) >= 300
    assert len(source.val) >= 100
    assert not source.photographs
    assert source.horizontal_flip is False
    for split in source.splits.values():
        for i in range(0, len(split), 25):
            number = int(split.keys[i].removeprefix("digits/"))
            assert split.labels[i] == raw.target[number]
            expected = np.rint(raw.images[number] * 255 / 16)
            np.testing.assert_array_equal(split.image(i)[..., 0], expected)
            np.testing.assert_array_equal(split.image(i), split.array[i])


def test_digits_are_the_same_on_every_machine() -> None:
    """The fingerprint holds contents, classes and splits; a change would end every comparison."""
    assert open_source("digits").fingerprint == FINGERPRINT


FINGERPRINT = "8ca2418b6fa8d8f860de77d5417a00882033185306f463c38164ff322504f1d7"


# lines


def test_lines_are_vertical_in_class_0_and_horizontal_in_class_1() -> None:
    """Lecture 003: "Class 0: vertical lines, Class 1: horizontal lines"."""
    source = open_source("lines", count=200, size=32)
    assert source.classes == ("vertical", "horizontal")
    assert source.counts().sum(axis=1).tolist() == [100, 100]
    for split in source.splits.values():
        for i, label in enumerate(split.labels.tolist()):
            image = split.image(i)[..., 0] > 0
            assert image.shape == (32, 32)
            # Along a line neighbours agree, across it they differ: fewer changes along the lines.
            down, right = (np.diff(image.astype(int), axis=a) != 0 for a in (0, 1))
            assert (right.sum() > down.sum()) == (label == 0)


def test_each_line_is_one_pixel_wide_and_a_quarter_of_the_side_or_more() -> None:
    for index in range(1, 60, 2):
        image = line_image(index, seed=4, size=40)
        assert set(np.unique(image)) == {0, 255}
        rows = np.flatnonzero(image.any(axis=1))
        assert 1 <= len(rows) <= 6
        assert all((image[row] > 0).sum() >= 10 for row in rows)


def test_an_image_of_lines_depends_on_seed_index_and_size_alone() -> None:
    few, many = (open_source("lines", count=n, size=16, val=0, test=0) for n in (20, 60))
    assert few.train.array is not None
    assert many.train.array is not None
    np.testing.assert_array_equal(few.train.array, many.train.array[:20])
    for i in range(20):
        np.testing.assert_array_equal(few.train.image(i)[..., 0], line_image(i, seed=0, size=16))
    assert (line_image(0, seed=1) != line_image(0, seed=2)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 3}, "count must be 10 or more and fit into 8 GiB of memory, got 3"),
        ({"count": 10**9}, "count must be"),
        ({"size": 4}, "size must be 8 to 1024 pixels, got 4"),
    ],
)
def test_lines_that_cannot_be(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source("lines", **options)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match=r"seed must be a whole number from 0 to .*, got -1"):
        open_source("lines", seed=-1)


# Fashion-MNIST


@pytest.fixture(scope="module")
def clothes() -> Source:
    if fashion_file.find() is None:
        pytest.skip("Fashion-MNIST is not on this machine")
    return open_source("fashion-mnist")


def test_fashion_mnist_has_its_published_counts(clothes: Source) -> None:
    """Xiao, Rasul and Vollgraf (2017), table 1 and section 2: 6,000 + 1,000 images a class."""
    counts = clothes.counts()
    assert counts[:, 2].tolist() == [1000] * 10
    assert counts[:, :2].sum(axis=1).tolist() == [6000] * 10
    assert abs(len(clothes.val) - 3000) < 200
    assert clothes.classes[9] == "Ankle boot"
    assert all(key.startswith("fashion-mnist/test/") for key in clothes.test.keys)
    assert clothes.horizontal_flip is True
    # The first test image is an ankle boot, the second a pullover.
    assert clothes.test.keys[:2] == ("fashion-mnist/test/0", "fashion-mnist/test/1")
    assert clothes.test.labels[:5].tolist() == [9, 2, 1, 1, 6]


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">i4").tobytes()
    return gzip.compress(head + values.tobytes(), mtime=0)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four small files in the place of the published ones, with digests of their own."""
    rng = np.random.default_rng(0)
    files = {
        "train-images-idx3-ubyte.gz": idx(rng.integers(0, 256, (60, 5, 4), dtype=np.uint8)),
        "train-labels-idx1-ubyte.gz": idx((np.arange(60) % 10).astype(np.uint8)),
        "t10k-images-idx3-ubyte.gz": idx(rng.integers(0, 256, (20, 5, 4), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte.gz": idx((np.arange(20) % 10).astype(np.uint8)),
    }
    digests = {n: hashlib.sha256(gzip.decompress(raw)).hexdigest() for n, raw in files.items()}
    monkeypatch.setattr(fashion_file, "DIGESTS", digests)
    monkeypatch.setattr(fashion_file, "SYSTEM", tmp_path / "system")
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "mine"))
    return files


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)


class _Server(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes]

    def do_GET(self) -> None:
        raw = self.files.get(self.path.lstrip("/"))
        self.send_response(200 if raw is not None else 404)
        self.end_headers()
        self.wfile.write(raw or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Serves what the returned dict holds, at the address that is downloaded from."""
    served = dict(small)
    handler = type("Handler", (_Server,), {"files": served})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(fashion_file, "URL", f"http://127.0.0.1:{running.server_port}/")
        yield served
        running.shutdown()
        thread.join()


def test_the_data_folder_comes_before_the_systems(small: dict[str, bytes], tmp_path: Path) -> None:
    put(tmp_path / "system", small)
    assert open_source("fashion-mnist").where == str(tmp_path / "system")
    put(tmp_path / "mine" / "fashion-mnist", small)
    source = open_source("fashion-mnist")
    assert source.where == str(tmp_path / "mine" / "fashion-mnist")
    assert len(source) == 80
    assert source.test.sizes[0].tolist() == [5, 4]


def test_what_is_missing_is_downloaded_once(server: dict[str, bytes], tmp_path: Path) -> None:
    source = open_source("fashion-mnist")
    folder = tmp_path / "mine" / "fashion-mnist"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == server
    server.clear()
    assert open_source("fashion-mnist").fingerprint == source.fingerprint


def test_an_interrupted_download_goes_on_where_it_was(
    server: dict[str, bytes], tmp_path: Path
) -> None:
    last = server.pop("t10k-labels-idx1-ubyte.gz")
    with pytest.raises(
        DataError, match=r"t10k-labels-idx1-ubyte.gz cannot be downloaded .*Not Found"
    ):
        open_source("fashion-mnist")
    assert len(list((tmp_path / "mine" / "fashion-mnist").iterdir())) == 3
    server.clear()
    server["t10k-labels-idx1-ubyte.gz"] = last
    assert len(open_source("fashion-mnist")) == 80


@pytest.mark.parametrize(
    "wrong",
    [idx(np.zeros(60, dtype=np.uint8)), b"<html>Please log in</html>"],
    ids=["other images", "a page"],
)
def test_a_download_that_is_not_the_published_file_is_not_kept(
    server: dict[str, bytes], tmp_path: Path, wrong: bytes
) -> None:
    server["train-images-idx3-ubyte.gz"] = wrong
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte.gz is (not the published|broken)"
    ):
        open_source("fashion-mnist")
    assert list((tmp_path / "mine" / "fashion-mnist").iterdir()) == []


def test_without_a_network_one_sentence_says_what_to_do(
    small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fashion_file, "URL", "http://127.0.0.1:9/")
    message = (
        r"fashion-mnist is not in .*mine/fashion-mnist, and train-images-idx3-ubyte.gz cannot be "
        r"downloaded from http://127.0.0.1:9/ \(.*refused.*\); put the file there yourself, or "
        r"install Debian's dataset-fashion-mnist"
    )
    with pytest.raises(DataError, match=message):
        open_source("fashion-mnist")


def test_an_altered_file_is_named(small: dict[str, bytes], tmp_path: Path) -> None:
    small["t10k-labels-idx1-ubyte.gz"] = idx(np.zeros(20, dtype=np.uint8))
    put(tmp_path / "mine" / "fashion-mnist", small)
    message = r"mine/fashion-mnist/t10k-labels-idx1-ubyte.gz is not the published one .* delete it"
    with pytest.raises(DataError, match=message):
        open_source("fashion-mnist")


def test_a_data_folder_that_cannot_be_made(
    small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "a file"))
    with pytest.raises(
        DataError, match=r"cannot make .*; set STRIATE_DATA to a folder that can be"
    ):
        open_source("fashion-mnist")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"STRIATE_DATA": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/striate"),
        ({}, "/home/me/.cache/striate"),
    ],
)
def test_where_downloads_go(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("STRIATE_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert str(fashion_file.data_folder()) == expected


def test_describing_a_source_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from striate.data import open_source, describe, check, list_sources\n"
        "list_sources(); source = open_source('lines', count=40); check(source); describe(source)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
