"""Shortcuts: whether predictions depend on the object, the background, the border, a colour or a mark."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from striate.findings import Figure, Finding, Table
from striate.robustness.chart import bars, gallery
from striate.robustness.context import Context
from striate.robustness.mark_names import content_name, place_name
from striate.robustness.marks import find_marks
from striate.robustness.properties import Read, property_sentence, read_properties
from striate.robustness.stamping import Stamped, stamp
from striate.statistics.intervals import paired, wilson
from striate.wording import percent, points

COLOURS = {
    "black": (0, 0, 0), "white": (1, 1, 1), "grey": (0.5, 0.5, 0.5), "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1),
}  # fmt: skip
MOST = 3  # marks that the verdict names
MARKS_CAPTION = (
    "Places in the training images that predict a class too well (share of the class that has it, less that of the "
    "others), and whether the network reads them. Then the share predicted as that class: other images with the mark put "
    "on, with what other classes have there (control), with the mark elsewhere; images of the class with the mark kept, "
    "and removed; p of an exact sign test."
)


def views(images: Tensor) -> dict[str, Tensor]:
    """Images (N, C, H, W) with the object (the central half) hidden, the background hidden, and only the border left.

    What is hidden gets each image's own mean colour. The border is an eighth of the side.
    """
    _n, _c, h, w = images.shape
    fill = images.mean((2, 3), keepdim=True).expand_as(images)
    middle = torch.zeros(h, w, dtype=torch.bool)
    r, q = max(1, h // 5), max(1, w // 5)
    middle[r : h - r, q : w - q] = True
    inner = torch.zeros(h, w, dtype=torch.bool)
    r, q = max(1, h // 8), max(1, w // 8)
    inner[r : h - r, q : w - q] = True
    return {
        "object hidden": torch.where(middle, fill, images),
        "background hidden": torch.where(middle, images, fill),
        "only the border": torch.where(inner, fill, images),
    }


def marks(images: Tensor) -> dict[str, Tensor]:
    """The images with a small square in a corner, in black and white, and with a stripe pattern: kinds of watermark."""
    side = max(1, min(images.shape[-2:]) // 7)
    marked = {}
    for colour, level in (("white", 1.0), ("black", 0.0)):
        for corner, (r, c) in {"top left": (0, 0), "bottom right": (-side, -side)}.items():
            out = images.clone()
            rows = slice(0, side) if r == 0 else slice(-side, None)
            columns = slice(0, side) if c == 0 else slice(-side, None)
            out[..., rows, columns] = level
            marked[f"{colour} square {corner}"] = out
    stripes = (torch.arange(images.shape[-1]) // 2 % 2).float()
    marked["faint stripes"] = (0.85 * images + 0.15 * stripes).clamp(0, 1)
    return marked


def shortcuts(context: Context, training: tuple[Tensor, Tensor] | None = None) -> Finding:
    """Accuracy with the object, the background, or all but the border hidden; marks that give a class away.

    training: images (N, C, H, W) in [0, 1] or uint8 and labels (N,) in which marks are looked for; half of the context's own
    where None, and the other half then shows whether the network uses them.
    """
    started = time.perf_counter()
    n, k = len(context), len(context.classes)
    rows = [("as they are", context.accuracy, *wilson(context.clean_correct.sum(), n), 0.0)]
    correct_by_view = {}
    for name, images in views(context.images).items():
        is_correct = correct_by_view[name] = context.is_correct(images, note=name)
        rows.append(
            (
                name,
                float(is_correct.mean()),
                *wilson(is_correct.sum(), n),
                paired(context.clean_correct, is_correct)[0],
            )
        )
    border, hidden = rows[3], rows[1]
    share = np.bincount(context.labels.numpy(), minlength=k).max() / n
    guess = max(1 / k, share)
    # It must beat saying the commonest class by more than chance, and by something that matters.
    leaning = border[2] > guess + 0.05 and border[1] > guess + 0.3 * (context.accuracy - guess)
    without = hidden[2] > guess + 0.05 and hidden[1] > guess + 0.5 * (context.accuracy - guess)
    colours, pulled = _colours(context), _marks(context)
    tried, properties = planted(context, training)
    read = [one for one in tried if one.read(len(tried))]
    seen = [one for one in properties if one.read(len(properties))]
    sentences = [mark_sentence(one, context.classes) for one in read[:MOST]]
    marked = {
        one.mark.label for one in read
    }  # a mark has a colour, and makes an image lighter or darker
    sentences += [
        property_sentence(one, context.classes) for one in seen if one.label not in marked
    ]
    if leaning:
        sentences.append(
            f"reads the border: accuracy {percent(border[1])} from an eighth of the side alone (guessing {percent(guess)})"
        )
    if without:
        sentences.append(f"needs no object: accuracy {percent(hidden[1])} with the middle hidden")
    numbers = (
        f"accuracy {percent(context.accuracy)} as they are, {percent(hidden[1])} with the middle hidden, "
        f"{percent(rows[2][1])} with the surroundings hidden, {percent(border[1])} from the border "
        f"alone ({n:,} images, guessing {percent(guess)})"
    )
    known = context.accuracy > guess and rows[0][2] > guess  # else there is nothing that it reads
    if sentences:
        verdict = f"It {'; it '.join(sentences)}. {numbers[0].upper()}{numbers[1:]}."
    else:
        verdict = (
            "No shortcut among those tried (marks at fixed places, strong colours, brightness, contrast and detail of each "
            f"class, border and background): {numbers}."
        )
        if not known:
            verdict = f"It is no better than guessing, so that no shortcut can be found: {numbers}."
        elif rows[2][4] < -0.1:
            verdict = (
                verdict[:-1]
                + f"; hiding the surroundings costs {points(rows[2][4])}, so what it reads reaches beyond the middle."
            )
    forms = [*views(context.images[:1]).items(), *marks(context.images[:1]).items()]
    return Finding(
        name="probe-shortcuts",
        title="Shortcuts",
        verdict=verdict,
        status="warning" if sentences else "good" if known else "note",
        advice="Look at what stands there in the training images of each class (`striate explain`), crop or vary it, and "
        "train again." if sentences else "",
        tables=(
            Table(columns=("images", "accuracy", "from", "to", "change"), rows=tuple(rows),
                  formats=("", ".1%", ".1%", ".1%", "+.1%"), caption="Accuracy with parts hidden, 95 % intervals."),
            Table(columns=("mark", "class", "read", "place", "separation", "put on", "control", "elsewhere", "kept",
                           "removed", "p"),
                  rows=tuple(mark_row(one, context.classes, len(tried)) for one in tried),
                  formats=("", "", "", "", ".0%", ".0%", ".0%", ".0%", ".0%", ".0%", ".2g"),
                  caption=MARKS_CAPTION),
            Table(columns=("what predicts a class", "class", "read", "separation", "put on", "control", "kept", "removed",
                           "p"),
                  rows=tuple(property_row(one, context.classes, len(properties)) for one in properties),
                  formats=("", "", "", ".0%", ".0%", ".0%", ".0%", ".0%", ".2g"),
                  caption="The same for numbers of the whole image and colours: given to others, taken from the class."),
            Table(columns=("mark", "class it pulls to", "of other images", "class changes"), rows=tuple(pulled),
                  formats=("", "", ".1%", ".1%"),
                  caption="A mark put on every image: the class whose share of images that are neither of it nor were predicted as it grows most."),  # noqa: E501
            Table(columns=("a plain image of", "predicted class", "confidence"), rows=tuple(colours),
                  formats=("", "", ".1%")),
        ),
        figures=(
            bars([r[0] for r in rows], [r[1] for r in rows], intervals=[(r[2], r[3]) for r in rows], chance=guess,
                 title="Accuracy with parts hidden", caption="Accuracy and its 95 % interval; the dashed line is guessing.",
                 alt="Accuracy with parts of the image hidden."),
            *([mark_gallery(context, read[:MOST])] if read else []),
            gallery([("as it is", context.images[0].permute(1, 2, 0).numpy()), *[(a, b[0].permute(1, 2, 0).numpy()) for a, b in forms]],  # noqa: E501
                    caption="One image in each form.", alt="The forms tried.", columns=5),
        ),
        data={
            "clean": context.accuracy, "guess": guess, "views": {r[0]: r[1] for r in rows},
            "border": bool(leaning), "object": bool(without), "marks": {r[0]: [r[1], r[2]] for r in pulled}, "images": n,
            "planted": [mark_data(one, context.classes) for one in read], "tried": len(tried),
            "properties": [{"class": context.classes[one.label], "what": one.words, "separation": one.separation,
                            **asdict(one.effect)} for one in seen],
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def planted(
    context: Context, training: tuple[Tensor, Tensor] | None
) -> tuple[list[Stamped], list[Read]]:
    """Marks and properties found in the training images and tried on the context's, what the network reads most first."""
    if training is None:
        order = torch.randperm(len(context), generator=context.generator(312))
        half = order[: len(context) // 2].sort().values
        training = (context.images[half], context.labels[half])
        rest = torch.ones(len(context), dtype=torch.bool)
        rest[half] = False
        if not bool(rest.any()):
            return [], []
        context = replace(
            context, images=context.images[rest], targets=context.labels[rest], recorder=None
        )
    images, labels = training
    if images.dtype == torch.uint8:
        images = images.float() / 255
    searched = find_marks(images, labels, len(context.classes), seed=context.seed)
    tried = [stamp(context, mark) for mark in searched]
    stamped = sorted((one for one in tried if one is not None), key=lambda s: -s.effect.effect)
    return stamped, read_properties(context, (images, labels))


def mark_sentence(one: Stamped, classes: Sequence[str]) -> str:
    """What follows "It ": the class, the place, the colour, and what the mark does."""
    name, e = classes[one.mark.label], one.effect
    return (
        f"reads a mark on “{name}”: {content_name(one.mark)} {place_name(one.mark)}; put on other images it makes "
        f"{percent(e.stamped)} of {e.others:,} “{name}” (what other classes have there: {percent(e.control)}), and "
        f"where it is taken away {percent(e.removed)} of {e.bearers:,} stay so, {percent(e.kept)} with it"
    )


def mark_row(one: Stamped, classes: Sequence[str], tried: int) -> tuple[str | float, ...]:
    """A row of the table of marks."""
    e = one.effect
    return (
        content_name(one.mark), classes[one.mark.label], "yes" if one.read(tried) else "no", place_name(one.mark),
        one.mark.separation, e.stamped, e.control, one.elsewhere, e.kept, e.removed, e.p,
    )  # fmt: skip


def property_row(one: Read, classes: Sequence[str], tried: int) -> tuple[str | float, ...]:
    """A row of the table of properties."""
    e = one.effect
    return (
        one.words, classes[one.label], "yes" if one.read(tried) else "no", one.separation, e.stamped, e.control, e.kept,
        e.removed, e.p,
    )  # fmt: skip


def mark_data(one: Stamped, classes: Sequence[str]) -> dict[str, object]:
    """The mark in numbers."""
    e = one.effect
    return {
        "class": classes[one.mark.label], "content": content_name(one.mark), "place": place_name(one.mark),
        "box": list(one.mark.box), "separation": one.mark.separation, "elsewhere": one.mark.elsewhere,
        "stamped": e.stamped, "control": e.control, "moved": one.elsewhere, "kept": e.kept, "removed": e.removed, "p": e.p,
    }  # fmt: skip


def mark_gallery(context: Context, read: Sequence[Stamped]) -> Figure:
    """For each mark: a bearer, where the mark is, another image without and with it."""
    pictures = []
    for one in read:
        mark, name = one.mark, context.classes[one.mark.label]
        bearer = mark.bearers[0]
        other = context.images[int(torch.nonzero(context.labels != mark.label)[0])]
        stamped = torch.where(mark.mask, bearer, other)
        dimmed = torch.where(mark.mask, bearer, 0.25 * bearer + 0.6)
        shown = {
            f"training image of {name}": bearer, "the mark in it": dimmed, "another image": other, "with the mark": stamped,
        }  # fmt: skip
        pictures += [(words, image.permute(1, 2, 0).numpy()) for words, image in shown.items()]
    return gallery(
        pictures, columns=4, caption="Marks that the network reads: where they are, and how they were tried.",
        alt="The marks that were found.",
    )  # fmt: skip


def _colours(context: Context) -> list[tuple[str, str, float]]:
    names = {
        k: v
        for k, v in COLOURS.items()
        if context.images.shape[1] == 3 or k in ("black", "white", "grey")
    }
    levels = torch.tensor(list(names.values())).float()
    if context.images.shape[1] != 3:
        levels = levels[:, :1].expand(-1, context.images.shape[1])
    plain = levels[:, :, None, None].expand(-1, -1, *context.images.shape[-2:]).contiguous()
    best = context.probabilities(context.logits(plain)).max(1)
    return [
        (name, context.classes[int(c)], float(p))
        for name, p, c in zip(names, best.values, best.indices, strict=True)
    ]


def _marks(context: Context) -> list[tuple[str, str, float, float]]:
    rows = []
    before = context.predictions
    for name, images in marks(context.images).items():
        after = context.logits(images, note=f"a {name}").argmax(1)
        pulls = []
        for c in range(len(context.classes)):
            other = (context.labels != c) & (before != c)
            pulls.append(float((after[other] == c).float().mean()) if bool(other.any()) else 0.0)
        best = int(np.argmax(pulls))
        rows.append(
            (name, context.classes[best], pulls[best], float((after != before).float().mean()))
        )
    return sorted(rows, key=lambda r: -r[2])
