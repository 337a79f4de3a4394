"""A finding in a terminal: plain text, whole numbers, any encoding."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from striate.findings import Figure, Finding, Table
from striate.report.terminal import terminal

TABLE = Table(
    columns=("file name", "taken for", "share of all images", "count"),
    rows=tuple((f"some/folder/image_{i:03}.png", "fox", 0.123, 10_000 + i) for i in range(30)),
    formats=("", "", ".1%", ","),
    caption="What is in it.",
)


def shown(finding: Finding, width: int = 100, encoding: str = "utf-8", **options: Any) -> str:
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding, newline="\n")
    Console(file=file, width=width, legacy_windows=False).print(terminal(finding, **options))
    file.flush()
    return buffer.getvalue().decode(encoding)


def finding(**changes: Any) -> Finding:
    settings: dict[str, Any] = {"name": "thing", "title": "A thing", "verdict": "It is so."}
    return Finding(**(settings | changes))


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("good", "✔ A thing  Good"),
        ("note", "● A thing  Note"),
        ("warning", "▲ A thing  Take care"),
        ("problem", "✖ A thing  Problem"),
    ],
)
def test_status_is_a_mark_and_a_word(status: Any, line: str) -> None:
    assert shown(finding(status=status)).splitlines()[0].rstrip() == line


def test_verdict_advice_table_and_caption_in_this_order() -> None:
    text = shown(finding(advice="Do this.", tables=(TABLE,)))
    places = [
        text.index(part)
        for part in ("It is so.", "→ Do this.", "file name", "image_000.png", "What is in it.")
    ]
    assert places == sorted(places)
    assert "12.3 %" in text
    assert "10,019" in text
    assert "… 10 more rows" in text
    assert "10,020" not in text
    assert "10,029" in shown(finding(tables=(TABLE,)), rows=None)


@pytest.mark.parametrize("width", [20, 30, 40, 60])
def test_numbers_are_whole_or_absent_in_a_narrow_terminal(width: int) -> None:
    text = shown(finding(tables=(TABLE,)), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("12.3 %") in (0, 20)
    assert text.count("10,0") in (0, 20)
    if text.count("10,0") == 0:
        assert "wider" in text
        assert "count" in text


def test_brackets_and_control_codes_are_only_text() -> None:
    nasty = "[bold red]x[/] \x1b[31m \udce9 [link=http://x]y[/link]"
    text = shown(
        finding(title=nasty, verdict=nasty, tables=(Table(columns=(nasty,), rows=((nasty,),)),))
    )
    assert "\x1b" not in text
    assert text.count("[bold red]x[/]") == 4
    assert text.count("[link=http://x]y[/link]") == 4


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", '97.2-99.4 % "a" -> x 3'),
        ("cp1252", "97.2–99.4 % “a” -> × 3"),
        ("utf-8", "97.2–99.4 % “a” → × 3"),
    ],
)
def test_a_console_that_lacks_our_signs_gets_plain_ones(encoding: str, expected: str) -> None:
    text = shown(finding(verdict="97.2–99.4 % “a” → × 3", status="good"), encoding=encoding)
    if encoding == "cp1252":
        expected = '97.2-99.4 % "a" -> x 3'  # one sign is missing: all become plain
    assert expected in text
    assert text.startswith("✔" if encoding == "utf-8" else "[ok]")


def test_figures_are_named_where_they_were_saved() -> None:
    def figures(n: int) -> tuple[Figure, ...]:
        return tuple(Figure(content=b"", media="image/png", caption="") for _ in range(n))

    folder = Path("runs") / "a" / "findings"
    assert f"figure: {folder / 'thing-2.png'}" in shown(finding(figures=figures(2)), folder=folder)
    many = shown(finding(figures=figures(24)), folder=folder)
    assert f"24 figures: {folder / 'thing-1.png'} … thing-24.png" in many
    assert "thing-1.png" not in shown(finding(figures=figures(2)))


def test_wide_characters_are_measured_as_the_terminal_draws_them() -> None:
    table = Table(columns=("class", "n"), rows=(("猫科動物", 1), ("dog", 2)))
    lines = [
        line
        for line in shown(finding(tables=(table,))).splitlines()
        if line.rstrip().endswith(("1", "2"))
    ]
    assert [line.rstrip() for line in lines] == ["  猫科動物  1", "  dog       2"]


def test_nothing_is_not_negative() -> None:
    table = Table(
        columns=("a", "b", "c"), rows=((-0.001, -0.0004, -0.02),), formats=("+.2f", ".1%", ".2f")
    )
    assert [table.text(0, k) for k in range(3)] == ["+0.00", "0.0%", "-0.02"]


def test_columns_that_find_no_room_stand_below_with_the_names_again() -> None:
    """At 80 columns nothing of a wide table is lost or cut."""
    columns = ("name", *(f"quantity {i}" for i in range(12)))
    rows = tuple((f"row-{r}", *(1234567.0 + 100 * r + i for i in range(12))) for r in range(2))
    wide = Table(columns=columns, rows=rows, formats=("", *(",.1f",) * 12))
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(terminal(Finding(name="w", title="Wide", verdict="It is.", tables=(wide,))))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(f"{v:,.1f}" in text for row in rows for v in row[1:])
    assert text.count("row-0") > 1
