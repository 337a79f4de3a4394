"""Thresholds hold what they promise: strangers who were never seen reach them as often as was asked."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import t as student

from striate.gallery import Gallery, compared, identities, nearest
from striate.gallery.choosing import choose, errors_of_group, impostors_of
from striate.gallery.reached import reached_by
from striate.tasks.embedding import Embedding

Made = Callable[..., Gallery]


def clusters(seed: int, names: int, images: int, d: int = 24) -> tuple[np.ndarray, list[str]]:
    """Images of each name around a centre of its own, (names * images, d)."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((names, d))
    spread = centres[:, None] + 0.5 * rng.standard_normal((names, images, d))
    x = spread.reshape(-1, d)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), [f"n{i}" for i in range(names) for _ in range(images)]


def test_a_stranger_is_unknown_at_the_asked_rate_over_twenty_seeds(made: Made) -> None:
    """Names that were never enrolled, against a threshold of those that were: the mean over seeds is the rate that was
    asked for, and each seed's is inside the interval over names that its gallery states, in 19 of 20."""
    rate, shares, inside = 0.05, [], 0
    for seed in range(20):
        x, names = clusters(seed, 150, 2)
        gallery = made(x, names, rate=rate, place=f"g{seed}")
        chosen = gallery.threshold["identify"]
        strangers, _ = clusters(1000 + seed, 1500, 1)
        best, _ = nearest(gallery, strangers, 1)
        share = float((best[:, 0] >= chosen["value"]).mean())
        shares.append(share)
        inside += chosen["low"] <= share <= chosen["high"]
    assert abs(np.mean(shares) - rate) < 0.008, shares
    assert inside >= 18, shares


def test_pairs_of_different_names_reach_the_other_threshold_at_the_asked_rate(made: Made) -> None:
    x, names = clusters(0, 200, 2)
    chosen = made(x, names, rate=0.001).threshold["compare"]
    assert chosen["pairs"] == 400 * 398 // 2
    y, _ = clusters(7, 1000, 1)
    scores = (y @ y.T)[np.triu_indices(len(y), 1)]
    assert abs((scores >= chosen["value"]).mean() - 0.001) < 3e-4


def test_the_same_by_plain_loops(made: Made) -> None:
    x, names = clusters(3, 12, 3)
    gallery = made(x, names, rate=0.2)
    found = impostors_of(gallery, None, 0)
    n = len(x)
    exact = x.astype(np.float64) @ x.T.astype(np.float64)
    pairs = [exact[i, j] for i in range(n) for j in range(i + 1, n) if names[i] != names[j]]
    strangers = [max(exact[i, j] for j in range(n) if names[i] != names[j]) for i in range(n)]
    np.testing.assert_allclose(np.sort(found.pairs), np.sort(pairs), atol=1e-6)
    np.testing.assert_allclose(found.strangers, strangers, atol=1e-6)
    assert found.closest[0][0] == pytest.approx(max(pairs), abs=1e-6)
    assert all(a != c for _, a, _, c, _ in found.closest)
    chosen = choose(found, 0.2)["identify"]
    # Two images that are most alike to each other have one similarity, and are accepted or refused together.
    assert sum(s >= chosen["value"] for s in found.strangers) == chosen["accepted"]
    assert 5 <= chosen["accepted"] <= 7


def test_a_gallery_of_one_name_and_one_image(made: Made) -> None:
    gallery = made(np.ones((1, 4)), ["only"])
    t = gallery.threshold
    assert t["identify"] is None and t["compare"] is None and t["impostors"] is None
    assert "one name is enrolled" in t["why"] and reached_by(t["impostors"], 0.5) is None


def test_counts_of_impostors_are_never_too_few(made: Made) -> None:
    x, names = clusters(5, 20, 2)
    gallery = made(x, names, rate=0.1)
    exact = np.sort(impostors_of(gallery, None, 0).pairs)
    for similarity in (-1.0, -0.3001, 0.0, 0.1234, float(exact[-1]), 0.999):
        reach, of, *_ = reached_by(gallery.threshold["impostors"], similarity)  # type: ignore[misc]
        truth = int((exact >= similarity).sum())
        slack = int(((exact >= similarity - 0.001) & (exact < similarity)).sum())
        assert truth <= reach <= truth + slack and of == len(exact)


def test_where_all_are_alike_to_the_network_nobody_is_named(made: Made) -> None:
    """Strangers of similarity 1 must be refused with what they tie with."""
    gallery = made(np.ones((60, 4)), [f"n{i}" for i in range(60)], rate=0.1)
    assert gallery.threshold["identify"]["accepted"] == 0
    (one,) = identities(gallery, iter([Embedding(path="x", vector=np.full(4, 0.5, np.float32))]))
    assert one.similarity == 1 and one.name is None
    same = Embedding(path="x", vector=np.full(4, 0.5, np.float32))
    assert compared(gallery, same, same).data["same"] is False


