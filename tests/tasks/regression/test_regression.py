"""Numbers: metrics against numpy and scikit-learn, conformal coverage, units, and a run from a table to its predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import mean_absolute_error as sklearn_mae
from sklearn.metrics import r2_score

import striate
from striate.cli import main
from striate.errors import DataError, UsageError
from striate.runs.explaining import explain_files
from striate.tasks.regression.conformal import least_images, radius_of
from striate.tasks.regression.findings.headline import headline
from striate.tasks.regression.findings.intervals import intervals
from striate.tasks.regression.findings.scatter import predicted_against_true
from striate.tasks.regression.loss import Huber
from striate.tasks.regression.metric import RSquared, mean_absolute_error, r_squared
from striate.tasks.regression.prediction import Number
from striate.tasks.regression.settings import RegressionSettings
from striate.tasks.regression.task import Regression
from striate.tasks.table import open_source, task_for
from striate.training.batch import Batch


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(13)


def test_metrics_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    targets = rng.normal(1e4, 3, (60, 2))  # far from 0, where a careless variance would cancel
    values = targets + rng.normal(0, 1, (60, 2))
    weights = rng.integers(0, 4, (5, 60))
    for w, r2, mae in zip(
        weights, r_squared(values, targets, weights), mean_absolute_error(values, targets, weights), strict=True
    ):  # fmt: skip
        peers = {"sample_weight": w, "multioutput": "raw_values"}
        np.testing.assert_allclose(r2, r2_score(targets, values, **peers), rtol=1e-6)
        np.testing.assert_allclose(mae, sklearn_mae(targets, values, **peers), rtol=1e-9)


def test_a_worked_example_of_the_metric() -> None:
    metric = RSquared()
    targets = torch.tensor([[0.0], [1.0], [2.0]])
    evidence = metric.evidence(torch.tensor([[0.0], [2.0], [2.0]]), targets)
    assert evidence.shape == (3, 2, 1)
    scores = metric.score(evidence)
    assert list(scores) == ["r2", "mae"]
    assert scores["r2"] == pytest.approx(1 - 1 / 2)  # error 1, spread (1 + 0 + 1)
    assert scores["mae"] == pytest.approx(1 / 3)
    assert np.isnan(metric.score(evidence, np.array([0, 0, 1]))["r2"])  # one number has no spread


def test_huber_is_square_then_straight_and_adds_up() -> None:
    output, target = torch.tensor([[0.5], [3.0], [0.0]]), torch.zeros(3, 1)
    loss = Huber(1.0)
    whole = loss(output, Batch(output, target))
    assert float(whole.mean) == pytest.approx((0.5 * 0.25 + (3 - 0.5) + 0) / 3)
    parts = [loss(output[i : i + 1], Batch(output[i : i + 1], target[i : i + 1])) for i in range(3)]
    assert float((parts[0] + parts[1] + parts[2]).mean) == pytest.approx(float(whole.mean))


@pytest.mark.parametrize("n", [9, 20, 100])
def test_a_radius_holds_as_many_as_it_promises(n: int) -> None:
    # The chance that a further error lies within is rank / (n + 1), whatever the distribution: here averaged over draws.
    rng = np.random.default_rng(n)
    errors = rng.exponential(size=(4000, n + 1))
    held = [row[-1] <= (radius_of(row[:-1]) or 0.0) for row in errors]
    expected = np.ceil((n + 1) * 0.9 - 1e-9) / (n + 1)
    assert np.mean(held) == pytest.approx(expected, abs=4 * np.sqrt(0.1 * 0.9 / 4000))
    assert 0.9 - 1e-9 <= expected < 0.9 + 1 / (n + 1)


def test_too_few_images_promise_nothing() -> None:
    assert least_images() == 9
    assert radius_of(np.arange(8.0)) is None
    assert radius_of(np.arange(9.0)) == 8.0


def test_the_headline_against_numpy(rng: np.random.Generator) -> None:
    taught = rng.normal(40, 10, (200, 1))
    targets = rng.normal(40, 10, (150, 1))
    values = targets + rng.normal(0, 2, (150, 1))
    found = headline(values, targets, ("age [years]",), taught)
    (one,) = found.data["targets"]
    assert one["mae"]["value"] == pytest.approx(np.abs(values - targets).mean())
    assert one["rmse"]["value"] == pytest.approx(np.sqrt(((values - targets) ** 2).mean()))
    assert one["r2"]["value"] == pytest.approx(r2_score(targets, values))
    assert one["mae_of_median"] == pytest.approx(np.abs(targets - np.median(taught)).mean())
    assert one["mae"]["low"] < one["mae"]["value"] < one["mae"]["high"]
    assert found.status == "good"
    assert "years on average" in found.verdict


def test_a_network_that_knows_nothing_is_named(rng: np.random.Generator) -> None:
    taught, targets = rng.normal(size=(200, 1)), rng.normal(size=(150, 1))
    assert headline(rng.normal(size=(150, 1)), targets, ("x",), taught).status == "problem"


def test_predictions_that_are_drawn_to_the_middle_are_named(rng: np.random.Generator) -> None:
    targets = rng.normal(size=(100, 1))
    found = predicted_against_true(0.5 * targets, targets, ("x",), None)
    assert found.data["slopes"]["x"] == pytest.approx(0.5)
    assert "drawn to the middle" in found.verdict


def test_intervals_that_hold_too_little_are_named(rng: np.random.Generator) -> None:
    targets = rng.normal(size=(300, 1))
    zero = np.zeros_like(targets)
    honest = intervals(zero, targets, ("x",), [1.645], calibrated_on=300, independent=True)
    narrow = intervals(zero, targets, ("x",), [1.0], calibrated_on=300, independent=True)
    assert (honest.status, narrow.status) == ("good", "warning")
    assert honest.data["coverage"] == [np.mean(np.abs(targets) <= 1.645)]
    assert intervals(zero, targets, ("x",), None, calibrated_on=3, independent=True).status == "note"  # fmt: skip


@pytest.mark.parametrize(
    ("number", "texts"),
    [
        (Number(name="age", unit="years", value=34.2345, low=30.1, high=38.4), ("34.2 years", "30.1 to 38.4 years")),
        (Number(name="x", value=0.012346, low=0.0120, high=0.0126), ("0.01235", "0.01200 to 0.01260")),
        (Number(name="x", unit="EUR", value=123456.0, low=110000.0, high=140000.0), ("123000 EUR", "110000 to 140000 EUR")),
        (Number(name="x", value=2.0), ("2", "")),
        (Number(name="x", value=-0.001, low=-1.0, high=1.0), ("0.0", "-1.0 to 1.0")),
    ],
    ids=["years", "small", "large", "no-interval", "zero"],
)  # fmt: skip
def test_numbers_are_rounded_to_what_is_certain(number: Number, texts: tuple[str, str]) -> None:
    assert number.texts() == texts


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"huber": 0.0}, "huber must be greater than 0"), ({"center": "3"}, "center is found from the training targets")],
    ids=["huber", "center"],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        RegressionSettings(**settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 grey images of 8 x 8 pixels; the first number is 10 times their brightness, the second in no relation."""
    root = tmp_path_factory.mktemp("measured")
    draw = np.random.default_rng(0)
    lines = ["file,brightness [nits],weight_kg"]
    for i in range(90):
        level = draw.uniform(40, 200)
        pixels = np.clip(level + draw.normal(0, 10, (8, 8)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{i:02}.png")
        lines.append(f"{i:02}.png,{10 * level:.2f},{draw.uniform(1, 2):.3f}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def run(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> striate.Run:
    out = tmp_path_factory.mktemp("runs") / "numbers"
    return striate.train(
        str(measured), out=out, epochs=12, model="[conv8-relu-pool]*1-fc", targets="brightness", val=0.3, device="cpu",
        precision="fp32", shift=0, rotate=0.0, scale=1.0, optimizer="adamw", lr=0.01, batch=8,
    )  # fmt: skip


def test_the_table_is_of_numbers(measured: Path) -> None:
    assert isinstance(task_for(measured), Regression)
    source = open_source(measured)
    assert source.classes == ("brightness [nits]", "weight_kg")
    targets = Regression().targets(source.train)
    np.testing.assert_allclose(targets.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(targets.std(0, correction=0), 1, atol=1e-5)


def test_a_run_learns_the_number_in_its_unit(run: striate.Run, measured: Path) -> None:
    again = striate.load(run.path)
    calibration = again.info["calibration"]
    source = open_source(measured, targets="brightness", val=0.3)
    assert calibration["center"] == pytest.approx([source.train.targets.mean()], rel=1e-5)
    assert again.info["results"]["r2"] > 0.9
    files = [str(measured / key) for key in source.test.keys]
    values = [p.numbers[0].value for p in striate.predict(again, files)]  # type: ignore[attr-defined]
    assert r2_score(source.test.targets[:, 0], values) == pytest.approx(again.info["results"]["r2"], abs=1e-3)  # fmt: skip
    names = {f.name: f for f in again.findings()}
    assert {"headline", "predicted-true", "intervals", "worst", "explanations", "filters"} <= names.keys()  # fmt: skip
    inside = np.abs(np.array(values) - source.test.targets[:, 0]) <= calibration["radii"][0]
    assert names["intervals"].data["coverage"] == pytest.approx([inside.mean()])


def test_predict_prints_value_interval_and_unit(
    run: striate.Run, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["predict", str(run.path), str(measured / "00.png"), "--format", "json"])
    ((number,),) = (d["numbers"] for d in json.loads(capsys.readouterr().out))
    assert (number["target"], number["unit"], number["level"]) == ("brightness", "nits", 0.9)
    (radius,) = run.info["calibration"]["radii"]
    assert (number["high"] - number["low"]) / 2 == pytest.approx(radius, rel=1e-4)
    assert number["low"] + radius == pytest.approx(number["value"], rel=1e-4)


def test_the_number_is_explained_in_its_unit(run: striate.Run, measured: Path) -> None:
    (found,) = explain_files(run.trained, [str(measured / "00.png")], methods=["gradient"], trust=False)  # fmt: skip
    assert found.explanation is not None
    (prediction,) = striate.predict(run, [str(measured / "00.png")])
    assert found.explanation.target == f"brightness {prediction.scalars['brightness']:.4g} nits"


def test_other_columns_than_were_learned_are_refused(run: striate.Run, measured: Path) -> None:
    both = run.recipe.settings.__class__(center=(1.0,), spread=(1.0,))
    with pytest.raises(DataError, match="and 1 were learned; choose them with --set targets=NAME"):
        Regression().open(run.recipe.replace(settings=both))


def test_the_gradient_of_the_loss_is_exact_in_float64() -> None:
    output = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0]] * 4)
    assert torch.autograd.gradcheck(
        lambda x: Huber()(x, Batch(x, targets)).mean, output.requires_grad_()
    )
