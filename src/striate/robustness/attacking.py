"""The attack probe: accuracy against strength, a one-patch sticker, and whether the attack itself can be believed."""

from __future__ import annotations

import itertools
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import StriateError
from striate.findings import Figure, Finding, Table
from striate.robustness.attack import Norm, noise, pgd, stepped, uphill, withstands
from striate.robustness.chart import curves, gallery
from striate.robustness.context import Context
from striate.robustness.sticker import Sticker, find_sticker, stuck
from striate.statistics.intervals import wilson
from striate.wording import percent

LINF = tuple(v / 255 for v in (1, 2, 4, 8, 16, 32))
L2 = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
ATTACKED, CHECKED, STICKERS = 256, 64, 16
STEPS = 10
SHOWN = 8 / 255  # the strength of the verdict


def attack(context: Context) -> Finding:
    """Accuracy under FGSM, PGD and plain noise against strength, and four checks that the attack is not fooled.

    PGD's accuracy is the share of images that it leaves at this strength and at every smaller one.

    The checks (Athalye et al. 2018, Carlini et al. 2019): random noise does less than a gradient; PGD at least as much as
    one step; without a bound accuracy reaches 0; more steps never give less loss.
    """
    started = time.perf_counter()
    some = context.take(ATTACKED)
    x, y, n = some.images, some.labels, len(some)
    lines: dict[str, list[float]] = {"noise": [], "FGSM": [], "PGD": []}
    l2: list[float] = []
    last = x
    direction = uphill(some.model, x, y)
    stands = torch.from_numpy(some.clean_correct)
    for i, eps in enumerate(LINF):
        g = context.generator(500 + i)
        for name, images in (
            ("noise", noise(x, eps, generator=g)),
            ("FGSM", stepped(x, direction, eps)),
        ):
            lines[name].append(float(some.is_correct(images).mean()))
        if eps == SHOWN:  # the images of the figure and of the recorder: all of them, in full
            last = pgd(some.model, x, y, eps, steps=STEPS, generator=g)
            stands &= torch.from_numpy(some.is_correct(last))
        else:
            stands = _still(some, stands, eps, "linf", g)
        lines["PGD"].append(float(stands.float().mean()))
    stands = torch.from_numpy(some.clean_correct)
    for i, eps in enumerate(L2):
        stands = _still(some, stands, eps, "l2", context.generator(600 + i))
        l2.append(float(stands.float().mean()))
    # The pass at 8/255 is the one that the recorder is given, on as many images as it has.
    if context.recorder is not None:
        whole = (
            last
            if n == len(context)
            else pgd(context.model, context.images, context.labels, SHOWN, steps=4)
        )
        context.is_correct(whole, note="PGD of 8/255")
    checks = _checks(some, lines)
    failed = [name for name, ok, _ in checks if not ok]
    stickers = _stickers(some)
    broken = next(
        (e for e, a in zip(LINF, lines["PGD"], strict=True) if a < some.accuracy / 2), None
    )
    at = LINF.index(SHOWN)
    low, high = wilson(round(lines["PGD"][at] * n), n)
    verdict = (
        f"Changes of at most 8 of 255 grey levels leave an accuracy of {percent(lines['PGD'][at])} (95 % interval "
        f"{percent(low)} to {percent(high)}; {percent(some.accuracy)} clean, {percent(lines['noise'][at])} with random ones "
        f"as large; {n:,} images)"
    )
    if broken is not None:
        verdict += f"; {round(255 * broken)} of 255 halve its accuracy"
    won = [s for s in stickers if s.margin < 0]
    if stickers:
        verdict += f"; a sticker of {_size(some)} pixels changes the predicted class of {len(won)} of {len(stickers)}"
    verdict += "."
    if failed:
        verdict += f" Not to be relied on: {' and '.join(failed)} failed, so its gradients may be masked and its true accuracy under attack lower."  # noqa: E501
    figures: list[Figure] = [
        curves(
            [255 * e for e in LINF], lines, xlabel="largest change of a pixel (of 255)", title="Accuracy under attack",
            chance=1 / len(context.classes), xlog=True, ticks=[f"{round(255 * e)}" for e in LINF],
            caption="Accuracy under random changes (noise), one gradient step (FGSM) and ten with projection (PGD).",
            alt="Accuracy falls with strength.",
        )
    ]  # fmt: skip
    if stickers:
        figures.append(_pictures(some, last, stickers))
    table = Table(
        columns=("strength", "random changes", "FGSM", "PGD"),
        rows=tuple(
            (f"{round(255 * e)}/255", lines["noise"][i], lines["FGSM"][i], lines["PGD"][i]) for i, e in enumerate(LINF)
        )
        + tuple((f"L2 {e:g}", None, None, a) for e, a in zip(L2, l2, strict=True)),
        formats=("", ".1%", ".1%", ".1%"),
        caption=f"Accuracy of {n:,} images; PGD with {STEPS} steps.",
    )  # fmt: skip
    checked = Table(
        columns=("check", "held", "numbers"),
        rows=tuple((a, "yes" if b else "NO", c) for a, b, c in checks),
        caption="Whether the attack can be believed (Athalye et al. 2018; Carlini et al. 2019).",
    )
    weak = lines["PGD"][at] < some.accuracy / 2 or len(won) > len(stickers) / 2
    return Finding(
        name="probe-attack",
        title="Attacks",
        verdict=verdict,
        status="problem" if failed else "warning" if weak else "note",
        advice="Where an error costs something, let nobody choose its images whom you do not trust; training on attacked "
        "images (Madry et al. 2018) is the known remedy." if weak and not failed
        else "Attack it with a method that needs no gradient before calling it robust." if failed else "",
        tables=(table, checked),
        figures=tuple(figures),
        data={
            "clean": some.accuracy, "linf": list(LINF), **{k.lower(): v for k, v in lines.items()},
            "l2": list(L2), "pgd_l2": l2, "checks": {a: bool(b) for a, b, _ in checks},
            "stickers": {"tried": len(stickers), "won": len(won), "size": _size(some)}, "images": n,
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _still(context: Context, stands: Tensor, eps: float, norm: Norm, g: torch.Generator) -> Tensor:
    """Which of the images that weaker attacks left, (N,) bool, this one leaves too.

    A smaller change lies in the larger ball as well: an image that one has changed need not be attacked again.
    """
    at = torch.nonzero(stands)[:, 0]
    if not len(at):
        return stands
    x, y = context.images[at], context.labels[at]
    held = withstands(context.model, x, y, eps, norm=norm, steps=STEPS, generator=g)
    return stands.index_put((at,), held)


def _size(context: Context) -> int:
    return max(1, round(context.side / 5))


def _loss(context: Context, images: Tensor) -> float:
    return float(F.cross_entropy(context.logits(images), context.labels))


def _checks(context: Context, lines: dict[str, list[float]]) -> list[tuple[str, bool, str]]:
    few = context.take(CHECKED)
    slack = 1.5 / len(context)
    checks = []
    gaps = [p - q for p, q in zip(lines["PGD"], lines["noise"], strict=True)]
    i = int(np.argmax(gaps))
    checks.append(
        ("a gradient does more than noise", max(gaps) <= slack and min(gaps) < 0,
         f"PGD {percent(lines['PGD'][i])}, noise {percent(lines['noise'][i])} at {round(255 * LINF[i])}/255")
    )  # fmt: skip
    gaps = [p - q for p, q in zip(lines["PGD"], lines["FGSM"], strict=True)]
    i = int(np.argmax(gaps))
    checks.append(
        ("PGD does at least as much as FGSM", max(gaps) <= slack,
         f"PGD {percent(lines['PGD'][i])}, FGSM {percent(lines['FGSM'][i])} at {round(255 * LINF[i])}/255")
    )  # fmt: skip
    g = context.generator(700)
    x, y = few.images, few.labels
    free = float(withstands(few.model, x, y, 1.0, steps=30, step=0.05, generator=g).float().mean())
    checks.append(
        ("without a bound accuracy reaches 0", free <= 1.5 / len(few), f"{percent(free)} is left")
    )
    losses = [_loss(few, few.images)]
    for steps in (1, 4, 16):
        eps = 4 / 255
        losses.append(
            _loss(few, pgd(few.model, few.images, few.labels, eps, steps=steps, step=eps / 4))
        )
    rising = (
        all(b >= a - 1e-4 * max(1, abs(a)) for a, b in itertools.pairwise(losses))
        and losses[-1] > losses[0]
    )
    numbers = ", ".join(f"{v:.2f}" for v in losses)
    checks.append(("loss rises with steps", rising, f"{numbers} after 0, 1, 4, 16"))
    return checks


def _stickers(context: Context) -> list[Sticker]:
    """Stickers on correctly predicted images; none where the network cannot be traced."""
    correct = np.flatnonzero(context.clean_correct)[:STICKERS]
    g = context.generator(800)
    stickers = []
    try:
        for i in correct.tolist():
            stickers.append(
                find_sticker(
                    context.model,
                    context.images[i],
                    int(context.labels[i]),
                    size=_size(context),
                    generator=g,
                )
            )
    except StriateError:
        return []
    return stickers


def _pictures(context: Context, attacked: Tensor, stickers: list[Sticker]) -> Figure:
    correct = np.flatnonzero(context.clean_correct)[:STICKERS].tolist()
    order = np.argsort([s.margin for s in stickers])[:3]
    pictures = []
    chosen = [(correct[i], stickers[i]) for i in order.tolist()]
    batch = torch.stack([stuck(context.images[i], s) for i, s in chosen])
    with_sticker = [context.classes[int(c)] for c in context.logits(batch).argmax(1)]
    with_attack = [
        context.classes[int(c)] for c in context.logits(attacked[[i for i, _ in chosen]]).argmax(1)
    ]
    for k, (i, _) in enumerate(chosen):
        pictures.append(
            (
                f"{context.classes[int(context.labels[i])]}"[:14],
                context.images[i].permute(1, 2, 0).numpy(),
            )
        )
        pictures.append((f"8/255: {with_attack[k]}"[:18], attacked[i].permute(1, 2, 0).numpy()))
        pictures.append((f"sticker: {with_sticker[k]}"[:20], batch[k].permute(1, 2, 0).numpy()))
    return gallery(
        pictures,
        caption="Three images as they are, with PGD's change of 8/255, and with the sticker; above each its class or the "
        "predicted one.",
        alt="Clean, attacked and stickered images.",
        columns=3,
    )
