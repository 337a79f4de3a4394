"""The 1-D relations: closed forms against the plain set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.geometry.index_map import All, Gather, Ranges, Relation, Same, Spread, Window, matrix
from striate.geometry.rules.padding import _reflected, _replicated
from striate.geometry.rules.pooling import bins
from striate.geometry.rules.resize import relation as resized


@st.composite
def relations(draw: st.DrawFn) -> Relation:
    n = draw(st.integers(1, 24))
    kind = draw(
        st.sampled_from(
            ["window", "spread", "bins", "resize", "reflect", "replicate", "roll", "same", "all"]
        )
    )
    kernel, stride, dilation = (draw(st.integers(1, m)) for m in (5, 4, 3))
    span = dilation * (kernel - 1) + 1
    if kind == "window":
        pad = draw(st.integers(-2, span))
        n_out = (n + 2 * pad - span) // stride + 1
        return Window(n, max(n_out, 1), kernel, stride, dilation, pad)
    if kind == "spread":
        pad = draw(st.integers(0, span))
        n_out = (n - 1) * stride - 2 * pad + span + draw(st.integers(0, stride - 1))
        return Spread(n, max(n_out, 1), kernel, stride, dilation, pad)
    m = draw(st.integers(1, 24))
    if kind == "bins":
        return bins(n, min(m, n))
    if kind == "resize":
        mode = draw(st.sampled_from(["nearest", "nearest-exact", "linear", "cubic"]))
        corners = mode in ("linear", "cubic") and draw(st.booleans())
        return resized(n, m, mode, corners, None, draw(st.booleans()))
    before, after = (draw(st.integers(0, n - 1)) for _ in range(2))
    if kind == "reflect":
        return Gather(n, n + before + after, _reflected(n, before, after), before)
    if kind == "replicate":
        return Gather(n, n + before + after, _replicated(n, before, after), before)
    if kind == "roll":
        return Gather(n, n, tuple((o - before) % n for o in range(n)), before)
    return Same(n, n) if kind == "same" else All(n, m)


@st.composite
def intervals(draw: st.DrawFn, n: int) -> tuple[int, int]:
    start = draw(st.integers(0, n - 1))
    return start, draw(st.integers(start + 1, n))


def hull(found: set[int]) -> tuple[int, int]:
    return (min(found), max(found) + 1) if found else (0, 0)


def holds(interval: tuple[int, int], found: tuple[int, int]) -> bool:
    return found == (0, 0) or (interval[0] <= found[0] and found[1] <= interval[1])


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_pull_and_push_hold_the_exact_set(data: st.DataObject) -> None:
    r = data.draw(relations())
    table = [r.index(o) for o in range(r.n_out)]
    out = data.draw(intervals(r.n_out))
    needed = hull({i for o in range(*out) for i in table[o]})
    assert holds(r.pull(out), needed)
    inp = data.draw(intervals(r.n_in))
    changed = hull({o for o in range(r.n_out) if any(inp[0] <= i < inp[1] for i in table[o])})
    assert holds(r.push(inp), changed)
    assert 0 <= r.pull(out)[0] <= r.pull(out)[1] <= r.n_in
    assert 0 <= r.push(inp)[0] <= r.push(inp)[1] <= r.n_out
    holes = isinstance(r, Ranges) and bool(r.sets)
    dilated = isinstance(r, (Window, Spread)) and (r.dilation > 1 or r.stride > r.kernel)
    if not (holes or dilated):
        assert r.pull(out) == needed
        assert r.push(inp) == changed


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_spread_is_the_transpose_of_window(data: st.DataObject) -> None:
    """Lecture 004: transposed convolution is the transpose of the convolution's matrix."""
    n, m = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    kernel, stride, dilation, pad = (data.draw(st.integers(1, 4)) for _ in range(4))
    forward = matrix(Window(n, m, kernel, stride, dilation, pad))
    backward = matrix(Spread(m, n, kernel, stride, dilation, pad))
    assert np.array_equal(forward.T, backward)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_pattern_is_the_relation_away_from_the_border(data: st.DataObject) -> None:
    r = data.draw(relations())
    pattern = r.pattern()
    if pattern is None:
        assert isinstance(r, All) or (isinstance(r, Ranges) and r.n_out == 1)
        return
    for o in range(r.n_out):
        m, p = divmod(o, pattern.period)
        lo, hi = pattern.lo[p] + pattern.step * m, pattern.hi[p] + pattern.step * m
        if lo > hi:
            assert not r.index(o)
        elif (
            lo >= 1
            and hi < r.n_in - 1
            and not (isinstance(r, Gather) and abs(r.sources[o] - lo) > 0)
        ):
            if isinstance(r, Ranges) and r.index(o) and r.index(o)[0] in (lo - 1, lo) and hi == lo:
                continue  # an exact fraction lands on a pixel, its float beside it
            assert hull(set(r.index(o))) == (lo, hi + 1)


def test_an_unused_relation_has_no_index() -> None:
    with pytest.raises(NotImplementedError):
        Relation(1, 1).index(0)
