"""Witness: the plain module on a few inputs, against which a result is held before anybody gets it.

It runs the untouched module, one image at a time, and shares nothing with how the result was computed: no trace, no rule,
no plan. Two ways of rounding differ, so a difference that rounding might explain is measured again in double precision,
where rounding explains nothing.
"""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.errors import ExactnessError, NotVerifiedWarning, StriateError
from striate.geometry import Geometry, leaves_of, map_tensors
from striate.inference.rounding import SPREAD, TF32, Otherwise

SAMPLES = 4
DOUBLE = (
    1e-8  # of the largest output: as far as two ways of rounding in double precision come apart
)
SMALL = 400_000  # numbers of images together: beyond, a batch takes no less than its images alone
SHARE = 0.01  # of what a result spans: a difference below cannot be seen in it
# Units of rounding, of the largest output: what two ways of rounding always differ by, and never more than.
LEAST, MOST = 32, 1024
DRAWS = 4  # other ways of rounding that are tried
_draws = count()  # each draw is another one


@dataclass(frozen=True)
class Sample:
    """One input: its place in words, what was computed for it, and the module's own numbers, both of the same shape."""

    where: str
    got: Tensor
    plain: Tensor

    @property
    def difference(self) -> float:
        """The largest one; infinite where only one of the two is not a number."""
        # A target that is a function may have weights of its own, and so a gradient.
        a, b = (t.detach().double().flatten().cpu() for t in (self.got, self.plain))
        if a.shape != b.shape:
            return float("inf")
        same = (a == b) | (a.isnan() & b.isnan())
        gap = torch.where(same, 0.0, (a - b).abs())
        return float(torch.nan_to_num(gap, nan=float("inf")).max()) if len(gap) else 0.0


def plainly(module: nn.Module, image: Tensor, shaken: float = 0.0) -> Any:
    """What the untouched module gives for an image (1, C, *axes).

    shaken: each pixel is changed by a share drawn up to that, and where it is not 0 each operation rounds otherwise.
    """
    generator = torch.Generator().manual_seed(next(_draws))  # the user's own random state stays
    share = (torch.rand(image.shape, generator=generator, dtype=torch.float64) * 2 - 1) * shaken
    image = (image.double() * (1 + share.to(image.device))).to(image.dtype)
    with borrowed(module, train=None), torch.no_grad(), Otherwise() if shaken else nullcontext():
        try:
            return forward(module, image)
        except StriateError:
            raise
        except Exception as error:  # the module is anybody's, and so is what it raises
            text = " ".join(str(error).split())[:200] or type(error).__name__
            raise StriateError(
                f"the result cannot be checked, because the network itself refuses the image: {text}; pass check=False "
                "to get the result unchecked"
            ) from error


def together(module: nn.Module, images: Sequence[Tensor]) -> list[Any] | None:
    """What the untouched module gives for images (1, C, *axes) in one run, taken apart; None where that is of no use.

    Small images run together in half the time. What a module makes of many may be another answer than what it makes of
    each alone, so this can only confirm a result: where it does not, the images are run alone.
    """
    if len(images) < 2 or sum(image.numel() for image in images) > SMALL:
        return None
    try:
        with borrowed(module, train=None), torch.no_grad():
            output = forward(module, torch.cat(list(images)))
        if any(isinstance(t, Tensor) and len(t) != len(images) for t in leaves_of(output)):
            return None
        return [map_tensors(output, partial(_part, i)) for i in range(len(images))]
    except Exception:  # made for one image at a time: what it says alone counts
        return None


def _part(i: int, t: Tensor) -> Tensor:
    return t[i : i + 1]


@contextmanager
def doubled(module: nn.Module) -> Iterator[None]:
    """The module in double precision for a while."""
    with borrowed(module, train=None, dtype=torch.float64), torch.no_grad():
        yield


def largest(output: Any) -> float:
    """The largest finite number of what a module returns, without its sign."""
    sizes = [
        float(torch.nan_to_num(leaf.detach().abs().double(), nan=0.0, posinf=0.0).max())
        for leaf in leaves_of(output)
        if isinstance(leaf, Tensor) and leaf.numel() and leaf.dtype != torch.bool
    ]
    return max(sizes, default=0.0)


def unit(geometry: Geometry, device: torch.device, dtype: torch.dtype | None = None) -> float:
    """The coarsest rounding on the way from the image to the result, relative to a number."""
    kinds = {v.dtype for v in geometry.values if v.varies and v.dtype.is_floating_point}
    if dtype is not None:
        kinds.add(dtype)
    coarsest = max((torch.finfo(kind).eps for kind in kinds), default=0.0)
    switches = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    if device.type == "cuda" and torch.float32 in kinds and any(switches):
        coarsest = max(coarsest, TF32)
    return coarsest


