"""Own: what a person gives a training in Python beside its settings: a loss, an augmentation, callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from striate.errors import UsageError
from striate.runs.run import Run
from striate.tasks.plan import Plan
from striate.tasks.task import Task
from striate.training.batch import Batch, Loss
from striate.training.callbacks import Callbacks
from striate.training.own import OwnAugmentation, OwnLoss
from striate.training.recipe import Recipe
from striate.training.settings import names_of
from striate.wording import name_of

OWN = "own"  # what a task's setting "loss" is where a person gives one
# What an augmentation of a person's own stands in for, and how each of these is turned off.
AUGMENTATION = {
    "shift": 0, "flip": False, "scale": 1.0, "rotate": 0.0, "erase": 0.0, "mixup": 0.0, "zoom": 1.0, "jitter": 0.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Own:
    """A person's own loss and augmentation (None: the task's and the recipe's), and callbacks."""

    loss: Any = None
    augment: Any = None
    callbacks: Callbacks = field(default_factory=Callbacks)

    def __post_init__(self) -> None:
        if self.loss is not None:
            OwnLoss.of(self.loss, _nothing)
        if self.augment is not None:
            OwnAugmentation.of(self.augment)

    def settings(self, given: Mapping[str, Any], task: Task) -> dict[str, Any]:
        """The settings with those turned off that an own augmentation replaces. Raises UsageError where one is given."""
        own = names_of(task.settings) if task.settings is not None else []
        if self.loss is not None and "loss" in own:
            given = {**given, "loss": OWN}
        elif "loss" in own and given.get("loss") == OWN:
            raise UsageError(
                f"loss={OWN} stands for a loss of your own, and none was given; give it in Python, "
                "striate.train(data, loss=f), or name one of the task's"
            )
        if self.augment is None:
            return dict(given)
        settings = {*names_of(Recipe), *own} - {*task.unused}
        off = {name: value for name, value in AUGMENTATION.items() if name in settings}
        for name in off:
            if given.get(name) is not None:
                raise UsageError(
                    f"augment={name_of(self.augment)} replaces the recipe's augmentation, so {name}={given[name]} has no "
                    "effect; leave one of them out"
                )
        return {**given, **off}

    def into(self, plan: Plan) -> Plan:
        """The plan with them."""
        return replace(plan, loss=self.loss, augment=self.augment)

    def info(self) -> dict[str, Any]:
        """As `run.toml` names them; nothing is stored that could be run."""
        named = {n: name_of(v) for n, v in (("loss", self.loss), ("augment", self.augment)) if v is not None}  # fmt: skip
        if self.callbacks.parts:
            named["callbacks"] = [name_of(part) for part in self.callbacks.parts]  # type: ignore[assignment]
        return {"own": named} if named else {}

    def refuse_others(self, run: Run) -> None:
        """Raise UsageError where a resumed run began with another loss or augmentation."""
        before = run.info.get("own", {})
        now = self.info().get("own", {})
        for name in ("loss", "augment"):
            if before.get(name) != now.get(name):
                began = f"{name}={before[name]}" if name in before else f"no {name} of your own"
                do = f"give the same in Python: {name}=..." if name in before else "leave it out"
                raise UsageError(
                    f"a resumed run keeps its {name}: {run.path} began with {began}, got {now.get(name)}; {do}"
                )


def _nothing(output: Any, batch: Batch) -> Loss:
    raise AssertionError("never called")
