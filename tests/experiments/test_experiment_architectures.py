"""The architecture experiment in small: who is chosen, on how many images, and sentences that fit the numbers."""

from __future__ import annotations

import pytest

from striate.experiments.architecture_pages import family, ranks, short
from striate.experiments.architectures import (
    PASSES,
    SHARE,
    Candidate,
    Sizes,
    architectures,
    choose,
)
from striate.experiments.setting import Setting
from striate.experiments.table import run_experiment
from striate.findings import Finding
from striate.geometry import trace
from striate.models import build, names

SMALL = Sizes(side=12, limit=160, networks=("mlp", "compact", "nin"))


def candidate(name: str, seconds: float) -> Candidate:
    return Candidate(name=name, macs=1, parameters=1, seconds=seconds)


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in architectures(Setting(seed=1, budget=6.0), SMALL)}


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
    with pytest.raises(UsageError, match="more than 0 seconds, got -1"):
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
