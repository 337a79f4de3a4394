"""Words that every room uses."""

from __future__ import annotations

import pytest

from striate.wording import as_sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tags.csv: 3 files were found", "tags.csv: 3 files were found."),
        ("images/ holds no image", "images/ holds no image."),
        ("--set masks=binary is needed", "--set masks=binary is needed."),
        ("all masks hold 255.", "All masks hold 255."),
        ("", "."),
    ],
)  # fmt: skip
def test_a_sentence_begins_with_a_capital_letter_unless_a_name_begins_it(
    text: str, expected: str
) -> None:
    assert as_sentence(text) == expected