@pytest.mark.parametrize("n", [4, 9, 34, 97])
def test_the_rate_that_is_named_as_possible_is_possible(made: Made, n: int) -> None:
    gallery = made(*clusters(1, n, 1), rate=0.001)
    rate = float(re.findall(r"--far ([\d.]+)", gallery.threshold["why"])[0])
    assert choose(impostors_of(gallery, None, 0), rate)["identify"] is not None


def test_the_interval_leaves_out_one_name_at_a_time(made: Made) -> None:
    """By plain leaving out: without a name go its strangers, and those that only it let through."""
    x, names = clusters(4, 10, 3)
    gallery = made(x, names, rate=0.2)
    found = impostors_of(gallery, None, 0)
    chosen = choose(found, 0.2)["identify"]
    number, best = found.stranger_names
    reach = [bool(s >= chosen["value"]) for s in found.strangers]
    shares = []
    for name in range(10):
        left = [i for i in range(30) if number[i] != name]
        shares.append(sum(reach[i] and best[i] != name for i in left) / len(left))
    variance = 0.9 * sum((s - sum(shares) / 10) ** 2 for s in shares)
    p = chosen["accepted"] / 30
    n, t = p * (1 - p) / variance, 2.262157  # Student's of 9
    middle, reach_of = (p + t**2 / (2 * n)) / (1 + t**2 / n), t / (1 + t**2 / n)
    reach_of *= (p * (1 - p) / n + t**2 / (4 * n**2)) ** 0.5
    assert chosen["low"] == pytest.approx(middle - reach_of, abs=1e-5)
    assert chosen["high"] == pytest.approx(middle + reach_of, abs=1e-5)


def leaving_out(reach: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The interval of the share of pairs that reach, over names, by plain leaving out of one name at a time."""
    names = sorted({*first.tolist(), *second.tolist()})
    shares = []
    for name in names:
        left = [r for r, a, b in zip(reach, first, second, strict=True) if name not in (a, b)]
        shares.append(sum(left) / len(left))
    g, p = len(names), float(reach.mean())
    variance = (g - 1) / g * sum((s - sum(shares) / g) ** 2 for s in shares)
    n, t = p * (1 - p) / variance, float(student.ppf(0.975, g - 1))
    middle, away = (p + t**2 / (2 * n)) / (1 + t**2 / n), t / (1 + t**2 / n)
    away *= (p * (1 - p) / n + t**2 / (4 * n**2)) ** 0.5
    return middle - away, middle + away


def test_the_share_of_impostors_that_compare_states_has_its_interval_over_names(made: Made) -> None:
    x, names = clusters(4, 10, 3)
    gallery = made(x, names, rate=0.2)
    found = impostors_of(gallery, None, 0)
    reach = reached_by(gallery.threshold["impostors"], 0.25)
    assert reach is not None and reach.over_names
    above = found.pairs >= 0.25
    assert reach.reached == above.sum()  # none lies within a step of it
    low, high = leaving_out(above, *found.pair_names)
    assert (reach.low, reach.high) == pytest.approx((low, high), abs=2e-6)
    one = Embedding(path="x", vector=x[0])
    away = x[5] - (x[5] @ x[0]) * x[0]
    other = 0.2501 * x[0] + (1 - 0.2501**2) ** 0.5 * away / np.linalg.norm(away)
    said = compared(gallery, one, Embedding(path="y", vector=other.astype(np.float32)))
    assert "over names" in said.verdict and said.data["impostors"]["low"] == reach.low
    # Where none reaches it, it is the interval of ten names, and not of 405 pairs.
    none = reached_by(gallery.threshold["impostors"], 0.999)
    assert none is not None and none.reached == 0 and 0.3 < none.high < 0.35


def test_what_an_earlier_version_kept_of_impostors_is_read(made: Made) -> None:
    kept = dict(made(*clusters(4, 10, 3), rate=0.2).threshold["impostors"])
    del kept["low"], kept["high"]
    reach = reached_by(kept, 0.25)
    assert (
        reach is not None
        and not reach.over_names
        and reach.low < reach.reached / reach.of < reach.high
    )


def test_the_errors_of_a_group_have_their_intervals_over_names(made: Made) -> None:
    x, names = clusters(6, 24, 2)
    gallery = made(x, names, rate=0.2, groups=["a", "a", "b", "b"] * 12)
    found = impostors_of(gallery, None, 0)
    threshold = gallery.threshold
    _, pairs = errors_of_group(found, 1, threshold)
    mine = found.pair_groups == 1
    reach = found.pairs[mine] >= threshold["compare"]["value"]
    assert pairs is not None and (pairs.hits, pairs.of) == (reach.sum(), mine.sum())
    assert (pairs.low, pairs.high) == pytest.approx(leaving_out(reach, *found.pair_names[:, mine]), abs=1e-6)  # fmt: skip
