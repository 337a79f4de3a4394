"""Names, numbers and shares as sentences read them."""

from __future__ import annotations

import pytest

from striate.wording import as_sentence, counted, in_quotes, percent, points


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


@pytest.mark.parametrize(
    ("fraction", "decimals", "text"),
    [
        (1, 1, "100 %"),
        (0, 1, "0 %"),
        (0.986, 1, "98.6 %"),
        (0.99996, 1, ">99.9 %"),
        (0.0001, 1, "<0.1 %"),
        (0.9994, 1, "99.9 %"),
        (0.75, 1, "75.0 %"),
        (0.123, 0, "12 %"),
        (0.004, 0, "<1 %"),
        (0.996, 0, ">99 %"),
    ],
)
def test_percent_never_rounds_to_a_certainty(fraction, decimals, text):
    assert percent(fraction, decimals) == text


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (1, ("layer",), "1 layer"),
        (2000, ("layer",), "2,000 layers"),
        (2, ("class", "classes"), "2 classes"),
    ],
)
def test_a_noun_follows_its_number(number, words, text):
    assert counted(number, *words) == text


@pytest.mark.parametrize(
    ("change", "text"), [(-0.312, "31 points"), (0.051, "5.1 points"), (0, "0.0 points")]
)
def test_points_have_no_sign(change, text):
    assert points(change) == text


def test_what_was_written_is_quoted_with_its_bytes() -> None:
    assert in_quotes("caf\udce9.png") == r"'caf\xe9.png'"
