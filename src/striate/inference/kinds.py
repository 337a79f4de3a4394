"""Kinds: images whose numbers a network would not get as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.errors import StriateError, UsageError
from striate.geometry import leaves_of, own_words

RUN_AGAIN = 2**24  # numbers of an image that is run once more to say why it is refused
CLOSE = 0.01  # of the largest value: two kinds of number round differently, and mean the same


def refuse_no_numbers(image: Tensor) -> None:
    """Raise UsageError for an image, any shape, without a number at every place: meta, sparse, quantised, or nested."""
    kind = ""
    if image.device.type == "meta":
        kind, remedy = "is on the meta device and has no numbers", "give one on the CPU or a GPU"
    elif image.layout != torch.strided or image.is_nested:
        kind, remedy = "is sparse or nested", "call image.to_dense() first"
    elif image.is_quantized:
        kind, remedy = "is quantised", "call image.dequantize() first"
    if kind:
        raise UsageError(f"the image {kind}; {remedy}")


def refuse_lost(image: Tensor, dtype: torch.dtype) -> None:
    """Raise UsageError where the cast of an image, any shape, to `dtype` would drop imaginary parts."""
    if image.is_complex() and not dtype.is_complex:
        raise UsageError(
            f"the image holds complex numbers, and the network computes in {str(dtype)[6:]}, which would drop their "
            "imaginary parts; give the real and imaginary parts as channels"
        )


def takes(module: nn.Module, image: Tensor) -> bool:
    """Whether the module runs on an image (1, C, *axes)."""
    return refusal(module, image) is None


def refusal(module: nn.Module, image: Tensor) -> str | None:
    """Why the module itself does not run on an image (1, C, *axes); None where it does."""
    try:
        with borrowed(module, train=None), torch.no_grad():
            forward(module, image)
    except StriateError as error:
        return str(error)
    except Exception as error:  # anybody's module, anybody's error
        return own_words(error, type(module).__name__, tuple(image.shape))
    return None


@contextmanager
def in_its_own_words(
    module: nn.Module, image: Callable[[], Tensor], *, numbers: int = 0
) -> Iterator[None]:
    """Raise UsageError, in the module's own words, where it refuses the image itself.

    A trace reads no numbers, and torch checks less without them: an index out of range, or an axis named twice, is first met
    when they are computed. image: makes it, (1, C, H, W). numbers: of the image; beyond some, or where memory is what
    lacked, it is not run again.
    """
    try:
        yield
    except StriateError:
        raise
    except (RuntimeError, IndexError) as error:
        again = numbers <= RUN_AGAIN and "memory" not in str(error).lower()
        words = refusal(module, image()) if again else None
        if words is None:
            raise
        raise UsageError(words) from error


def refuse_other_meaning(module: nn.Module, image: Tensor, dtype: torch.dtype) -> None:
    """Raise UsageError where the module gives an image of this kind another answer than the same numbers as `dtype`.

    Networks that divide whole numbers by 255 themselves do. Those that take no such kind get it cast. image: (1, C, *axes).
    """
    if image.dtype == dtype:
        return
    refuse_lost(image, dtype)
    try:
        with borrowed(module, train=None), torch.no_grad():
            own, cast = (
                [
                    t
                    for t in leaves_of(forward(module, x))
                    if isinstance(t, Tensor) and not t.is_complex()
                ]
                for x in (image, image.to(dtype))
            )
    except Exception:  # it does not take that kind of number, so there is but one meaning
        return
    for a, b in zip(own, cast, strict=False):
        scale = float(b.double().abs().nan_to_num().max()) if b.numel() else 0.0
        if a.shape != b.shape or float((a.double() - b.double()).abs().nan_to_num().max()) > CLOSE * scale:  # fmt: skip
            raise UsageError(
                f"{type(module).__name__} makes something else of images in {str(image.dtype)[6:]} than of the same numbers "
                f"in {str(dtype)[6:]}; convert the image as the network's first step does (such as x / 255) and give that"
            )
