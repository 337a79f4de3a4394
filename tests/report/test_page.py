"""The page: everything escaped, nothing loaded from outside, small enough, and written whole or
not at all.
"""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.errors import RunError, WriteError
from striate.figures import new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.report import write_report
from striate.report.page import render_page
from striate.report.wording import NARROW, prose

NASTY = "<script>alert('x')</script> & \"quotes\" <img src=x onerror=alert(1)>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Every tag with its attributes, the text, and whether the tags are properly nested."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


def chart(label: str = "epoch", caption: str = "A line.") -> Figure:
    with style():
        figure = new_figure(4, 3)
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1])
        ax.fill_between([0, 1], [0, 1], hatch="/")  # matplotlib draws this by reference
        ax.set_xlabel(label, parse_math=False)
        return render(figure, caption=caption, alt="a line")


def photo(width: int, height: int, seed: int = 0, media: str = "image/png") -> Figure:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, media.removeprefix("image/"))
    return Figure(content=buffer.getvalue(), media=media, caption=f"noise {seed}", alt="noise")  # type: ignore[arg-type]


def finding(name: str = "thing", **changes: Any) -> Finding:
    settings: dict[str, Any] = {"title": name.title(), "verdict": f"All is well with {name}."}
    return Finding(name=name, **(settings | changes))


def page(*findings: Finding, limit: int = 5_000_000, **words: Any) -> Page:
    settings: dict[str, Any] = {
        "title": "A run",
        "subtitle": "of a test",
        "facts": {},
        "generated": "today",
    }
    return Page(render_page(findings, limit=limit, **(settings | words)))


def test_everything_that_came_in_is_text_not_markup() -> None:
    figure = Figure(content=chart(NASTY).content, media="image/svg+xml", caption=NASTY, alt=NASTY)
    nasty = Finding(
        name="na/sty <b>",
        title=NASTY,
        verdict=NASTY,
        status="warning",
        advice=NASTY,
        tables=(Table(columns=(NASTY, "n"), rows=((NASTY, 1),), caption=NASTY),),
        figures=(figure, photo(40, 40)),
        data={
            NASTY: NASTY,
            "key_figure": {
                "label": NASTY,
                "value": 0.5,
                "low": 0.4,
                "high": 0.6,
                "baseline": 0.1,
                "baseline_label": NASTY,
            },
        },
    )
    shown = page(
        nasty, finding("other"), title=NASTY, subtitle=NASTY, facts={NASTY: NASTY}, generated=NASTY
    )
    assert "script" not in {tag for tag, _ in shown.tags}
    assert not [name for _, attrs in shown.tags for name in attrs if name.startswith("on")]
    assert {src[:22] for src in shown.values("src")} == {"data:image/png;base64,"}
    assert shown.text.count(NASTY) >= 14


def test_what_stands_in_backticks_is_code() -> None:
    assert str(prose("pass `--set a<b` at 5 %")) == f"pass <code>--set a&lt;b</code> at 5{NARROW}%"


