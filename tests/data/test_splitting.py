"""Who trains and who tests: stable, stratified, and never the same image on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.arrangement import FREE, arrange
from striate.data.splitting import LEFT_OUT, TEST, TRAIN, VAL, assign, fractions
from striate.errors import UsageError


def content(number: int) -> bytes:
    return b"image %d" % number


@st.composite
def labelled(draw: st.DrawFn, *, most: int = 120) -> tuple[list[bytes], np.ndarray]:
    """Images of a few classes; some occur several times, always with the same label."""
    n = draw(st.integers(1, most))
    numbers = [draw(st.integers(0, 3 * most)) if draw(st.booleans()) else i for i in range(n)]
    classes = draw(st.integers(1, 5))
    return [content(i) for i in numbers], np.array([i % classes for i in numbers])


shares = st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.3])
seeds = st.integers(0, 2**63)


@given(labelled(), seeds, shares, shares)
def test_equal_images_stay_together(
    images: tuple[list[bytes], np.ndarray], seed: int, val: float, test: float
) -> None:
    contents, labels = images
    part = assign(contents, labels, seed=seed, val=val, test=test)
    where: dict[bytes, int] = {}
    for c, p in zip(contents, part.tolist(), strict=True):
        assert where.setdefault(c, p) == p


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60), seeds, shares, shares, st.data())
def test_equal_images_with_different_labels_stay_together(
    numbers: list[int], seed: int, val: float, test: float, data: st.DataObject
) -> None:
    contents = [content(i) for i in numbers]
    labels = np.array([data.draw(st.integers(0, 2)) for _ in numbers])
    part = assign(contents, labels, seed=seed, val=val, test=test)
    for c in set(contents):
        assert len({p for d, p in zip(contents, part.tolist(), strict=True) if d == c}) == 1


@given(labelled(), seeds)
def test_order_does_not_matter(images: tuple[list[bytes], np.ndarray], seed: int) -> None:
    contents, labels = images
    part = assign(contents, labels, seed=seed, val=0.1, test=0.2)
    back = assign(contents[::-1], labels[::-1], seed=seed, val=0.1, test=0.2)
    np.testing.assert_array_equal(part, back[::-1])


@given(labelled(), seeds, shares, shares)
@settings(max_examples=200)
def test_every_class_has_its_share_and_the_smallest_have_one_each(
    images: tuple[list[bytes], np.ndarray], seed: int, val: float, test: float
) -> None:
    contents, labels = images
    part = assign(contents, labels, seed=seed, val=val, test=test)
    for label in set(labels.tolist()):
        first = {c: i for i, c in enumerate(contents) if labels[i] == label}
        mine = part[list(first.values())]
        n = len(mine)
        trained, held, tested = ((mine == p).sum() for p in (TRAIN, VAL, TEST))
        assert trained >= 1
        if n >= 2 and test > 0:
            assert tested >= 1
        if n >= 3 and val > 0:
            assert held >= 1
        if n >= 10:
            for count, share in ((held, val), (tested, test)):
                assert abs(count - share * n) <= max(1, share * n / 2) + 1e-9


@given(labelled(), seeds, shares, shares, st.integers(500, 600))
@settings(max_examples=200)
def test_a_further_image_moves_one_other_at_most_over_a_boundary(
    images: tuple[list[bytes], np.ndarray], seed: int, val: float, test: float, new: int
) -> None:
    contents, labels = images
    before = assign(contents, labels, seed=seed, val=val, test=test)
    after = assign([*contents, content(new)], [*labels, 0], seed=seed, val=val, test=test)[:-1]
    moved = {(c, b, a) for c, b, a in zip(contents, before, after, strict=True) if a != b}
    for boundary in (TEST, VAL):
        assert len([m for m in moved if boundary in m[1:]]) <= 1
    assert not [m for m in moved if set(m[1:]) == {TEST, VAL}]
    others = np.flatnonzero(labels != 0)
    np.testing.assert_array_equal(before[others], after[others])


@pytest.mark.parametrize(("n", "most"), [(30, 0.2), (100, 0.1), (300, 0.0)])
def test_a_further_image_mostly_moves_none(n: int, most: float) -> None:
    contents = [content(i) for i in range(n)]
    moved = 0
    for seed in range(200):
        before = assign(contents, np.zeros(n), seed=seed, val=0.1, test=0.2)
        more = [*contents, content(1000 + seed)]
        after = assign(more, np.zeros(n + 1), seed=seed, val=0.1, test=0.2)
        moved += int((before != after[:-1]).any())
    assert moved / 200 <= most


def test_shares_are_met_on_average() -> None:
    contents, labels = [content(i) for i in range(20_000)], np.arange(20_000) % 10
    part = assign(contents, labels, seed=0, val=0.1, test=0.2)
    for label in range(10):
        mine = part[labels == label]
        # Four standard deviations of a draw of 2,000.
        assert abs((mine == TEST).mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 2000)
        assert abs((mine == VAL).mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 2000)


@given(labelled(), seeds, shares, shares)
def test_the_share_of_validation_moves_nothing_into_or_out_of_test(
    images: tuple[list[bytes], np.ndarray], seed: int, one: float, other: float
) -> None:
    contents, labels = images
    parts = [assign(contents, labels, seed=seed, val=v, test=0.2) == TEST for v in (one, other)]
    np.testing.assert_array_equal(*parts)


def test_the_seed_decides() -> None:
    contents, labels = [content(i) for i in range(1000)], np.arange(1000) % 10
    parts = [assign(contents, labels, seed=s, val=0.1, test=0.2) for s in (0, 0, 1)]
    np.testing.assert_array_equal(parts[0], parts[1])
    same = (parts[0] == parts[2]).mean()
    # Two independent draws agree with probability 0.7^2 + 0.1^2 + 0.2^2 = 0.54.
    assert abs(same - 0.54) < 0.06


def test_shares_that_are_chosen() -> None:
    assert fractions(1_000) == (0.1, 0.2)
    assert fractions(100_000) == (0.03, 0.1)  # 3,000 and 10,000 images
    assert fractions(1_000, 0.0, 0.5) == (0.0, 0.5)
    assert fractions(1_000, None, 0.9) == (pytest.approx(0.05), 0.9)
    assert sum(fractions(1_000, 0.9)) < 1


@pytest.mark.parametrize(
    ("val", "test", "message"),
    [
        (1.0, None, "val must be a share from 0 to below 1, got 1.0"),
        (None, -0.1, "test must be a share from 0 to below 1, got -0.1"),
        (0.5, 0.5, r"val \+ test must stay below 1, got 0.5 \+ 0.5; nothing is left to train on"),
        (float("nan"), None, "val must be a share from 0 to below 1, got nan"),
    ],
)
def test_shares_that_are_wrong(val: float | None, test: float | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fractions(100, val, test)


# Splits that the source gives


def plan(numbers: list[int], labels: list[int], given_: list[int], **more: float | None):  # type: ignore[no-untyped-def]
    return arrange(
        [content(i) for i in numbers],
        np.array(labels),
        keys=[f"{i}-{n}" for i, n in enumerate(numbers)],
        classes=("a", "b"),
        seed=0,
        given=np.array(given_, dtype=np.int8),
        **more,
    )


def test_a_given_test_split_is_used_as_it_is_and_its_copies_leave_training() -> None:
    found = plan([1, 2, 3, 1], [0, 1, 0, 0], [TRAIN, TRAIN, TEST, TEST], val=0.0)
    assert found.part.tolist() == [LEFT_OUT, TRAIN, TEST, TEST]
    (copy,) = found.duplicates
    assert copy.keys == ("0-1", "3-1")
    assert copy.splits == ("train", "test")
    assert copy.dropped == ("0-1",)
    assert (found.val, found.test) == (0.0, 0.0)


def test_test_goes_before_validation_before_training() -> None:
    found = plan([1, 1, 1, 2, 2], [0] * 5, [TRAIN, VAL, TEST, VAL, TRAIN])
    assert found.part.tolist() == [LEFT_OUT, LEFT_OUT, TEST, VAL, LEFT_OUT]


def test_copies_within_a_given_split_stay() -> None:
    found = plan([1, 1, 2], [0, 0, 1], [TEST, TEST, TRAIN], val=0.0)
    assert found.part.tolist() == [TEST, TEST, TRAIN]
    assert found.duplicates[0].dropped == ()


@given(
    st.lists(st.integers(0, 15), min_size=1, max_size=50),
    st.data(),
)
def test_no_content_ever_stands_in_two_splits(numbers: list[int], data: st.DataObject) -> None:
    given_ = [data.draw(st.sampled_from([TRAIN, VAL, TEST, FREE])) for _ in numbers]
    found = plan(numbers, [n % 2 for n in numbers], given_)
    where: dict[int, set[int]] = {}
    for number, part in zip(numbers, found.part.tolist(), strict=True):
        if part != LEFT_OUT:
            where.setdefault(number, set()).add(part)
    assert all(len(parts) == 1 for parts in where.values())
    assert set(where) == set(numbers)  # of each content at least one copy is kept
    held = [i for i, g in enumerate(given_) if g == TEST]
    assert all(found.part[i] == TEST for i in held)


def test_what_is_missing_is_drawn_from_training() -> None:
    numbers = list(range(200))
    found = plan(numbers, [n % 2 for n in numbers], [TRAIN] * 150 + [VAL] * 50)
    assert (found.part[150:] == VAL).all()
    assert set(found.part[:150].tolist()) == {TRAIN, TEST}
    assert (found.val, found.test) == (0.0, 0.2)


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_share_of_a_split_that_is_given_is_refused(name: str) -> None:
    given_ = [TRAIN, TRAIN, VAL, TEST]
    with pytest.raises(UsageError, match=f"has a {name} split of its own; leave {name} out"):
        plan([1, 2, 3, 4], [0, 1, 0, 1], given_, **{name: 0.1})


def test_the_fingerprint_is_of_content_class_and_split() -> None:
    def print_of(numbers: list[int], labels: list[int], given_: list[int]) -> str:
        return plan(numbers, labels, given_, val=0.0).fingerprint

    base = print_of([1, 2, 3], [0, 1, 0], [TRAIN, TRAIN, TEST])
    assert len(base) == 64
    assert print_of([3, 1, 2], [0, 0, 1], [TEST, TRAIN, TRAIN]) == base  # order and names
    assert print_of([1, 2, 4], [0, 1, 0], [TRAIN, TRAIN, TEST]) != base
    assert print_of([1, 2, 3], [0, 0, 0], [TRAIN, TRAIN, TEST]) != base
    assert print_of([1, 2, 3], [0, 1, 0], [TRAIN, TEST, TEST]) != base
