"""The table of experiments, and the one door to all of them."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass

from striate.errors import UsageError
from striate.findings import Finding, Table
from striate.lectures.experiments.setting import Setting
from striate.wording import in_quotes


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One experiment.

    title: the page's heading. about: one sentence. file: the module that holds it, imported when it runs, and in it a
    function of the experiment's name, Setting -> findings in the page's order. bounded: whether it takes a budget.
    takes_data: whether it can be run on images of one's own.
    """

    title: str
    about: str
    file: str
    bounded: bool = False
    takes_data: bool = False

    @property
    def run(self) -> Callable[[Setting], list[Finding]]:
        """The experiment itself."""
        name = self.file.split(".")[-2]  # the experiment's folder
        experiment: Callable[[Setting], list[Finding]] = getattr(importlib.import_module(self.file), name)  # fmt: skip
        return experiment


EXPERIMENTS: dict[str, Entry] = {
    "lines": Entry(
        title="Two kernels that distinguish vertical from horizontal",
        about="A network of two kernels learns lines, knows strange lines too, and is broken by a wave; its spectra say "
        "why (lecture 003).",
        file="striate.lectures.experiments.lines.run",
    ),
    "shift": Entry(
        title="The shifted seven",
        about="A fully connected network loses a digit that has moved, a convolutional one keeps it; what makes the "
        "difference, layer by layer (lecture 001).",
        file="striate.lectures.experiments.shift.run",
    ),
    "architectures": Entry(
        title="What accuracy costs",
        about="The zoo's classifiers trained alike on one data set: accuracy against multiply-adds and "
        "parameters, Canziani's "
        "figure (lecture 002).",
        file="striate.lectures.experiments.architectures.run",
        bounded=True,
    ),
    "patches": Entry(
        title="Convicts in disguise: patches, each treated alike",
        about="Convolution, mixer, transformer and compact transformer at about equal parameters: accuracy against the size "
        "of a patch and its positions, shuffled patches, and shifts by less than a patch (lecture 003).",
        file="striate.lectures.experiments.patches.run",
        bounded=True,
    ),
    "upsampling": Entry(
        title="Five ways up, and their checkerboards",
        about="Max-unpooling, transposed convolution and interpolation as decoders of one network: what they score, and "
        "which patterns they add, by the overlap of kernel and stride (lecture 004).",
        file="striate.lectures.experiments.upsampling.run",
    ),
    "perceptual": Entry(
        title="Deep features as a measure of how alike images look",
        about="Two distortions of an image, one smaller by construction: how often features, SSIM and PSNR find it, and "
        "how features move when an image is bent (lecture 003).",
        file="striate.lectures.experiments.perceptual.run",
    ),
    "alexnet": Entry(
        title="AlexNet's 96 first units, learned small",
        about="AlexNet of 2012, with its kernels of 11 x 11 pixels and its two groups, learns to tell places of two "
        "photographs apart: its 96 first units, and how features evolve through the epochs (lectures 002 and 003).",
        file="striate.lectures.experiments.alexnet.run",
    ),
    "samples": Entry(
        title="How many images does it take?",
        about="Accuracy against the number of training images with weights for every pixel, for every place, shared, with "
        "augmentation and with weights learned elsewhere; what twice the images would give (lecture 004).",
        file="striate.lectures.experiments.samples.run",
        bounded=True,
        takes_data=True,
    ),
    "neocognitron": Entry(
        title="The neocognitron",
        about="S and C cells organise themselves on digits without a teacher: what they read, every plane, and what a "
        "shift changes, beside LeNet-5 (lecture 004).",
        file="striate.lectures.experiments.neocognitron.run",
        bounded=True,
    ),
}


def list_experiments() -> Finding:
    """Every experiment with its sentence."""
    rows = tuple((name, entry.about) for name, entry in EXPERIMENTS.items())
    return Finding(
        name="experiments",
        title="Experiments",
        verdict=f"{len(rows)} experiments of the lectures, from data to verdict; `striate experiment NAME` runs one.",
        tables=(Table(columns=("experiment", "about"), rows=rows),),
        data={"experiments": dict(rows)},
    )


def find_experiment(name: str) -> Entry:
    """The entry of a name. Raises UsageError with the nearest name."""
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    near = difflib.get_close_matches(name, EXPERIMENTS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(EXPERIMENTS)}"
    raise UsageError(f"there is no experiment {in_quotes(name)}; {hint}")


def run_experiment(name: str, setting: Setting | None = None) -> list[Finding]:
    """Run an experiment; returns its findings, the headline first.

    Raises UsageError for a name that does not exist, or a budget or data where the experiment takes none.
    """
    entry = find_experiment(name)
    setting = setting or Setting()
    if setting.budget is not None and not entry.bounded:
        takes = ", ".join(n for n, e in EXPERIMENTS.items() if e.bounded) or "no experiment"
        raise UsageError(f"{name} takes no budget, its length is fixed; leave it out ({takes} takes one)")  # fmt: skip
    if setting.data is not None and not entry.takes_data:
        takes = ", ".join(n for n, e in EXPERIMENTS.items() if e.takes_data)
        raise UsageError(
            f"{name} takes no data, it has images of its own; leave --data out ({takes} takes some)"
        )
    return entry.run(setting)
