"""Padding: what stands around the image, and where its gradient goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from striate.errors import UsageError

Padding = int | str | Sequence[int] | Sequence[tuple[int, int]]
Widths = tuple[tuple[int, int], ...]

OUTSIDE = -1  # stands for a pixel that is no pixel of the image


def _replicate(i: int, n: int) -> int:
    return min(max(i, 0), n - 1)


def _reflect(i: int, n: int) -> int:
    return -i if i < 0 else 2 * (n - 1) - i if i >= n else i


# Which pixel of an axis of n stands at position i, where i may be negative or n and above.
MODES = {
    "zeros": lambda i, n: i if 0 <= i < n else OUTSIDE,
    "replicate": _replicate,
    "reflect": _reflect,
    "circular": lambda i, n: i % n,
}


def pad_widths(
    padding: Padding, kernel: Sequence[int], dilation: Sequence[int], stride: Sequence[int]
) -> Widths:
    """Pixels to add (before, after) each axis.

    `padding` is one number, one a axis, one pair an axis, or a word: "valid" adds nothing; "same"
    adds what keeps the size at stride 1, the odd pixel after, as torch does; "full" adds all but
    one pixel of the kernel, so that every product that is not empty appears. Raises UsageError for
    anything else.
    """
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if isinstance(padding, str):
        if padding == "same" and any(s != 1 for s in stride):
            raise UsageError(
                f"padding='same' keeps the size only at stride 1, got stride {tuple(stride)}; give "
                f"a number"
            )
        words = {
            "valid": tuple((0, 0) for _ in reach),
            "same": tuple((r // 2, r - r // 2) for r in reach),
            "full": tuple((r, r) for r in reach),
        }
        if padding not in words:
            raise UsageError(
                f"padding must be a number or one of {', '.join(words)}, got {padding!r}"
            )
        return words[padding]
    each: list[Any] = [padding] * len(reach) if isinstance(padding, int) else list(padding)
    pairs: Widths = tuple((p, p) if isinstance(p, int) else (p[0], p[1]) for p in each)
    if len(pairs) != len(reach) or any(p < 0 for pair in pairs for p in pair):
        raise UsageError(
            f"padding must be 0 or more, one number or {len(reach)}, got {padding}; crop instead "
            f"of padding by less"
        )
    return pairs


def padded_axis(n: int, before: int, after: int, mode: str) -> list[int]:
    """For each pixel of the padded axis, the pixel of the image that stands there, or OUTSIDE.

    Raises UsageError for an unknown mode, and where an axis of `n` pixels is too short to be
    mirrored or wrapped.
    """
    if mode not in MODES:
        raise UsageError(f"padding_mode must be one of {', '.join(MODES)}, got {mode!r}")
    room = {"reflect": n - 1, "circular": n}.get(mode)
    if room is not None and max(before, after) > room:
        raise UsageError(
            f"padding_mode {mode!r} can add at most {room} pixels to an axis of {n}, got "
            f"{max(before, after)}; use 'replicate' or 'zeros'"
        )
    return [MODES[mode](i, n) for i in range(-before, n + after)]


def pad(x: Tensor, widths: Widths, mode: str = "zeros", *, fill: float = 0.0) -> Tensor:
    """Put `widths` pixels around the last axes of `x`, one (before, after) an axis.

    x (*batch, *size) -> (*batch, *padded). "zeros" puts `fill`, "replicate" the nearest border pixel, "reflect" the
    mirror image without the border pixel itself, "circular" the opposite side (lecture 001, "Padding": zeros, or the
    nearby pixel values).
    """
    for axis, (before, after) in zip(range(-len(widths), 0), widths, strict=True):
        source = padded_axis(x.shape[axis], before, after, mode)
        edge = torch.full_like(x.narrow(axis, 0, 1), fill)
        x = torch.cat([x, edge], axis)  # the last place, index -1, is OUTSIDE
        x = x.index_select(axis, torch.tensor(source, device=x.device) % x.shape[axis])
    return x


def pad_backward(dy: Tensor, widths: Widths, mode: str = "zeros") -> Tensor:
    """The gradient of `pad`: every pixel collects what all its copies received; what fell outside is dropped.

    dy (*batch, *padded) -> (*batch, *size).
    """
    for axis, (before, after) in zip(range(-len(widths), 0), widths, strict=True):
        n = dy.shape[axis] - before - after
        source = padded_axis(n, before, after, mode)
        collected = [torch.zeros_like(dy.select(axis, 0)) for _ in range(n + 1)]
        for place, pixel in enumerate(source):
            collected[pixel] = collected[pixel] + dy.select(axis, place)
        dy = torch.stack(collected[:n], axis)
    return dy
