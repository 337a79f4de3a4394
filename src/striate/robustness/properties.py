"""Properties: whether one number of the whole image, such as its brightness, predicts a class, and the network uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from striate.robustness.context import Context
from striate.robustness.mark_names import colour_name
from striate.robustness.marks import LARGEST, blurred, halves, separation
from striate.robustness.stamping import Effect, effect_of
from striate.wording import percent

FIND = 0.55  # separation of a property; of two other classes that lack it each has half
COLOUR_FIND = 0.35  # separation of a colour that a part of a class's images has
LEVELS = 4  # of a channel, for colours
SATURATED = 2  # levels between the strongest and the weakest channel of a colour
FLAT = 1e-5  # energy that no image is below
Values = Callable[[Tensor], Tensor]
Matched = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Property:
    """measure: images (N, C, H, W) -> (N,). match: images and values (N,) -> the images with these values. more, less:
    what a class is that has more or less of it than others.
    """

    name: str
    measure: Values
    match: Matched
    more: str
    less: str


@dataclass(frozen=True, eq=False)
class Read:
    """A property that predicts the class `label`, in words, and what it does to the network's predictions."""

    words: str
    label: int
    separation: float
    effect: Effect

    def read(self, tried: int) -> bool:
        """Whether the network uses it, beyond chance over `tried` properties."""
        return self.effect.read(tried, self.separation)


def brightness(x: Tensor) -> Tensor:
    """Mean of all pixels."""
    return x.mean((1, 2, 3))


def brighten(x: Tensor, to: Tensor) -> Tensor:
    return (x * (to / brightness(x).clamp(min=1e-3))[:, None, None, None]).clamp(0, 1)


def contrast(x: Tensor) -> Tensor:
    """Standard deviation of the grey image."""
    return x.mean(1).flatten(1).std(1)


def stretch(x: Tensor, to: Tensor) -> Tensor:
    middle = x.mean((1, 2, 3), keepdim=True)
    return (middle + (x - middle) * (to / contrast(x).clamp(min=1e-3))[:, None, None, None]).clamp(
        0, 1
    )


def detail(x: Tensor) -> Tensor:
    """Logarithm of the grey image's energy that a blur of 3 pixels takes away."""
    grey = x.mean(1, keepdim=True)
    return ((grey - blurred(grey, 3)).pow(2).mean((1, 2, 3)) + FLAT).log()


def refocus(x: Tensor, to: Tensor) -> Tensor:
    """Each image from a ladder of sharpened and blurred forms: the one whose detail is nearest to what is asked for."""
    soft = blurred(x, 3)
    steps = [x + 2 * (x - soft), x + (x - soft), x, (x + soft) / 2, soft, blurred(soft, 3), blurred(x, 5)]  # fmt: skip
    ladder = torch.stack([s.clamp(0, 1) for s in steps])
    distance = torch.stack([(detail(s) - to).abs() for s in ladder])
    return ladder[distance.argmin(0), torch.arange(len(x))]


def cast(channel: int) -> Values:
    """The mean of one channel beyond that of all."""
    return lambda x: x[:, channel].mean((1, 2)) - x.mean((1, 2, 3))


def recolour(channel: int) -> Matched:
    def match(x: Tensor, to: Tensor) -> Tensor:
        out = x.clone()
        # a shift of one channel of C moves the mean of all by a C-th of it
        shift = (to - cast(channel)(x)) * x.shape[1] / (x.shape[1] - 1)
        out[:, channel] += shift[:, None, None]
        return out.clamp(0, 1)

    return match


COLOURED = tuple(
    Property("colour", cast(i), recolour(i), f"{more} than others", f"{less} than others")
    for i, (more, less) in enumerate(
        (("redder", "more cyan"), ("greener", "more magenta"), ("bluer", "more yellow"))
    )
)
PROPERTIES = (
    Property("brightness", brightness, brighten, "brighter", "darker"),
    Property("contrast", contrast, stretch, "of more contrast", "of less contrast"),
    Property(
        "fine detail", detail, refocus, "sharper or noisier", "blurred, smoothed or compressed"
    ),
)


