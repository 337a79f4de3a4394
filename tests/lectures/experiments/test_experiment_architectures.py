"""The architecture experiment in small: who is chosen, on how many images, and sentences that fit the numbers."""

from __future__ import annotations

import pytest
from torch import nn

from striate.findings import Finding
from striate.geometry import trace
from striate.lectures.experiments.architectures import run as experiment
from striate.lectures.experiments.architectures.pages import family, ranks, short
from striate.lectures.experiments.architectures.run import (
    PASSES,
    SHARE,
    Candidate,
    Sizes,
    architectures,
    choose,
)
from striate.lectures.experiments.setting import Setting
from striate.lectures.experiments.table import run_experiment
from striate.models import build, names

SMALL = Sizes(side=12, limit=160, networks=("mlp", "compact", "nin"))


def candidate(name: str, seconds: float) -> Candidate:
    return Candidate(name=name, macs=1, parameters=1, seconds=seconds)


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in architectures(Setting(seed=1, budget=600.0), SMALL)}


def test_all_are_kept_where_they_fit_and_see_as_many_images_as_fit() -> None:
    kept, out, images = choose([candidate("a", 0.01), candidate("b", 0.03)], 100, 40.0)
    assert [c.name for c in kept] == ["a", "b"]
    assert not out
    assert images == int(SHARE * 40 / 0.04)


def test_the_costliest_go_first_and_it_is_said_what_they_would_take() -> None:
    kept, out, images = choose(
        [candidate("dear", 1.0), candidate("a", 0.01), candidate("b", 0.03)], 100, 12.0
    )
    assert [c.name for c in kept] == ["a", "b"]
    assert f"take about {PASSES[0] * 100:.0f} s of the budget of 12 s" in out["dear"]
    assert images * 0.04 <= SHARE * 12


def test_no_more_images_than_help() -> None:
    assert choose([candidate("a", 1e-6)], 100, 1000.0)[2] == PASSES[1] * 100


def test_every_classifier_of_the_zoo_takes_the_images_of_the_experiment() -> None:
    assert Sizes().networks == ()
    for name in ("vgg19", "alexnet", "googlenet", "nin"):
        build(name, in_channels=1, num_classes=10, size=Sizes().side)
    assert len(names()) > 20


def test_costs_are_those_of_the_geometry(pages: dict[str, Finding]) -> None:
    found = pages["architectures-costs"].data["networks"]
    for name, numbers in found.items():
        geometry = trace(build(name, in_channels=1, num_classes=10, size=12), (1, 1, 12, 12))
        assert numbers["macs"] == geometry.total_macs
        assert numbers["parameters"] == geometry.total_params


def test_who_does_not_take_the_images_is_listed_with_the_reason(pages: dict[str, Finding]) -> None:
    page = pages["architectures-left-out"]
    assert "nin" not in pages["architectures-costs"].data["networks"]
    assert "shrinks an image of 12 x 12 pixels" in page.data["left_out"]["nin"]
    assert page.verdict.startswith("1 of 3 classifiers is left out: nin")


def test_the_sentence_is_the_table(pages: dict[str, Finding]) -> None:
    page = pages["architectures-costs"]
    mean = {n: sum(v["accuracy"]) / len(v["accuracy"]) for n, v in page.data["networks"].items()}
    best = max(mean, key=mean.__getitem__)
    assert f"{best} is best of 2" in page.verdict
    assert page.data["key_figure"]["value"] == pytest.approx(mean[best])
    assert {row[0]: row[1] for row in page.tables[0].rows} == pytest.approx(mean)
    assert best in page.data["front"]
    assert mean[best] > 0.3


def test_a_budget_is_for_experiments_that_take_one() -> None:
    from striate.errors import UsageError

    with pytest.raises(UsageError, match="shift takes no budget"):
        run_experiment("shift", Setting(budget=5.0))
    with pytest.raises(UsageError, match=r"budget must be greater than 0 and at most .*, got -1"):
        Setting(budget=-1.0)


def test_words_and_ranks() -> None:
    assert [short(n) for n in (12, 3_400, 21_380_000, 3.72e9)] == [
        "12",
        "3.4 k",
        "21.4 M",
        "3.72 G",
    ]
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [2.5, 0, 2.5, 1]
    assert family("vgg16-bn") == "VGG"
    assert family("compact") == "compact, mlp, EfficientNet"


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def timed(
    monkeypatch: pytest.MonkeyPatch, budget: float, slower: float
) -> tuple[float, dict[str, Finding]]:
    """The whole zoo with 20 s of measuring and training that takes `slower` times what was measured: (seconds, pages)."""
    clock = Clock()

    def measure(name: str, sizes: Sizes, dtype: object) -> Candidate:
        clock.now += 20.0
        cost = 1 + names().index(name)
        return Candidate(name=name, macs=cost, parameters=cost, seconds=0.001 * cost)

    def learn(
        model: object,
        x: object,
        y: object,
        optimizer: object,
        *,
        steps: int,
        batch: int,
        what: str,
        **rest: object,
    ) -> None:
        clock.now += slower * 0.001 * (1 + names().index(what.removeprefix("training: "))) * steps * batch  # fmt: skip

    monkeypatch.setattr(experiment, "measure", measure)
    monkeypatch.setattr(experiment, "learn", learn)
    monkeypatch.setattr(experiment, "share_right", lambda *args: 0.5)
    monkeypatch.setattr(experiment, "make", small)
    found = architectures(Setting(budget=budget, clock=clock), Sizes(side=12, limit=100))
    return clock.now, {f.name: f for f in found}


def small(name: str, sizes: Sizes, seed: int) -> nn.Module:
    return build("conv4-relu-gap-fc", in_channels=1, num_classes=10, size=sizes.side)


@pytest.mark.parametrize("slower", [1.0, 3.0])
@pytest.mark.parametrize("budget", [60.0, 200.0, 600.0])
def test_a_budget_bounds_measuring_and_training(
    budget: float, slower: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    took, found = timed(monkeypatch, budget, slower)
    page = found["architectures-costs"]
    assert took <= budget
    assert "budget of 0 s" not in str(found["architectures-left-out"].to_dict())
    trained = page.data["networks"]
    assert len(trained) + len(found["architectures-left-out"].data["left_out"]) == len(names())
    if len(trained) == 1:
        assert "best of" not in page.verdict
    assert ("rank correlation" in page.verdict) == (len(trained) >= 5)
    assert bool(page.data["rank_correlation"]) == (len(trained) >= 5)


def test_one_network_alone_is_no_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = timed(monkeypatch, 25.0, 1.0)
    verdict = found["architectures-costs"].verdict
    assert verdict.startswith("Only compact was trained (")
    assert "One network says nothing about cost" in verdict
