from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.augment import Augmentation, _reflect, erase, shift, warp


def images(n: int = 40, c: int = 3, h: int = 12, w: int = 10) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_each_shift_is_a_window_of_the_reflected_image() -> None:
    x, p = images(), 2
    y = shift(x, p, torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(x.float(), (p,) * 4, mode="reflect").byte()
    found = set()
    for image, frame in zip(y, padded, strict=True):
        at = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if torch.equal(frame[:, i : i + 12, j : j + 10], image)
        ]
        assert len(at) == 1
        found.add(at[0])
    assert len(found) > 12, "offsets differ from image to image"


@given(st.integers(1, 5), st.integers(6, 9), st.integers(6, 9))
def test_reflection_by_index_is_torchs(p: int, h: int, w: int) -> None:
    x = images(2, 1, h, w)
    assert torch.equal(
        _reflect(x, p), torch.nn.functional.pad(x.float(), (p,) * 4, mode="reflect").byte()
    )


def test_flips_mirror_about_half_the_images() -> None:
    x = images(200)
    y = Augmentation(flip=True)(x, torch.Generator().manual_seed(3))
    same = [torch.equal(a, b) for a, b in zip(x, y, strict=True)]
    mirrored = [torch.equal(a.flip(-1), b) for a, b in zip(x, y, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 70 < sum(mirrored) < 130


def test_an_erased_square_has_the_mean_colour_and_at_most_its_size() -> None:
    x = images(50, 1, 16, 16)
    y = erase(x, 0.25, torch.Generator().manual_seed(4))
    for before, after in zip(x, y, strict=True):
        changed = (before != after)[0].nonzero()
        assert len(changed) <= 16
        spread = changed.max(0).values - changed.min(0).values + 1
        assert (spread <= 4).all()
        assert set(after[0][tuple(changed.T)].tolist()) == {int(before.float().mean())}


def test_a_warp_of_nothing_is_nothing() -> None:
    x = images()
    assert torch.equal(warp(x, 1.0, 0.0, torch.Generator().manual_seed(5)), x)


def test_a_crop_keeps_at_least_its_share() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).expand(30, 1, 64, 64).contiguous()
    y = warp(ramp, 0.25, 0.0, torch.Generator().manual_seed(6)).float()
    width = (y[:, 0, 32, -1] - y[:, 0, 32, 0]) / 63
    assert (width > 0.4).all()
    assert width.min() < 0.75


def test_a_turn_by_a_quarter_moves_a_corner_where_geometry_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    x[0, 0, 0, 4] = 255
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda self, low, high, generator=None: self.fill_(high)
    )
    y = warp(x, 1.0, 90.0, torch.Generator())
    assert sorted((y[0, 0] > 200).nonzero().tolist()) in ([[4, 0]], [[4, 8]])


def test_mixed_labels_are_shares_of_the_mixed_images() -> None:
    x = torch.eye(4)[:, :, None, None]
    labels = torch.arange(4)
    mixed, target = Augmentation(mixup=0.4).mix(x, labels, 4, torch.Generator().manual_seed(7))
    torch.testing.assert_close(mixed[:, :, 0, 0], target)
    torch.testing.assert_close(target.sum(1), torch.ones(4))


@settings(max_examples=20)
@given(
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([0.0, 10.0]),
    st.sampled_from([0.0, 0.3]),
)
def test_the_same_generator_gives_the_same_batch(
    s: int, flip: bool, scale: float, rotate: float, side: float
) -> None:
    x = images(8)
    augmentation = Augmentation(shift=s, flip=flip, scale=scale, rotate=rotate, erase=side)
    a, b = (augmentation(x, torch.Generator().manual_seed(11)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.shape == x.shape
    assert a.dtype == torch.uint8
