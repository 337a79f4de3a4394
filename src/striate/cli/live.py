"""What a training shows as it goes: one live line, and above it what was decided and found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from striate.api import Listener
from striate.cli.console import err
from striate.findings import Finding
from striate.report.terminal import terminal

if TYPE_CHECKING:
    from striate.training import Recipe
    from striate.training.loop import EpochRecord, Moment
    from striate.training.watch import Update

# Numbers that are shown in per cent, and what they are called.
SHARES = {"accuracy": "accuracy", "iou": "mean IoU", "map": "mAP", "tags_right": "tags right"}
# Numbers that the field writes between 0 and 1.
NUMBERS = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "mask_ap": "mask AP", "box_ap": "box AP", "pq": "PQ",
}  # fmt: skip
MOST = 5  # measures in a line; of more, those with a name above are shown, and metrics.csv has the rest
EPOCH_LINES = 15  # at most about so many lines of epochs stay on the screen
SHOWN = (
    "optimizer", "lr", "batch", "epochs", "budget", "shift", "flip", "scale", "rotate", "erase", "mixup",
    "layer_decay", "frozen", "head_epochs", "seed",
)  # fmt: skip


class Terminal(Listener):
    """One live line on standard error; what is decided or found stays above it."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[words]}"), console=err,
            transient=True,
        )  # fmt: skip
        self.task = self.progress.add_task("starting", total=None, words="")
        self.epochs = 1.0
        self.updates: TaskID | None = None

    def say(self, text: str) -> None:
        """See Listener."""
        err.print(escape(text), soft_wrap=True)

    def decided(self, recipe: Recipe, why: Sequence[str]) -> None:
        """See Listener."""
        for line in why:
            if " = " not in line or line.startswith("model"):
                err.print(escape(line), soft_wrap=True)
        words = "  ".join(f"{k} {v}" for k, v in recipe.to_dict().items() if k in SHOWN and v)
        err.print(escape(f"{words}  (--set KEY=VALUE changes any)"), style="dim", soft_wrap=True)

    def stage(self, text: str) -> None:
        """See Listener."""
        self.progress.reset(self.task, total=None, description=text, words="")

    def count(self, done: int, total: int) -> None:
        """See Listener."""
        self.progress.update(self.task, completed=done, total=total, words=f"{done:,} of {total:,}")

    def finding(self, finding: Finding) -> None:
        """See Listener."""
        if finding.status != "good" or finding.name == "headline":
            err.print(terminal(finding))

    def step(self, moment: Moment) -> None:
        """See Listener."""
        self.epochs = moment.total / moment.steps_per_epoch
        epoch = (moment.step - 1) / moment.steps_per_epoch + 1
        words = (
            f"epoch {int(epoch)} of {self.epochs:.3g}   loss {moment.loss:.3f}   "
            f"{shown(moment.parts)}   {moment.images_per_second:,.0f} images/s   {clock(moment.seconds_left)} left"
        )
        self.progress.update(self.task, completed=moment.step, total=moment.total, words=words)

    def watched(self, rows: Sequence[Update]) -> None:
        """See Listener."""
        if self.updates is None:
            self.updates = self.progress.add_task("update / weight", total=100, words="")
        moved = sorted((r.update / max(r.weight, 1e-30), r.layer) for r in rows)
        pushed = [r.gradient for r in rows]
        words = (
            f"{moved[0][0]:.1e} ({moved[0][1]}) to {moved[-1][0]:.1e} ({moved[-1][1]})   "
            f"gradients {min(pushed):.1e} to {max(pushed):.1e}"
        )
        self.progress.update(self.updates, words=words)

    def epoch(self, record: EpochRecord) -> None:
        """See Listener."""
        every = max(1, round(self.epochs / EPOCH_LINES))
        if record.epoch % every and record.epoch < self.epochs - 1e-3:
            return
        train = {name: value for name, value in record.train.items() if name != "loss"}
        val = {name: value for name, value in record.val.items() if name != "loss"}
        err.print(
            f"epoch {record.epoch:>5g}   loss {record.train['loss']:.3f}   "
            f"training {shown(train)}   {f'validation {shown(val)}   ' if val else ''}"
            f"{record.images_per_second:,.0f} images/s   {clock(record.seconds)}",
            soft_wrap=True,
        )


def shown(numbers: Mapping[str, float]) -> str:
    """`accuracy 93.1%`, `AP 0.694`: shares in per cent, other numbers with three digits."""
    if len(numbers) > MOST:
        numbers = {name: v for name, v in numbers.items() if name in SHARES or name in NUMBERS}
    return "  ".join(
        f"{SHARES[name]} {value:.1%}" if name in SHARES
        else f"{NUMBERS[name]} {value:.3f}" if name in NUMBERS
        else f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in numbers.items()
    )  # fmt: skip


def clock(seconds: float) -> str:
    """Seconds as 48 s, 3:07 or 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
