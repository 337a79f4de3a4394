"""Findings on disk: they come back as they were, are replaced as a whole, and what was altered is named."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from striate.errors import RunError
from striate.findings import Figure, Finding, Table

SVG = Figure(content=b"<svg/>", media="image/svg+xml", caption="c", alt="a")
MADE = Finding(
    name="thing", title="Thing", verdict="It is.",
    tables=(Table(columns=("a", "b"), rows=(("x", 1.5), (None, 2)), formats=("", ".1f")),),
    figures=(SVG, replace(SVG, content=b"<svg><g/></svg>")), data={"x": [1, {"y": 2.5}]}, seed=3, seconds=0.5,
)  # fmt: skip


def test_a_finding_comes_back_as_it_was(tmp_path: Path) -> None:
    assert Finding.load(MADE.save(tmp_path)) == MADE


def test_what_is_no_number_becomes_unknown(tmp_path: Path) -> None:
    file = replace(MADE, data={"x": math.nan, "y": math.inf}).save(tmp_path)
    assert Finding.load(file).data == {"x": None, "y": None}
    file.write_text(
        file.read_text().replace('"x": null', '"x": NaN')
    )  # as earlier versions wrote it
    assert Finding.load(file).data["x"] is None


def test_a_finding_is_replaced_with_its_figures(tmp_path: Path) -> None:
    MADE.save(tmp_path)
    (tmp_path / "thing-else-1.svg").write_bytes(b"<svg/>")
    changed = replace(MADE, figures=(replace(SVG, content=b"<svg>2</svg>"),))
    assert Finding.load(changed.save(tmp_path)) == changed
    assert len(list(tmp_path.glob("thing-[0-9]*"))) == 1  # the old ones are gone
    assert (tmp_path / "thing-else-1.svg").exists()
    assert Finding.load(MADE.save(tmp_path)) == MADE


def test_a_figure_that_lies_over_an_image_keeps_its_bare_one(tmp_path: Path) -> None:
    two = replace(MADE, figures=(SVG, replace(SVG, bare=b"<svg>bare</svg>")))
    assert Finding.load(two.save(tmp_path)) == two
    changed = replace(two, figures=(SVG, replace(SVG, bare=b"<svg>other</svg>")))
    assert Finding.load(changed.save(tmp_path)) == changed
    assert len(list(tmp_path.glob("thing-[0-9]*"))) == 3
    assert Finding.load(MADE.save(tmp_path)) == MADE
    assert len(list(tmp_path.glob("thing-[0-9]*"))) == 2


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", "other", "name is 'other', and the file is called thing.json"),
        ("title", 3, "title must be a text, got 3"),
        ("status", "fine", "status is 'fine', not one of good, note"),
        ("verdict", None, "verdict must be a text"),
        ("tables", {}, "tables must be a list"),
        ("tables", [3], r"tables\[0\] must be a table"),
        ("data", [], "data must be a table"),
        ("seed", "1", "seed must be a whole number or nothing"),
        ("extra", 1, "'extra' is no key"),
        ("figures", [{"file": "../../etc/passwd", "caption": "", "alt": ""}], "file is '../../etc/passwd', not a figure"),
        ("figures", [{"file": "thing-1.svg", "caption": "", "alt": "", "bare": "../x"}], "bare is '../x', not a figure"),
        ("figures", [{"file": "gone-1.svg", "caption": "", "alt": ""}], "gone-1.svg is missing"),
        ("figures", [{"file": "text.png", "caption": "", "alt": ""}], "text.png does not hold image/png"),
        ("figures", [{"file": "pipe.svg", "caption": "", "alt": ""}], "it is a named pipe"),
    ],
)  # fmt: skip
def test_what_was_altered_is_named(tmp_path: Path, key: str, value: Any, words: str) -> None:
    file = MADE.save(tmp_path)
    (tmp_path / "text.png").write_text("secret")
    os.mkfifo(tmp_path / "pipe.svg")
    raw = json.loads(file.read_text())
    file.write_text(json.dumps(raw | {key: value}))
    with pytest.raises(RunError, match=rf"cannot read the finding .*thing\.json: .*{words}") as got:
        Finding.load(file)
    assert "secret" not in str(got.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", [["x"]]), ("rows", [["x", []]]), ("formats", ["", "9999999f"]), ("formats", ["", ".999999f"]),
        ("formats", [""]), ("columns", ["a"]), ("columns", [1, 2]), ("caption", 3), ("rows", 3), ("formats", ["", "{}"]),
        ("rows", [["x", "y"], [1, 2], 3]), ("formats", ["", "c"]),
    ],
)  # fmt: skip
def test_an_altered_table_is_named(tmp_path: Path, key: str, value: Any) -> None:
    file = MADE.save(tmp_path)
    raw = json.loads(file.read_text())
    raw["tables"][0][key] = value
    file.write_text(json.dumps(raw))
    with pytest.raises(RunError, match=r"tables\[0\]"):
        Finding.load(file)


@pytest.mark.parametrize(
    "content", [b"", b"[" * 200_000, b"{", b"\xff\xfe{}", b"[]", b"null", b'{"a":' * 99_999, b"9" * 9999],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_document_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "thing.json"
    file.write_bytes(content)
    with pytest.raises(RunError, match="cannot read the finding"):
        Finding.load(file)
