"""The inverse power law of learning curves, error = a + b n^-c, fitted to many curves at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

EXPONENTS = np.geomspace(0.05, 2.0, 60)
"""Values of c that are tried: below them the law is a straight line in log n, above them a step."""


HALVINGS = 6  # of the step between two exponents


class Law(NamedTuple):
    """error = a + b n^-c of R curves: (R,) each. a: what no number of images takes away, at least 0, as is b."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def error(self, n: np.ndarray | float) -> np.ndarray:
        """The error (R, M) at n (M,) images."""
        at = np.atleast_1d(np.asarray(n, float))
        return self.a[:, None] + self.b[:, None] * at[None, :] ** -self.c[:, None]

    def images_for(self, error: float) -> np.ndarray:
        """(R,) the number of images at which the error is `error`; infinite where it stays above."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            needed = (self.b / (error - self.a)) ** (1 / self.c)
        return np.where(error > self.a, np.where(self.b > 0, needed, 1.0), np.inf)


def fit_law(sizes: np.ndarray, errors: np.ndarray, variances: np.ndarray) -> Law:
    """The weighted least-squares laws with a >= 0 and b >= 0 of curves (R, M) at sizes (M,) images.

    variances: (M,) of the errors. For a fixed exponent the law is linear in a and b, and non-negative least squares of two
    unknowns has a closed form, so that the exponents are tried one and all and none of the curves ends in a local minimum;
    the best is then moved by halved steps for the last digits.
    """
    n, y = np.asarray(sizes, float), np.atleast_2d(np.asarray(errors, float))
    w = 1 / np.asarray(variances, float)
    relative = n / n.max()  # so that b is of the size of the errors for every exponent
    rows = np.arange(len(y))
    loss, a, b = _solve(relative[None, :] ** -EXPONENTS[:, None], y[:, None], w)
    best = loss.argmin(1)
    c, a, b, least = EXPONENTS[best], a[rows, best], b[rows, best], loss[rows, best]
    width = EXPONENTS[1] / EXPONENTS[0]
    for _ in range(HALVINGS):
        width = width**0.5
        for side in (width, 1 / width):
            near, a_near, b_near = _solve(relative[None, :] ** -(c * side)[:, None], y, w)
            better = near < least
            c, least = np.where(better, c * side, c), np.where(better, near, least)
            a, b = np.where(better, a_near, a), np.where(better, b_near, b)
    return Law(a, b * n.max() ** c, c)


def _solve(
    x: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loss and a, b >= 0 of y = a + b x, weighted by w (M,), for x and y that broadcast to (..., M)."""
    sw, swx, swxx = w.sum(), x @ w, (x * x) @ w
    swy, swyy, swxy = y @ w, (y * y) @ w, np.einsum("...m,...m,m->...", x, y, w)
    determinant = sw * swxx - swx**2
    apart = determinant > 1e-12 * sw * swxx  # a single size says nothing of a slope
    safe = np.where(apart, determinant, 1.0)
    a = np.where(apart, (swxx * swy - swx * swxy) / safe, swy / sw)
    b = np.where(apart, (sw * swxy - swx * swy) / safe, 0.0)
    b = np.where(a < 0, swxy / swxx, b)
    a = np.where(a < 0, 0.0, a)
    a = np.where(b < 0, swy / sw, a)
    b = np.maximum(b, 0)
    loss = swyy - 2 * a * swy - 2 * b * swxy + a**2 * sw + 2 * a * b * swx + b**2 * swxx
    return loss, a, b
