"""Before training: the loss at initialisation, and whether one batch can be learned by heart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from striate.answer import answer_of
from striate.borrow import borrowed, forward
from striate.diagnostics.soundness import require_images, require_parameters
from striate.errors import DataError, UsageError
from striate.figures import BLUE, GRID, new_figure, render, style
from striate.findings import Figure, Finding, Status
from striate.wording import counted

FAR = 0.5  # nats above ln(classes) from which on the first steps are wasted
KNOWS = 0.75  # share of ln(classes) below which a network without training knows too much
ENOUGH = 0.05  # loss at which a batch counts as learned, with every image correct
RATES = (1e-3, 1e-2, 1e-4)  # of Adam, tried in turn


def initial_loss(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    classes: int,
    *,
    pretrained: bool = False,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> Finding:
    """Loss of a network before its first step against ln(classes), what guessing evenly costs.

    inputs: (N, ...); labels: (N,) int64, or what `loss` takes. pretrained: the body was trained before and only the head is
    new; a lower loss is then welcome, and batch norm keeps its statistics. Without, the network is in its training form, as
    its first step is. Raises UsageError where there are fewer than 2 classes, DataError where anything is not finite.
    """
    require_parameters(model)
    require_images(inputs, labels)
    if classes < 2:
        raise UsageError(f"classes must be 2 or more, got {classes}")
    with borrowed(model, train=not pretrained and len(inputs) > 1), torch.no_grad():
        torch.manual_seed(0)
        value = float(loss(answer_of(forward(model, inputs)).float(), labels))
    if not math.isfinite(value):
        raise DataError(
            "the loss before the first step is not finite; look at the first weights and the images' normalisation"
        )
    even = math.log(classes)
    who = "pretrained network with its new head" if pretrained else "untrained network"
    text = f"The loss of the {who} is {value:.3f}; guessing evenly costs ln({classes}) = {even:.3f}"
    status: Status = "good"
    advice = ""
    if value > even + FAR:
        status = "warning"
        text += ", so that the first steps only unlearn its wrong guesses"
        advice = "Make the last layer's first weights smaller, and check the images' normalisation."
    elif value < KNOWS * even and not pretrained:
        status = "warning"
        text += ", so that it knows something before it has learned"
        advice = "Look for labels that leak into the images, or weights that were not drawn anew."
    elif value < even - FAR and pretrained:
        text += ", so that what it learned before helps at once"
    else:
        text += ", as it should"
    return Finding(
        name="diagnose-initial-loss",
        title="Loss at initialisation",
        verdict=f"{text}.",
        status=status,
        advice=advice,
        data={"loss": value, "expected": even, "classes": classes, "pretrained": pretrained},
    )


def overfit_batch(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    steps: int = 100,
    seconds: float = 60.0,
) -> Finding:
    """Train a copy on one batch alone with Adam: a network and a loss that work learn it by heart.

    inputs: (N, ...), labels: (N,). Learned is a batch of which every image is correct and whose loss is at most 0.05; up to
    three learning rates are tried, `steps` steps each, and `seconds` in all. Dropout is off. Raises UsageError for fewer
    than one step, DataError where weights or inputs are not finite.
    """
    if steps < 1:
        raise UsageError(f"steps must be 1 or more, got {steps}")
    require_parameters(model)
    require_images(inputs, labels)
    until = time.perf_counter() + seconds
    tries: list[tuple[int, float, list[float], float]] = []
    for rate in RATES:
        losses, correct = by_heart(model, inputs, labels, rate, steps, until)
        tries.append(
            (correct, -losses[-1] if math.isfinite(losses[-1]) else -math.inf, losses, rate)
        )
        if learned(correct, losses, len(inputs)) or time.perf_counter() > until:
            break
    correct, _, losses, rate = max(tries, key=lambda t: t[:2])
    n, made = len(inputs), len(losses) - 1
    twins = contradictions(inputs, labels)
    went = f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}"
    status: Status = "good"
    advice = ""
    if learned(correct, losses, n):
        are = "are" if n > 1 else "is"
        verdict = f"{counted(n, 'image')} alone {are} learned by heart in {counted(made, 'step')}: {went}."
    elif correct == n and losses[-1] < losses[0] / 2:
        status = "note"
        after = f"After {counted(made, 'step')} on {counted(n, 'image')} alone"
        verdict = f"{after} all are correct, but not by heart yet: {went}."
        advice = "It learns, but slowly: look at the learning rate and at what regularises it."
    else:
        status = "problem" if correct < 0.9 * n else "warning"
        alone = f"{counted(n, 'image')} alone cannot be learned by heart"
        verdict = f"{alone}: after {counted(made, 'step')} {correct} are correct, and {went}."
        advice = "Check labels, loss and gradients before training on more images; if all is well, the network is too small."
        if twins:
            have = "has" if twins == 1 else "have"
            verdict = (
                f"{verdict[:-1]}; {counted(twins, 'pair')} of equal images {have} different labels."
            )
            advice = "Look at the labels of equal images first."
    return Finding(
        name="diagnose-one-batch",
        title="One batch by heart",
        verdict=verdict,
        status=status,
        advice=advice,
        figures=(draw(losses, n),),
        data={"accuracy": correct / n, "losses": losses, "rate": rate, "contradictions": twins},
    )


def learned(correct: int, losses: list[float], images: int) -> bool:
    """Whether every image is correct and the loss is low."""
    return correct == images and losses[-1] <= ENOUGH


def by_heart(
    model: nn.Module, inputs: Tensor, labels: Tensor, rate: float, steps: int, until: float
) -> tuple[list[float], int]:
    """Losses before each step and after the last, and how many images were correct then."""
    losses: list[float] = []
    correct = 0
    with borrowed(model, train=len(inputs) > 1, own=True):
        for part in model.requires_grad_(True).modules():
            if isinstance(part, nn.modules.dropout._DropoutNd):
                part.eval()
        optimiser = torch.optim.Adam(model.parameters(), lr=rate)
        torch.manual_seed(0)
        for step in range(steps + 1):
            logits = answer_of(forward(model, inputs)).float()
            loss = cross_entropy(logits, labels)
            losses.append(float(loss.detach()))
            correct = int((logits.argmax(1) == labels).sum())
            finite = math.isfinite(losses[-1])
            if not finite or learned(correct, losses, len(inputs)):
                break
            if step == steps or time.perf_counter() > until:
                break
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return losses, correct


def contradictions(inputs: Tensor, labels: Tensor) -> int:
    """Pairs of equal images with different labels."""
    seen: dict[bytes, list[int]] = {}
    for image, label in zip(inputs, labels.tolist(), strict=True):
        seen.setdefault(image.detach().cpu().contiguous().numpy().tobytes(), []).append(label)
    return sum(a != b for same in seen.values() for i, a in enumerate(same) for b in same[:i])


def draw(losses: list[float], images: int) -> Figure:
    """The loss over steps, with the level at which a batch is learned."""
    with style():
        figure = new_figure(5.6, 3.0)
        axes = figure.subplots()
        axes.plot(
            range(len(losses)), [v if math.isfinite(v) else math.nan for v in losses], color=BLUE
        )
        axes.axhline(ENOUGH, color=GRID, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            "by heart", (0.01, ENOUGH), xycoords=("axes fraction", "data"), va="bottom", fontsize=9
        )
        axes.set_yscale("log")
        axes.set(xlabel="step", title=f"Loss on {images} images")
        axes.grid(axis="y")
        return render(
            figure,
            caption="A network and a loss that work fall below the line.",
            alt=f"Loss from {losses[0]:.3g} to {losses[-1]:.3g} in {len(losses) - 1} steps.",
        )
