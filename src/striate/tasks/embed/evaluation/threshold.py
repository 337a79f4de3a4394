"""Threshold: the similarity from which on two images are taken for one identity, with the rate of false accepts it costs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from striate.errors import UsageError
from striate.statistics.intervals import wilson
from striate.wording import counted

# With no error in N independent trials the true rate is below 3/N, with 95 % confidence (the rule of three; Hanley and
# Lippman-Hand 1983; ISO/IEC 19795-1 states it for false matches). Below that rate, N pairs say nothing.
RULE_OF_THREE = 3
TINY = 1e-9  # of a count that came out of a product with a rate, such as 0.29 * 100


class Threshold(NamedTuple):
    """A pair is accepted where its similarity is `value` or more.

    rate: of false accepts, as it was asked for. pairs: impostor pairs that it was chosen from; accepted: how many of them
    it accepts, at most `rate` of them. low, high: 95 % interval of the rate by Wilson (1927), which takes the pairs for
    independent; where an image stands in several pairs it is too narrow, see `rates_at`.
    """

    value: float
    rate: float
    pairs: int
    accepted: int
    low: float
    high: float


def pairs_needed(rate: float) -> int:
    """The fewest impostor pairs that can resolve a false-accept rate: 3 / rate."""
    return math.ceil(RULE_OF_THREE / rate * (1 - TINY))


def threshold_at(impostor_scores: np.ndarray, rate: float) -> Threshold:
    """The lowest threshold that accepts at most `rate` of the impostor pairs.

    impostor_scores: (N,) similarities of pairs of different identities; to identify against a gallery, the highest
    similarity of each stranger to anyone in it, since each further name is one more chance to be taken for somebody. rate:
    a fraction between 0 and 1. Equal similarities are accepted or refused together, so of tied ones fewer may be accepted
    than asked for, never more. The threshold is the lowest similarity that is accepted: of a new pair of the same kind the
    probability to reach it is below `rate` on average. Raises UsageError for a rate that N pairs cannot resolve, below
    3 / N, with the number that it takes, and for similarities that are not finite.
    """
    scores = checked_scores(impostor_scores, "impostor similarities")
    n = refuse_rate(rate, len(scores))
    allowed = min(math.floor(rate * n + TINY), n - 1)
    ordered = np.sort(scores)[::-1]
    # As many as are above the first that must be refused: of those tied with it none.
    accepted = int(np.searchsorted(-ordered, -ordered[allowed], side="left"))
    if accepted:
        value = float(ordered[accepted - 1])
    else:  # the highest is tied: just above it, in its own precision, so that it is refused in that precision too
        value = float(np.nextafter(ordered[0], ordered.dtype.type(np.inf)))
    return Threshold(value, float(rate), n, accepted, *wilson(accepted, n))


def refuse_rate(rate: float, pairs: int, noun: str = "impostor pair") -> int:
    """The number of pairs, where they resolve a rate of false accepts. Raises UsageError where they do not."""
    if not 0 < rate < 1:  # also of nan
        raise UsageError(
            f"a false-accept rate is a fraction between 0 and 1, got {rate}; write 0.001 for one in a thousand"
        )
    if rate * pairs < RULE_OF_THREE * (1 - TINY):
        coarser = (
            f"ask for {rounded_up(RULE_OF_THREE / pairs):g} or more, or "
            if pairs > RULE_OF_THREE
            else ""
        )
        raise UsageError(
            f"a false-accept rate of {rate:g} cannot be measured with {counted(pairs, noun)}: that takes "
            f"{pairs_needed(rate):,} or more (3 / rate); {coarser}give images of more identities"
        )
    return pairs


def rounded_up(rate: float) -> float:
    """A rate with two digits, never below itself."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / unit * (1 - TINY)) * unit


def checked_scores(scores: np.ndarray, what: str) -> np.ndarray:
    """Similarities (N,) as float32 or float64, as they came. Raises UsageError for another shape, or one not finite."""
    array = np.asarray(scores)
    if array.ndim != 1:
        raise UsageError(f"{what} are one number a pair, (N,), got {array.shape}; flatten them")
    if array.dtype not in (np.float32, np.float64):
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{what} are numbers, got {array.dtype}; give floats") from error
    if bad := int((~np.isfinite(array)).sum()):
        raise UsageError(
            f"{what} must be finite, got NaN or infinity for {bad:,} of {len(array):,} pairs; an embedding of zero length "
            "gives such: leave its image out"
        )
    return array
