"""Watch: notes are the norms that they say, and a watched training is the same training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from striate.tasks.classify.loss import CrossEntropy
from striate.training.averaging import WeightAverage
from striate.training.batch import Batch
from striate.training.loop import Training, fit
from striate.training.optimizers import Optimizers
from striate.training.schedule import Pace
from striate.training.watch import Update, Watch, read_updates, write_updates


class Noise:
    steps_per_epoch = 10

    def from_step(self, step: int):  # type: ignore[no-untyped-def]
        while True:
            generator = torch.Generator().manual_seed(step)
            yield Batch(torch.randn(8, 1, 4, 4, generator=generator), torch.arange(8) % 2)
            step += 1


def training(watch: Watch | None, steps: int) -> Training:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(16, 2)
    )
    return Training(
        model=model,
        optimizers=Optimizers([torch.optim.SGD(model.parameters(), lr=0.1)]),
        average=WeightAverage(model, 0.0),
        pace=Pace(steps),
        warmup=0.0,
        loss=CrossEntropy(),
        dtype=torch.float32,
        device=torch.device("cpu"),
        watch=watch,
    )


def test_norms_by_hand_with_plain_descent() -> None:
    watch = Watch()
    t = training(watch, 4)
    begun = {n: p.detach().clone() for n, p in t.model.named_parameters()}
    fit(t, Noise())
    assert [(r.step, r.layer) for r in watch.rows] == [(s, n) for s in range(4) for n in ("0", "4")]
    first = watch.rows[1]
    assert first.weight == pytest.approx(float(begun["4.weight"].norm()))
    assert first.update == pytest.approx(0.1 * first.gradient, rel=1e-4)  # rate x gradient


def test_a_watched_training_is_the_same_bit_for_bit() -> None:
    plain, watched = training(None, 30), training(Watch(), 30)
    fit(plain, Noise())
    torch.manual_seed(0)
    watched = training(Watch(), 30)
    heard: list[int] = []
    fit(watched, Noise(), on_watch=lambda rows: heard.append(len(rows)))
    assert heard == [2] * 30
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, watched.model.state_dict()[name])


def test_about_a_hundred_steps_are_noted_and_survive_a_file(tmp_path: Path) -> None:
    watch = Watch()
    assert sum(watch.due(step, 1234) for step in range(1234)) == 103
    rows = [Update(0, "a.b", 0.5, 2.0, 1e-3), Update(12, "a.b", 0.25, 2.0, float("inf"))]
    write_updates(tmp_path / "updates.csv", rows)
    assert read_updates(tmp_path / "updates.csv") == rows
    assert read_updates(tmp_path / "updates.csv", before=12) == rows[:1]
    assert read_updates(tmp_path / "none.csv") == []
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"step,layer,gradient"):
        read_updates(tmp_path / "other.csv")