def agree(samples: Sequence[Sample], *, scale: float, span: float, unit: float) -> bool:
    """Whether a result is the module's own but for rounding. See `refuse_unequal`."""
    return max(s.difference for s in samples) <= _allowed(scale, span, unit)[0]


def _allowed(scale: float, span: float, unit: float) -> tuple[float, float]:
    """How far a result may be off, and how far it may be off at most."""
    if unit < 1e-12:
        return DOUBLE * scale, DOUBLE * scale
    least, most = LEAST * unit * scale, MOST * unit * scale
    return min(max(least, SHARE * span), most), most


def refuse_unequal(
    samples: Sequence[Sample], *, what: str, scale: float, span: float, unit: float, geometry: Geometry,
    again: Callable[[], Sequence[Sample]], repeat: Callable[[int, float], Tensor],
) -> None:  # fmt: skip
    """Raise ExactnessError where a result is not the module's own; warn where the module's own numbers are noise.

    what: is withheld. scale: the largest number that the module gives. span: of the result, from its least to its largest.
    unit: of rounding. again: the samples in double precision; it may raise, and counts only where everything is in double
    precision then. repeat: the module's own numbers for a sample once more, of the same shape, all rounding
    otherwise where a share is given.

    A difference that the network's own rounding explains withholds nothing. One that can be seen in the result is reported,
    as NotVerifiedWarning: the module's own numbers confirm nothing there.
    """
    allowed, most = _allowed(scale, span, unit)
    worst = max(range(len(samples)), key=lambda i: samples[i].difference)
    if samples[worst].difference <= allowed:
        return
    sample = samples[worst]
    double = "was not possible"
    if unit >= 1e-12:
        in_double = _in_double(again)
        if in_double is not None:
            sharp = max(s.difference for s in in_double)
            if sharp <= DOUBLE * max(scale, 1e-30):
                if sample.difference > SHARE * span:
                    _warn(sample, what, "in double precision the two are the same")
                return
            double = f"{sharp:.3g}"
        elif sample.difference <= most:
            return
    if Sample("", repeat(worst, 0.0), sample.plain).difference > allowed:
        raise StriateError(
            f"the network gives other numbers each time for the same image, so {what} cannot be checked; find what it "
            "draws or keeps between calls, or pass check=False to get the result unchecked"
        )
    noise = max(_moved(repeat, worst, unit, sample) for _ in range(DRAWS))
    if sample.difference <= SPREAD * noise:
        _warn(
            sample,
            what,
            f"its own number moves by {noise:.2g} where its operations round otherwise",
        )
        return
    report = {
        "versions": {"striate": _version(), "torch": torch.__version__, "python": platform.python_version()},
        "network": geometry.kind,
        "input": list(geometry.input_shape),
        "place": sample.where,
        "striate": sample.got.flatten()[:4].tolist(),
        "module": sample.plain.flatten()[:4].tolist(),
        "difference": sample.difference,
        "allowed": allowed,
        "in double precision": double,
        "records": [
            f"{r.name}: {r.target} {[list(geometry.values[i].shape) for i in r.inputs]} -> "
            f"{list(geometry.values[r.output].shape)} by {type(r.plan).__name__}, {r.plan.kind}"
            for r in geometry.records
            if r.live
        ],
    }  # fmt: skip
    raise ExactnessError(_sentence(sample, what), report, _lines(report))


def _moved(
    repeat: Callable[[int, float], Tensor], which: int, unit: float, sample: Sample
) -> float:
    """How far the module's own numbers move where all rounds otherwise; 0 where it does not run so."""
    try:
        return Sample("", repeat(which, unit), sample.plain).difference
    except StriateError:  # kernels that know no such mode
        return 0.0


def _warn(sample: Sample, what: str, why: str) -> None:
    warnings.warn(
        f"{what} is not verified: the network amplifies rounding. At {sample.where} it is off by {sample.difference:.2g} "
        f"from what the network itself gives there, and {why}: differences as small as that are rounding",
        NotVerifiedWarning,
        stacklevel=2,
    )


def _in_double(again: Callable[[], Sequence[Sample]]) -> Sequence[Sample] | None:
    """The samples in double precision; None where the network does not run so."""
    try:
        return again()
    except Exception:  # again, anybody's module: one that casts to float32 inside, for example
        return None


def _sentence(sample: Sample, what: str) -> str:
    return (
        f"{what} is withheld: at {sample.where} it is off by {sample.difference:.3g} from what the network itself gives "
        "there. This is a fault of Striate: please report it with the lines below and the error's `report`; "
        "check=False gives the result unchecked."
    )


def _lines(report: dict[str, object]) -> list[str]:
    return [f"{name}: {value}" for name, value in report.items() if name != "records"]


def _version() -> str:
    return str(getattr(sys.modules.get("striate"), "__version__", ""))
