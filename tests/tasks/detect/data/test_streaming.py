"""JSON entry by entry: the same values as json.loads, in memory that does not grow with the file."""

import json
import tracemalloc

import numpy as np
import pytest

from striate.errors import DataError
from striate.tasks.detect.data import streaming
from striate.tasks.detect.data.streaming import entries, first_keys


def document(rng, depth=3):
    kind = rng.integers(7 if depth else 5)
    if kind == 0:
        return int(rng.integers(-(10**12), 10**12))
    if kind == 1:
        return float(rng.normal() * 10.0 ** rng.integers(-20, 20))
    if kind == 2:
        return "".join(
            chr(int(c))
            for c in rng.choice([34, 92, 10, 65, 233, 0x732B, 0x1F642, 123, 93], rng.integers(8))
        )
    if kind == 3:
        return bool(rng.integers(2))
    if kind == 4:
        return None
    if kind == 5:
        return [document(rng, depth - 1) for _ in range(rng.integers(4))]
    return {str(i): document(rng, depth - 1) for i in range(rng.integers(4))}


@pytest.mark.parametrize("piece", [1, 3, 7, 4096])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii", [False, True])
def test_entries_are_those_of_the_whole_whatever_the_pieces(
    tmp_path, monkeypatch, piece, indent, ascii
):
    monkeypatch.setattr(streaming, "PIECE", piece)
    rng = np.random.default_rng(piece)
    for trial in range(15):
        content = {f"k{i}": document(rng) for i in range(4)}
        (tmp_path / "a.json").write_text(
            json.dumps(content, indent=indent, ensure_ascii=ascii), encoding="utf-8"
        )
        expected = [
            (key, entry)
            for key, value in content.items()
            for entry in ((value or [None]) if isinstance(value, list) else [value])
        ]
        assert list(entries(tmp_path / "a.json")) == expected, trial
    assert first_keys(tmp_path / "a.json") == tuple(content)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "a.json").write_text('{"a": ["größe"]}', encoding=encoding)
    assert list(entries(tmp_path / "a.json")) == [("a", "größe")]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2',
        '{"a": [1 2]}',
        '{"a" 1}',
        '{"a": "x',
        "{",
        '{"a": [{"b": tru}]}',
        '{"a": ' + "[" * 100_000,
    ],
)
def test_what_is_no_json_is_refused_with_its_line(tmp_path, text):
    (tmp_path / "a.json").write_text("\n\n" + text)
    with pytest.raises(DataError, match="line"):
        list(entries(tmp_path / "a.json"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "a.json"
    with path.open("w") as file:
        file.write('{"annotations": [')
        entry = json.dumps({"bbox": [1.5] * 4, "segmentation": [[0.25] * 40]})
        file.write(",\n".join([entry] * 60_000))
        file.write("]}")
    assert path.stat().st_size > 15_000_000
    tracemalloc.start()
    count = sum(1 for _ in entries(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60_000 and peak < 8_000_000


def test_a_broken_entry_is_refused_without_reading_the_rest(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [{"b": nonsense}, ' + '{"c": 1}, ' * 2_000_000)
    tracemalloc.start()
    with pytest.raises(DataError):
        list(entries(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