def read_properties(context: Context, training: tuple[Tensor, Tensor]) -> list[Read]:
    """Properties and colours that predict a class in the training images, tried on the context's, the strongest first.

    The same test as for marks: other images are given the class's values, and the class's images those of others.
    """
    images, labels = training
    present = [c for c in range(len(context.classes)) if int((labels == c).sum()) >= 8]
    if len(present) < 2:
        return []
    half, draw = halves(labels, context.seed), context.generator(313)
    tried = []
    for one in (*PROPERTIES, *(COLOURED if images.shape[1] == 3 else ())):
        values = one.measure(images)
        scores = separation(values[:, None], labels, half, present)[:, 0].tolist()
        for c, score in zip(present, scores, strict=True):
            own, rest = values[labels == c], values[labels != c]
            if score < FIND:
                continue
            # a class between lighter and darker ones has no direction of its own: the word is that of its nearer side
            more = float(own.median()) > float(rest.median())

            give = partial(_with_values, one, own, rest, draw)
            if (effect := effect_of(context, c, give)) is not None:
                words = f"{one.name} (its images are {one.more if more else one.less})"
                tried.append(Read(words, c, score, effect))
    tried += _colours(context, images, labels, half, present, draw)
    # Of one class the clearest: a darker image has less contrast too.
    best: dict[int, Read] = {}
    for candidate in sorted(tried, key=lambda r: -r.effect.effect):
        best.setdefault(candidate.label, candidate)
    return list(best.values())


def _colours(
    context: Context, images: Tensor, labels: Tensor, half: Tensor, present: Sequence[int], draw: torch.Generator
) -> list[Read]:  # fmt: skip
    """A strong colour that a class's images have somewhere, at changing places: a pointer, a patch, a sticker."""
    if images.shape[1] != 3:
        return []
    bins = _bins(images)
    codes = [c for c in bins.unique().tolist() if _is_strong(c)]
    if not codes:
        return []
    shares = torch.stack([(bins == code).float().mean((1, 2)) for code in codes], 1)
    scores = separation(shares.sqrt(), labels, half, list(present))
    tried = []
    for c, row in zip(present, scores, strict=True):
        score, at = float(row.max()), int(row.argmax())
        mine, code = shares[labels == c, at], codes[at]
        if score < COLOUR_FIND or float(mine.mean()) > LARGEST:
            continue
        if float(mine.mean()) <= float(shares[labels != c, at].mean()):
            continue  # what the class lacks is no mark of it
        bearers, others = images[labels == c][mine > 0], images[labels != c]
        give = partial(_with_pixels, code, bearers, others, draw)
        if (effect := effect_of(context, c, give)) is not None:
            mean = bearers.permute(0, 2, 3, 1)[_bins(bearers) == code].mean(0)
            tried.append(Read(f"{colour_name(mean.numpy())} pixels, wherever they are", c, score, effect))  # fmt: skip
    return tried


def _with_values(
    one: Property, own: Tensor, rest: Tensor, draw: torch.Generator, x: Tensor, bear: bool
) -> Tensor:
    """Images `x` with values of a property (M,) drawn from the class's own, or from the rest."""
    source = own if bear else rest
    return one.match(x, source[torch.randint(0, len(source), (len(x),), generator=draw)])


def _with_pixels(
    code: int, bearers: Tensor, others: Tensor, draw: torch.Generator, x: Tensor, bear: bool
) -> Tensor:
    """A bearer's pixels of that colour on each image of `x`; or, where they are, what another image has there."""
    own = bearers[torch.randint(0, len(bearers), (len(x),), generator=draw)]
    alien = others[torch.randint(0, len(others), (len(x),), generator=draw)]
    clean = torch.where((_bins(x) == code)[:, None], alien, x)
    return torch.where((_bins(own) == code)[:, None], own if bear else alien, clean)


def _bins(images: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, H, W): the number of each pixel's colour."""
    level = (images * LEVELS).long().clamp(0, LEVELS - 1)
    return (level[:, 0] * LEVELS + level[:, 1]) * LEVELS + level[:, 2]


def _is_strong(code: int) -> bool:
    levels = (code // LEVELS**2, code // LEVELS % LEVELS, code % LEVELS)
    return max(levels) - min(levels) >= SATURATED


def property_sentence(one: Read, classes: Sequence[str]) -> str:
    """What follows "It "."""
    name, e = classes[one.label], one.effect
    return (
        f"reads {one.words} for “{name}”: given to other images it makes {percent(e.stamped)} of {e.others:,} “{name}” "
        f"(as others have it: {percent(e.control)}), and where “{name}” has it as others do {percent(e.removed)} of "
        f"{e.bearers:,} stay so, {percent(e.kept)} with its own"
    )
