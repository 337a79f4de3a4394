"""Output sizes: one formula for every one in the lectures, and what to do where it does not come
out whole."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from striate.errors import UsageError


@dataclass(frozen=True)
class Fit:
    """How windows of `kernel` pixels, `stride` apart, lie on an axis of `size` pixels.

    `padding` is the pixels added before and after; all in pixels.
    """

    size: int
    kernel: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    dilation: int = 1

    @property
    def extent(self) -> int:
        """The pixels that a dilated kernel spans, holes included."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def exact(self) -> Fraction:
        """(N - K + padding) / stride + 1 before rounding; 7/3 for 7, 3, 3 (lecture 000)."""
        return Fraction(self.size + sum(self.padding) - self.extent, self.stride) + 1

    @property
    def output(self) -> int:
        """The number of windows: `exact` rounded down, and 0 where the kernel is larger than the
        padded input."""
        return max(self.exact.__floor__(), 0)

    @property
    def unseen(self) -> int:
        """Pixels of the padded axis after the last window, which no window sees."""
        return self.size + sum(self.padding) - ((self.output - 1) * self.stride + self.extent)

    @property
    def fits(self) -> bool:
        """Whether windows cover the padded axis to its end."""
        return self.output > 0 and self.unseen == 0

    def remedies(self) -> list[str]:
        """The nearest changes of one number each that would make it fit."""
        strides = [s for s in range(1, self.size + 1) if self._with(stride=s).fits]
        kernels = [k for k in range(1, self.size + 1) if self._with(kernel=k).fits]
        totals = [p for p in range(2 * self.size + 1) if self._with(padding=(p, 0)).fits]
        sizes = [n for n in range(1, 2 * self.size + self.extent) if self._with(size=n).fits]
        return [
            f"stride {_near(strides, self.stride)}",
            f"kernel {_near(kernels, self.kernel)}",
            f"padding {_near(totals, sum(self.padding))} pixels in all",
            f"input {_near(sizes, self.size)}",
        ]

    def sentence(self) -> str:
        """What the formula gives, and, where it is no whole number, what does not fit and what
        would."""
        pads = f" + {sum(self.padding)}" if any(self.padding) else ""
        sum_ = f"({self.size} - {self.extent}{pads}) / {self.stride} + 1"
        if self.output == 0:
            return (
                f"{sum_} = {float(self.exact):g}: the kernel is larger than the input; pad, or "
                f"take a smaller kernel"
            )
        if self.fits:
            return f"{sum_} = {self.output}"
        pixels = "pixel lies" if self.unseen == 1 else "pixels lie"
        return (
            f"{sum_} = {float(self.exact):.2f} is no whole number: rounded down to {self.output} "
            f"windows, the last {self.unseen} {pixels} in none; what would fit: "
            f"{', or '.join(self.remedies())}"
        )

    def _with(self, **changes: int | tuple[int, int]) -> Fit:
        return Fit(**{**self.__dict__, **changes})


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    exact: bool = False,
) -> int:
    """How many windows of `kernel` pixels lie on an axis of `size` pixels: floor((N - K + P) / S) +
    1.

    One function for the formulas of all lectures: W - w + 1 and N - (P - 1) (lecture 000), (N - P) /
    stride + 1 (000), floor((n - k + p + s) / s) with p the padding of both sides together (001), (W
    - K + 2P) / S + 1 with P that of one side (002, 004). `padding` here is that of one side, or a
    pair (before, after). With `exact`, raises UsageError where the division leaves a rest, and says
    what would fit; always raises it for a kernel larger than the padded input.

    >>> output_size(28, 5, stride=2, padding=2)
    14
    """
    for name, value in {
        "size": size,
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
    }.items():
        if value < 1:
            raise UsageError(f"output_size: {name} must be at least 1, got {value}")
    sides = (padding, padding) if isinstance(padding, int) else padding
    if min(sides) < 0:
        raise UsageError(f"output_size: padding must be 0 or more, got {padding}")
    fit = Fit(size, kernel, stride, sides, dilation)
    if fit.output == 0 or (exact and not fit.fits):
        raise UsageError(f"output_size: {fit.sentence()}")
    return fit.output


def same_padding(kernel: int) -> int:
    """(P - 1) / 2, the padding a side that keeps the size at stride 1 (lecture 000: 3 -> 1, 5 -> 2, 7
    -> 3).

    Raises UsageError for an even kernel, which needs one pixel more on one side.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise UsageError(
            f"same_padding: only an odd kernel has a middle, got {kernel}; pad "
            f"({(kernel - 1) // 2}, {kernel // 2})"
        )
    return (kernel - 1) // 2


def transposed_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """The output of a transposed convolution: (N - 1) stride - 2 padding + dilation (K - 1) +
    output_padding + 1.

    It undoes `output_size` where that fits exactly; where pixels were left over, `output_padding`
    gives them back (lecture 001, "Transposed Convolution").
    """
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1


def _near(options: list[int], wish: int) -> str:
    """The next option below and the next above what was asked for."""
    below = [o for o in options if o < wish][-1:]
    above = [o for o in options if o > wish][:1]
    return " or ".join(str(o) for o in below + above) or "none"
