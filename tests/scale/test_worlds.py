"""Two and three processes give what one gives: weights, losses, scores, random numbers, after every kind of training.

In float64, where nothing but a mistake shows. One group of processes of each size does everything.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import jobs
import pytest
import ranks
import torch
import torch.nn.functional as F

from striate.errors import StriateError, TrainingError, UsageError
from striate.training import gradients
from striate.training.batch import Loss
from striate.training.loop import refuse_drift
from striate.training.synchronised import Synchronised
from striate.training.world import here

STEPS = {"micro": 3, "multilabel": 6, "regression": 6, "yolo": 4, "instances": 4}
TWO = ("classify", "micro", "segment", "centernet", "triplet", "regression", "multilabel")
THREE = ("centernet", "arcface", "triplet", "yolo", "instances")
STOP = 11


def steps_of(name: str) -> int:
    return STEPS.get(name, jobs.STEPS)


def shared(loss: Any, world: Any, **_: Any) -> Loss:
    """What a per-rank normaliser does: each process divides by its own weight, and gradients are averaged."""
    return Loss(loss.sum.detach(), torch.as_tensor(float(loss.weight)) * world.size, loss.parts)


def normalised(given: Any) -> dict[str, Any]:
    """Batch norm of a network, forward and backward, of which this process has 4, 1 or 0 of 5 images."""
    x, dy, layer = given
    world = here()
    first, end = ((0, 4), (4, 5), (5, 5))[world.rank]
    own = x[first:end] if end > first else torch.zeros_like(x[:1])
    own.requires_grad_()
    norm = torch.nn.BatchNorm2d(x.shape[1]).double()
    norm.load_state_dict(layer)
    with Synchronised(world, first=first, own=end - first, many=len(x)):
        y = norm(own)
        kept = F.dropout(torch.ones_like(own), 0.5)
    (y * dy[first:end]).sum().backward() if end > first else (y.sum() * 0).backward()
    world.sum_gradients(list(norm.parameters()))
    n = end - first
    return {
        "y": y.detach()[:n], "dx": own.grad[:n], "kept": kept[:n], "dw": norm.weight.grad, "db": norm.bias.grad,
        "mean": norm.running_mean, "var": norm.running_var,
    }  # fmt: skip


def messages() -> dict[str, str]:
    """What is said where one of several processes fails, or differs, and what they agree on."""
    world, said = here(), {}

    def fail() -> None:
        if world.rank == 1:
            raise UsageError("no such data")

    def drift() -> None:
        job = jobs.job_of("regression")
        with torch.no_grad():
            next(job.training.model.parameters()).add_(float(world.rank))
        refuse_drift(job.training)

    def first() -> None:
        raise TrainingError("the first one cannot")

    cases: dict[str, Any] = {
        "together": lambda: world.together(fail), "first": lambda: world.first(first), "drift": drift,
        "differ": lambda: world.refuse_differences({"same": 1, "the version": f"1.{world.rank}"}),
        "missing": lambda: world.assembled(7, [0]),
    }  # fmt: skip
    for name, work in cases.items():
        try:
            work()
            said[name] = "nothing"
        except StriateError as error:
            said[name] = f"{type(error).__name__}: {error}"
    said["highest"] = str(world.highest(float(world.rank), -float(world.rank)))
    said["any"] = f"{world.any(world.rank == 1)} {world.any(False)} {world.all(world.rank == 1)}"
    said["order"] = str(world.assembled(7, [i * i for i in world.share(7)]))
    return said


def resumed(state: dict[str, Any], name: str) -> dict[str, torch.Tensor]:
    """The weights at the end of a training that goes on from `state`."""
    return jobs.trained(name, steps_of(name), double=True, state=copy.deepcopy(state))["weights"]


def work(names: tuple[str, ...], norm: Any, state: Any) -> dict[str, Any]:
    """All that one process of a group does."""
    found: dict[str, Any] = {n: jobs.trained(n, steps_of(n), double=True) for n in names}
    found["norm"], found["messages"] = normalised(norm), messages()
    if state is None:
        found["state"] = jobs.trained("classify", double=True, keep_at=STOP)["state"]
        found["single"] = jobs.trained("classify")
        kept, gradients.summed = gradients.summed, shared
        found["wrong"] = jobs.trained("centernet", 5, double=True)["weights"]
        gradients.summed = kept
    else:
        found["resumed"] = resumed(state, "classify")
        found["few"] = jobs.trained("classify", 4, double=True, batch=2)
        found["few crops"] = jobs.trained("instances", 3, double=True, batch=2)
    return found


@pytest.fixture(scope="module")
def norm() -> Any:
    """Images (5, 3, 4, 4), gradients, and a layer."""
    draw = torch.Generator().manual_seed(4)
    layer = torch.nn.BatchNorm2d(3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 2.0, 1.0]))
    x = torch.randn(5, 3, 4, 4, generator=draw, dtype=torch.float64) * 3 + 5
    return x, torch.randn(5, 3, 4, 4, generator=draw, dtype=torch.float64), layer.state_dict()


@pytest.fixture(scope="module")
def two(norm: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return ranks.together(2, work, TWO, norm, None, folder=tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def three(two: Any, norm: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return ranks.together(
        3, work, THREE, norm, two[0]["state"], folder=tmp_path_factory.mktemp("three")
    )


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    return {n: jobs.trained(n, steps_of(n), double=True) for n in {*TWO, *THREE}}


def norm_of_two(norm: Any) -> Any:
    return norm  # 4 and 1 of the images


def gap(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """How far weights lie apart, over their length."""
    x, y = (
        torch.cat([t.double().flatten() for n, t in w.items() if t.is_floating_point()])
        for w in (a, b)
    )
    return float((x - y).norm() / y.norm())


CASES = [(2, name) for name in TWO] + [(3, name) for name in THREE]


@pytest.mark.parametrize(("size", "name"), CASES, ids=[f"{name}-{size}" for size, name in CASES])
def test_several_processes_train_as_one(
    request: pytest.FixtureRequest, one: dict[str, Any], size: int, name: str
) -> None:
    alone, several = (
        one[name],
        [r[name] for r in request.getfixturevalue({2: "two", 3: "three"}[size])],
    )
    for each in several:
        assert gap(each["weights"], alone["weights"]) < 1e-12
        assert all(torch.equal(t, several[0]["weights"][n]) for n, t in each["weights"].items())
        assert each["losses"] == pytest.approx(alone["losses"], rel=1e-6)  # shown in float32
        assert torch.equal(each["rng"], alone["rng"])
        if alone["averaged"]:
            assert gap(each["averaged"], alone["averaged"]) < 1e-12
    for step, whole in enumerate(alone["samples"]):
        everyones = list(itertools.chain(*(each["samples"][step] for each in several)))
        assert sorted(everyones) == sorted(whole)
        if name != "micro":  # of which every micro-batch is shared out
            assert everyones == whole


def test_in_single_precision_weights_and_scores_are_equal_to_rounding(two: Any) -> None:
    alone, several = jobs.trained("classify"), two[0]["single"]
    assert gap(several["weights"], alone["weights"]) < 1e-6
    for now, then in zip(
        several["scores"], alone["scores"], strict=True
    ):  # of 8 images, and of 9 in no two equal parts
        assert now == pytest.approx(then, rel=1e-4)


def test_a_normaliser_of_each_process_is_seen(two: Any) -> None:
    right = jobs.trained("centernet", 5, double=True)["weights"]
    assert gap(two[0]["wrong"], right) > 1e-6


def test_what_two_saved_one_and_three_finish(one: Any, two: Any, three: Any) -> None:
    whole = one["classify"]["weights"]
    assert gap(resumed(two[0]["state"], "classify"), whole) < 1e-12
    assert all(gap(each["resumed"], whole) < 1e-12 for each in three)


def test_a_process_without_an_image_takes_part(three: Any) -> None:
    alone = jobs.trained("classify", 4, double=True, batch=2)
    crops = jobs.trained("instances", 3, double=True, batch=2)
    assert all(samples == [] for samples in three[2]["few"]["samples"])
    for each in three:
        assert gap(each["few"]["weights"], alone["weights"]) < 1e-12
        assert gap(each["few crops"]["weights"], crops["weights"]) < 1e-12


@pytest.mark.parametrize("size", ["two", "three"])
def test_batch_norm_and_dropout_are_those_of_all_images(
    request: pytest.FixtureRequest, norm: Any, size: str
) -> None:
    x, dy, state = norm
    found = [each["norm"] for each in request.getfixturevalue(size)]
    x = x.clone().requires_grad_()
    layer = torch.nn.BatchNorm2d(3).double()
    layer.load_state_dict(state)
    y = layer(x)
    (y * dy).sum().backward()
    for name, right in {"y": y.detach(), "dx": x.grad}.items():
        torch.testing.assert_close(
            torch.cat([f[name] for f in found]), right, rtol=1e-12, atol=1e-12
        )
    for each in found:
        torch.testing.assert_close(each["dw"], layer.weight.grad, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(each["db"], layer.bias.grad, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(each["mean"], layer.running_mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(each["var"], layer.running_var, rtol=1e-12, atol=1e-12)
    kept = torch.cat([f["kept"] for f in found])
    assert kept.shape == x.shape and set(kept.unique().tolist()) == {0.0, 2.0}


def test_errors_of_one_process_are_those_of_all(three: Any) -> None:
    said = [each["messages"] for each in three]
    assert said[0] == said[1] == said[2]
    one = said[0]
    assert one["together"].startswith("UsageError: process 1 of 3 on ") and one[
        "together"
    ].endswith("no such data")
    assert one["first"] == "TrainingError: the first one cannot"
    assert (
        "the version is '1.0' in process 0" in one["differ"]
        and "'1.1' in process 1" in one["differ"]
    )
    assert "the digest of the weights" in one["drift"] and "went apart" in one["drift"]
    assert "3 processes gave 3 results for 7 images" in one["missing"]
    assert one["highest"] == "[2.0, -0.0]" and one["any"] == "True False False"
    assert one["order"] == str([i * i for i in range(7)])
