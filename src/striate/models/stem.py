"""When an image is small: networks drawn for 224 pixels would leave one pixel of 32."""

from __future__ import annotations

SMALL = 64


def is_small(size: tuple[int, int]) -> bool:
    """True where the shorter side of the image (height, width) has at most 64 pixels.

    The architectures then start with a 3 x 3 (AlexNet, NiN: 5 x 5) convolution of stride 1 and
    leave out the pooling that follows it, as He et al. (2016), section 4.2, do for CIFAR-10.
    """
    return min(size) <= SMALL
