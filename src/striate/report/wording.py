"""How cells, percentages and statuses read, on the page and in the terminal alike."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

from striate.findings import Status, Table

WORDS: dict[Status, str] = {
    "good": "Good",
    "note": "Note",
    "warning": "Take care",
    "problem": "Problem",
}
NARROW = "\u202f"  # a narrow space on which no line breaks
PLAIN = str.maketrans(
    {"–": "-", "−": "-", "→": "->", "×": "x", "…": "...", "“": '"', "”": '"', "’": "'", NARROW: " "}
)
PART = r"[<>≤≥~±+−-]{0,2}\d[\d,]*(\.\d+)?(e[+-]?\d+)?"
NUMBERLIKE = re.compile(rf"(?=.*[.%–]){PART}(–{PART})?\s?%?")


def cell(table: Table, row: int, column: int) -> str:
    """The cell as a person reads it; a number that is not one is a dash."""
    value = table.rows[row][column]
    if isinstance(value, float) and math.isnan(value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    # A number's percent sign stands apart, as in the sentences around it.
    return re.sub(r"(?<=\d)%$", " %", table.text(row, column))


def numeric(table: Table, column: int) -> bool:
    """Whether a column is read as numbers: numbers, or behind the first column texts such as
    `97.2–99.4 %`.
    """
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and all(
        (isinstance(value, (int, float)) and not isinstance(value, bool))
        or (column > 0 and isinstance(value, str) and NUMBERLIKE.fullmatch(value) is not None)
        for value in cells
    )


def tie(text: str) -> str:
    """The text with percent signs tied to their numbers, so that no line begins with one."""
    return re.sub(r"(?<=\d) ?%", f"{NARROW}%", text)


def prose(text: str) -> Markup:
    """A sentence as HTML: escaped, tied, and with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(tie(text)))))


def within(text: str, encoding: str) -> str:
    """The text in an encoding that may lack our signs, such as a Windows console's."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    return text
