"""Search is exact: whoever is found is the most similar, by plain arithmetic in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.gallery import search
from striate.gallery.pairs import pairs_above, similar_pairs
from striate.gallery.search import nearest, nearest_of, rows_of_piece

MADE = np.random.default_rng(0)


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def pieces(x: np.ndarray, rows: int):  # type: ignore[no-untyped-def]
    return ((start, x[start : start + rows]) for start in range(0, len(x), rows))


@given(
    n=st.integers(1, 60), q=st.integers(1, 5), k=st.integers(1, 70), rows=st.integers(1, 30), threads=st.integers(1, 3)
)  # fmt: skip
def test_the_same_as_sorting_everything(n: int, q: int, k: int, rows: int, threads: int) -> None:
    """Small whole numbers, so that similarities tie and are exact: of equal ones the earlier row comes first."""
    rng = np.random.default_rng(n * 1000 + q)
    x = rng.integers(-1, 2, (n, 3)).astype(np.float32)
    queries = rng.integers(-1, 2, (q, 3)).astype(np.float32)
    scores, found = nearest_of(pieces(x, rows), queries, min(k, n), threads=threads)
    for i in range(q):
        plain = sorted(range(n), key=lambda row: (-float(x[row] @ queries[i]), row))[: min(k, n)]
        assert found[i].tolist() == plain
        assert scores[i].tolist() == [float(x[row] @ queries[i]) for row in plain]


@pytest.mark.parametrize("queries", [1, 7])
def test_what_is_masked_is_not_found(queries: int) -> None:
    x, q = unit(500, 16), unit(queries, 16, 1)

    def odd(start: int, scores: np.ndarray) -> None:
        scores[(np.arange(start, start + len(scores)) % 2 == 1)] = -np.inf

    _, rows = nearest_of(pieces(x, 64), q, 5, mask=odd, threads=2)
    plain = np.argsort(-(q.astype(float) @ x[::2].T.astype(float)), axis=1)[:, :5] * 2
    assert (rows == plain).all()


def test_a_gallery_of_several_parts_is_searched_whole(made) -> None:  # type: ignore[no-untyped-def]
    x = unit(9000, 8)
    gallery = made(x, [f"n{i % 40}" for i in range(len(x))], at_once=4200)
    assert len(gallery.parts) > 1 and len(gallery) == 9000
    q = unit(3, 8, 5)
    scores, rows = nearest(gallery, q, 4)
    plain = np.argsort(-(q.astype(float) @ x.T.astype(float)), axis=1, kind="stable")[:, :4]
    assert (rows == plain).all()
    np.testing.assert_allclose(scores, np.take_along_axis(q @ x.T, plain, 1), atol=1e-6)
    assert gallery.path_of(4300) == "n20/4300.png" and gallery.name_of(8999) == "n39"


def test_pieces_fit_caches_and_memory() -> None:
    assert rows_of_piece(256, 1) == 8192
    assert rows_of_piece(256, 2000) * 2000 * 4 <= 2**24
    assert rows_of_piece(10**6, 1) == 16


@pytest.mark.parametrize("n", [1, 2, 1023, 1025, 2500])
def test_pairs_are_all_pairs_and_no_others(n: int) -> None:
    x = unit(n, 4, n)
    groups = np.random.default_rng(n).integers(0, 3, n)
    whole = x.astype(float) @ x.T.astype(float)
    for some in (None, groups):
        expected = {
            (i, j)
            for i, j in zip(*np.nonzero(np.triu(whole >= 0.99, 1)), strict=True)
            if some is None or some[i] != some[j]
        }
        found = [
            pair for _, i, j in pairs_above(x, 0.99, groups=some) for pair in zip(i, j, strict=True)
        ]
        near = {pair for pair in expected if abs(whole[pair] - 0.99) < 1e-6}  # by rounding
        assert len(found) == len(set(found)) and set(found) ^ expected <= near
        scores, i, j, total = similar_pairs(x, 0.99, groups=some, most=7)
        assert total == len(found) and len(scores) == min(7, total)
        assert (np.diff(scores) <= 0).all() and set(zip(i, j, strict=True)) <= set(found)


def test_of_equal_pairs_the_first_are_kept() -> None:
    """Of thousands of images that are the same: by blocks as by sorting all."""
    rng = np.random.default_rng(0)
    x = np.eye(4, dtype=np.float32)[np.minimum(rng.integers(0, 40, 2100), 3)]
    found = similar_pairs(x, 0.5, most=9)
    every = similar_pairs(x, 0.5)
    assert found[3] == every[3] > 10**6
    for some, whole in zip(found[:3], every[:3], strict=True):
        assert np.array_equal(some, whole[:9])


def test_a_group_alone_has_no_pairs() -> None:
    x = unit(1500, 3)
    groups = np.repeat([0, 1], [1100, 400])
    for _, i, j in pairs_above(x, -2, groups=groups):
        assert (groups[i] != groups[j]).all()
    assert sum(len(i) for _, i, _ in pairs_above(x, -2, groups=groups)) == 1100 * 400


def test_rows_of_one_name_that_are_masked_are_not_sorted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two names with many images each, most pieces hold nothing but what is masked."""
    x, names = unit(600, 8), np.repeat([0, 1], 300)
    queries, own = x[::10], names[::10]
    sorted_again = 0
    put = search._Best._put

    def counted(best: object, q: int, scores: np.ndarray, rows: np.ndarray) -> None:
        nonlocal sorted_again
        sorted_again += len(rows)
        put(best, q, scores, rows)  # type: ignore[arg-type]

    def same(start: int, scores: np.ndarray) -> None:
        scores[names[start : start + len(scores), None] == own] = -np.inf

    monkeypatch.setattr(search._Best, "_put", counted)
    _, rows = nearest_of(pieces(x, 50), queries, 1, mask=same)
    plain = np.where(names == own[:, None], -np.inf, queries.astype(float) @ x.T.astype(float))
    assert (rows[:, 0] == plain.argmax(1)).all()
    assert (
        sorted_again < 2 * 60 * 50
    )  # of 60 queries: of the first piece of the other name, and what beats it


def test_as_many_as_half_of_all_are_found_without_sorting_all_of_them_for_each_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, query = unit(6000, 8), unit(1, 8, 1)
    handled = 0
    lexsort = np.lexsort

    def counted(keys: tuple[np.ndarray, ...], axis: int = -1) -> np.ndarray:
        nonlocal handled
        handled += keys[0].size
        return lexsort(keys, axis)

    monkeypatch.setattr(search.np, "lexsort", counted)
    _, rows = nearest_of(pieces(x, 20), query, 3000, threads=1)
    plain = np.argsort(-(x.astype(float) @ query[0].astype(float)), kind="stable")[:3000]
    assert (rows[0] == plain).all()
    assert handled < 8 * len(
        x
    )  # each of 300 pieces with all that were kept would be 100 times as many