def test_nothing_is_loaded_from_anywhere() -> None:
    shown = page(finding(figures=(chart(), photo(300, 200), photo(300, 200, media="image/webp"))))
    assert all(value.startswith("data:image/") for value in shown.values("src"))
    assert all(value.startswith(("#", "data:image/")) for value in shown.values("href"))
    assert not {"link", "script", "iframe", "object", "base", "form"} & {
        tag for tag, _ in shown.tags
    }
    policy = next(
        a["content"] for t, a in shown.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "url(http" not in shown.text
    assert "@import" not in shown.text


def test_ids_are_unique_and_every_reference_has_its_target() -> None:
    """The same chart three times: matplotlib gives it the same ids each time."""
    shown = page(finding("one", figures=(chart(), chart())), finding("two", figures=(chart(),)))
    ids = Counter(shown.values("id"))
    assert max(ids.values()) == 1
    references = [v[1:] for v in shown.values("href") if v.startswith("#")]
    references += [v[5:-1] for v in shown.values("clip-path")]
    assert len(references) > 10
    assert set(references) <= set(ids)


def test_charts_have_an_alternative_text_and_pictures_too() -> None:
    shown = page(finding(figures=(chart(), photo(40, 30))))
    assert [a["aria-label"] for t, a in shown.tags if t == "svg" and a.get("role") == "img"] == [
        "a line"
    ]
    assert [(a["alt"], a["width"], a["height"]) for t, a in shown.tags if t == "img"] == [
        ("noise", "40", "30")
    ]


def test_summary_shows_the_key_figure_and_the_most_urgent_first() -> None:
    statuses = ["note", "good", "warning", "problem", "good", "good", "note"]
    findings = [finding(f"f{i}", status=s) for i, s in enumerate(statuses)]
    key = {
        "label": "right",
        "value": 0.98611,
        "low": 0.9722,
        "high": 0.9944,
        "baseline": 0.1,
        "baseline_label": "guessing",
    }
    shown = page(*findings, finding("headline", data={"key_figure": key}))
    summary = shown.text[shown.text.index("98.6") : shown.text.index("Contents")]
    assert summary.startswith("98.6\u202f%")
    order = [summary.index(f"with f{i}.") for i in (3, 2, 1, 4, 5)]
    assert order == sorted(order)
    assert "with f0." not in summary  # five cards and no more
    assert "guessing: 10.0\u202f%" in summary


@pytest.mark.parametrize(
    ("format", "shown"), [(".3f", "0.694"), ("", "69.4\u202f%"), ("{evil}", "69.4\u202f%")]
)
def test_a_key_figure_is_written_as_its_field_writes_it(format: str, shown: str) -> None:
    key = {"label": "AP", "value": 0.69444, "low": 0.6, "high": 0.8, "format": format}
    made = page(finding("headline", data={"key_figure": key}))
    assert shown in made.text
    assert ("69.4" in made.text) == (shown != "0.694")


@pytest.mark.parametrize("value", ["98 %", None, float("nan"), 3, {"a": 1}])
def test_a_key_figure_that_is_no_share_is_left_out(value: object) -> None:
    shown = page(finding(data={"key_figure": {"value": value, "label": "right"}}))
    assert "hero" not in " ".join(shown.values("class")).split()


def test_statuses_are_told_in_words_not_by_colour_alone() -> None:
    shown = page(*(finding(s, status=s) for s in ("good", "note", "warning", "problem")))
    for word in ("Good", "Note", "Take care", "Problem"):
        assert shown.text.count(word) >= 3  # card, contents, section


def test_long_tables_are_folded_and_very_long_ones_cut_with_a_word() -> None:
    def table(n: int) -> Table:
        return Table(
            columns=("file", "share"),
            rows=tuple((f"f{i}", i / n) for i in range(n)),
            formats=("", ".1%"),
        )

    short = page(finding(tables=(table(10),)))
    assert "details" not in {tag for tag, _ in short.tags}
    assert "90.0\u202f%" in short.text
    long = page(finding(tables=(table(1200),)))
    assert "Show the table (1,200 rows)" in long.text
    assert "The first 1,000 of 1,200 rows; all of them are in findings/thing.json." in long.text
    assert "f999" in long.text
    assert "f1000" not in long.text


def test_numbers_stand_on_the_right_and_names_on_the_left() -> None:
    table = Table(
        columns=("class", "n", "interval", "version", "taken for", "unknown"),
        rows=(
            ("1", 5, "97.2–99.4 %", "2.15.0", "7", None),
            ("2", None, "<0.1–3.0 %", "0.1.0", "9", None),
        ),
    )
    shown = page(finding(tables=(table,)))
    heads = [
        attrs.get("class")
        for tag, attrs in shown.tags
        if tag == "th" and attrs.get("scope") == "col"
    ]
    assert heads == [None, "n", "n", None, None, None]


def test_heavy_pictures_are_made_smaller_until_the_page_fits(tmp_path: Path) -> None:
    heavy = finding(figures=tuple(photo(900, 700, seed) for seed in range(4)))  # 7.5 MB of noise
    path = write_report(
        tmp_path / "r.html", [heavy], title="t", subtitle="", facts={}, generated="now"
    )
    assert 100_000 < path.stat().st_size <= 5_000_000
    shown = Page(path.read_bytes())
    assert len(shown.values("src")) == 4
    assert "Pictures were made smaller to keep this file under 5 MB." in shown.text


def test_charts_too_heavy_even_so_are_left_out_with_a_word() -> None:
    svg = (
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M'
        + b"1 1 " * 50_000
        + b'"/></svg>'
    )
    big = Figure(content=svg, media="image/svg+xml", caption="big", alt="big")
    shown = page(finding(figures=(chart(), big)), limit=120_000)
    assert "Left out to keep this page small; see findings/thing-2.svg." in shown.text
    assert sum(a.get("role") == "img" for t, a in shown.tags if t == "svg") == 1


def test_a_broken_figure_is_named_and_the_rest_is_shown() -> None:
    broken = Figure(content=b"not an image", media="image/png", caption="c", alt="a")
    shown = page(finding(figures=(broken,)), finding("other"))
    assert "findings/thing-1.png cannot be shown" in shown.text
    assert "All is well with other." in shown.text


def test_names_that_no_encoding_holds_do_not_stop_the_report(tmp_path: Path) -> None:
    """A file name with a byte that is not UTF-8 reaches Python as a lone surrogate."""
    name = os.fsdecode(b"caf\xe9\x1b[31m.png")
    odd = finding(tables=(Table(columns=("file",), rows=((name,),)),))
    path = write_report(tmp_path / "r.html", [odd], title=name, subtitle="", facts={}, generated="")
    assert r"caf\xe9\x1b[31m.png" in path.read_text(encoding="utf-8")


def test_same_findings_same_bytes() -> None:
    def once() -> bytes:
        return render_page(
            [finding(figures=(chart(),))], title="t", subtitle="s", facts={"a": "b"}, generated="g"
        )

    assert once() == once()


def test_an_old_report_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    for title in ("first", "second"):
        assert (
            write_report(path, [finding()], title=title, subtitle="", facts={}, generated="")
            == path
        )
    assert "<h1>second</h1>" in path.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_report_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        WriteError, match=r"cannot write .*report\.html: No space left on device; make room"
    ):
        write_report(path, [finding()], title="", subtitle="", facts={}, generated="")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        WriteError, match=r"cannot write .*r\.html: Not a directory; choose another place"
    ):
        write_report(
            tmp_path / "file" / "r.html", [], title="", subtitle="", facts={}, generated=""
        )


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied; choose a folder that can be written to"):
        write_report(tmp_path / "r.html", [], title="", subtitle="", facts={}, generated="")


def test_writing_a_report_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from striate.report import write_report; from striate.report.terminal import "
        "terminal\n"
        f"write_report({str(tmp_path / 'r.html')!r}, [], title='t', subtitle='', facts={{}}, "
        "generated='')\n"
        "assert not {'torch', 'matplotlib', 'numpy', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
