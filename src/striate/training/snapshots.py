"""Snapshots: a network's weights as they were after some epochs, kept in memory while it trains."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from striate.errors import UsageError
from striate.training.callbacks import Callback
from striate.training.loop import EpochRecord, Training
from striate.training.parts import whole

EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)  # of Zeiler and Fergus 2014, figure 4


class Snapshots(Callback):
    """Keeps copies of the weights after given epochs, for `striate.units.evolve`; a callback of `striate.train`.

    epochs: which, counted from 1; those of Zeiler and Fergus's figure 4 if not given. memory: the most bytes that all of
    them may take. `weights`: epoch -> state, on the CPU; what is averaged
    over steps is kept as it is trained. Raises UsageError for epochs that are not above 0, and when the training starts for
    a network whose snapshots would take more memory.
    """

    def __init__(self, epochs: Sequence[int] = EPOCHS, *, memory: int = 512_000_000) -> None:
        if not epochs or min(epochs) < 1:
            raise UsageError(f"snapshots are of epochs from 1 on, got {tuple(epochs)}")
        self.epochs = tuple(sorted({int(e) for e in epochs}))
        self.memory = memory
        self.weights: dict[int, dict[str, Tensor]] = {}
        self._model: nn.Module | None = None

    def on_start(self, training: Training) -> None:
        """See Callback."""
        each = sum(t.numel() * t.element_size() for t in training.model.state_dict().values())
        if each * len(self.epochs) > self.memory:
            fit = self.memory // max(each, 1)
            raise UsageError(
                f"{len(self.epochs)} snapshots of {each / 1e6:,.0f} MB are more than the {self.memory / 1e6:,.0f} MB that "
                f"they may take; keep {fit} epochs, or allow more with memory="
            )
        self._model = training.model

    def on_epoch(self, record: EpochRecord) -> None:
        """See Callback."""
        epoch = int(record.epoch)
        if epoch == record.epoch and epoch in self.epochs and self._model is not None:
            state = self._model.state_dict()
            self.weights[epoch] = {n: whole(t).detach().cpu().clone() for n, t in state.items()}
