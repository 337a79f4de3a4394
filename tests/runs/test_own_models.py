"""A network of a person's own: as a module and as a function that makes one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import RunError, UsageError
from striate.models import OwnModel, build, make_network
from striate.runs import Listener, Run
from striate.runs.planning import plan_from
from striate.runs.preparing import prepare
from striate.tasks.plan import Job
from striate.tasks.table import find_task, recipe_for
from striate.training.loop import fit

CPU = torch.device("cpu")


def net(channels: int = 1, classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
    )  # fmt: skip


def factory(*, in_channels: int, num_classes: int) -> nn.Module:
    return net(in_channels, num_classes)


def timms(in_chans: int = 3, num_classes: int = 1000) -> nn.Module:
    return net(in_chans, num_classes)


def passing_on(**kwargs: Any) -> nn.Module:
    assert kwargs == {"num_classes": 10}
    return net(1, kwargs["num_classes"])


class Named(nn.Module):
    """Gives a dict, and has a tied and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.third.weight = self.second.weight
        self.first.weight.requires_grad_(False)
        self.last = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.third(self.second(self.first(x).relu()).relu())
        return {"features": x, "logits": self.last(x.mean((2, 3)))}


def prepared(model: Any, task: str = "classify", **more: Any) -> tuple[OwnModel, Job]:
    own = OwnModel(model)
    learned = find_task(task)
    settings = {"data": "digits", "task": task, "limit": 60, "batch": 20, "precision": "fp32", "epochs": 1}  # fmt: skip
    recipe = recipe_for(learned, {**settings, "model": own.spec, **more})
    return own, prepare(plan_from(learned, recipe, CPU, Listener()), CPU, Listener())


@pytest.mark.parametrize(
    "model",
    [factory, timms, passing_on, net(), lambda: net(), net().double()],
    ids=["factory", "timm's names", "kwargs", "module", "no arguments", "float64"],
)
def test_networks_of_ones_own_train(model: Any) -> None:
    _, job = prepared(model)
    before = [p.clone() for p in job.training.model.parameters()]
    assert fit(job.training, job.batches, evaluate=job.evaluate)
    after = list(job.training.model.parameters())
    assert len(after) == 4
    assert all(p.dtype == torch.float32 for p in after)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_module_begins_with_its_weights_and_stays_as_it_is() -> None:
    module = net()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    own, job = prepared(module)
    assert all(torch.equal(v, before[k]) for k, v in job.training.model.state_dict().items())
    fit(job.training, job.batches)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert own.model is module


def test_a_frozen_layer_stays_frozen_through_a_fine_tuning() -> None:
    _, job = prepared(Named(), pretrained=True, head_epochs=0.5, epochs=4)
    assert job.training.head_steps > 0
    first = job.training.model.first.weight  # type: ignore[union-attr]
    before, tied = first.clone(), job.training.model.second.weight.clone()  # type: ignore[operator,union-attr]
    fit(job.training, job.batches)
    assert torch.equal(first, before)  # type: ignore[arg-type]
    assert not torch.equal(job.training.model.second.weight, tied)  # type: ignore[arg-type,union-attr]


def test_a_share_of_the_layers_keeps_its_weights_and_the_rest_learns() -> None:
    own = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    _, job = prepared(own, pretrained=True, frozen=0.5)
    before = [p.clone() for p in job.training.model.parameters()]
    assert fit(job.training, job.batches, evaluate=job.evaluate)
    moved = [not torch.equal(a, b) for a, b in zip(before, job.training.model.parameters(), strict=True)]  # fmt: skip
    assert moved == [False] * 2 + [True] * 4
    with pytest.raises(
        UsageError, match=r"frozen = 0\.5 keeps the first layers' weights, which are random"
    ):
        prepared(own, frozen=0.5)


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lock, self.net = Lock(), net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


def raising() -> nn.Module:
    raise OSError("no such weights")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (net(3), r"cannot take 2 images of 1 channels and 8 x 8 pixels.*channels=1 or channels=3"),
        (net(1, 7), r"gives \(2, 7\) for 2 images, and these data need 10 numbers an image"),
        (nn.Sequential(nn.AdaptiveAvgPool2d((2, 5)), nn.Flatten()), "has no parameters"),
        (nn.Conv2d(1, 10, 3), r"gives \(2, 10, 6, 6\)"),
        (raising, r"raising\(\) raised OSError: no such weights"),
        (dict, "not a torch.nn.Module"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "lazy layer was never run"),
        (Locked(), "cannot be copied.*give a function"),
    ],
    ids=["channels", "classes", "empty", "map", "raises", "no module", "lazy", "lock"],
)
def test_what_does_not_fit_is_refused(model: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepared(model)


def layers(in_channels: int = 1, **more: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(in_channels, more.get("width", 2)), nn.Linear(more.get("width", 2), more["num_classes"])
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made_by", "reads", "gives"),
    [
        (layers, 3, 4),
        (partial(layers, num_classes=7), 3, 7),
        (partial(layers, in_channels=5, width=3), 5, 4),
        (lambda: layers(2, num_classes=6), 2, 6),
    ],
    ids=["both", "classes held", "channels held", "no arguments"],
)
def test_a_factory_gets_what_it_takes_and_a_partial_keeps_what_it_holds(
    made_by: Any, reads: int, gives: int
) -> None:
    network = make_network(made_by, in_channels=3, num_classes=4)
    assert network(torch.zeros(1, reads, 1, 1)).shape == (1, gives)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="or a function that makes one; got 3"):
        striate.train("digits", model=3)  # type: ignore[arg-type]


def test_a_name_leads_to_its_network_only_as_long_as_it_lives() -> None:
    own = OwnModel(factory)
    assert own.spec == f"python:{__name__}:factory"
    assert isinstance(build(own.spec, in_channels=1, num_classes=2), nn.Sequential)
    spec = own.spec
    del own
    with pytest.raises(UsageError, match="was given in Python"):
        build(spec, num_classes=2)


def test_a_run_of_ones_own_network_opens_with_it(tmp_path: Path) -> None:
    run = striate.train("digits", model=Named(), out=tmp_path / "run", epochs=1, limit=60)
    assert run.info["recipe"]["model"] == f"python:{__name__}:Named"
    with pytest.raises(RunError, match=r"give it again: striate.load\(.*model="):
        striate.load(run.path)
    again = striate.load(run.path, model=Named)
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(again.model(x)["logits"], run.model(x)["logits"])
    with pytest.raises(RunError, match="do not fit"):
        striate.load(run.path, model=net)
    assert Run.load(run.path).finished  # what stands in run.toml needs no network
