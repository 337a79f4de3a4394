"""Natural order, and the names that are no images."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from striate.data.naming import alike, ignored, in_order, normal


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["x10", "x9", "x", "x1", "X2", "10", "9", "a b", "x1y2", "x1y10", "x01"]
    assert in_order(names) == (
        *("9", "10", "a b", "x"),
        *("x01", "x1", "x1y2", "x1y10", "X2", "x9", "x10"),
    )


@given(st.lists(st.text(max_size=8)))
@example(["a", "a1", "1", "", "a1b", "²", "٣"])
def test_any_names_have_an_order_that_does_not_depend_on_theirs(names: list[str]) -> None:
    assert in_order(names) == in_order(names[::-1])
    assert sorted(in_order(names)) == sorted(set(names))


@pytest.mark.parametrize(
    ("name", "is_ignored"),
    [
        (".DS_Store", True),
        ("._photo.jpg", True),
        (".ipynb_checkpoints", True),
        ("Thumbs.db", True),
        ("thumbs.db", True),
        ("Desktop.ini", True),
        ("__MACOSX", True),
        ("photo.jpg", False),
        ("Thumbs", False),
    ],
)
def test_what_operating_systems_leave_is_ignored(name: str, is_ignored: bool) -> None:
    assert ignored(name) == is_ignored


def test_composed_and_decomposed_names_are_one() -> None:
    assert "cafe\u0301" != "caf\u00e9"
    assert normal("cafe\u0301") == normal("caf\u00e9") == "caf\u00e9"
    assert normal("\udce4fer") == "\udce4fer"  # bytes that are no UTF-8, as os.listdir gives them


@pytest.mark.parametrize(
    "other",
    ["Cat", "cat ", " CAT", "\uff43\uff41\uff54", "cat\u200b", "\ufeffcat", "cat\u00a0"],
    ids=ascii,
)
def test_names_that_a_person_would_call_the_same(other: str) -> None:
    assert alike(other) == alike("cat")


@pytest.mark.parametrize(
    ("one", "other"),
    [("cat", "cats"), ("1", "-1"), ("0", "1"), ("a b", "ab"), ("1", "10"), ("+", "-"), ("é", "e")],
)
def test_names_that_differ(one: str, other: str) -> None:
    assert alike(one) != alike(other)
