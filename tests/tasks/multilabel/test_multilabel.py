"""Tags: the metric against scikit-learn's, thresholds, counts, baselines, and a run from a table to its predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score

import striate
from striate.cli import main
from striate.errors import UsageError
from striate.runs.explaining import explain_files
from striate.tasks.multilabel.findings.calibration import calibration
from striate.tasks.multilabel.findings.headline import baselines, headline
from striate.tasks.multilabel.findings.per_tag import per_tag
from striate.tasks.multilabel.loss import BinaryCrossEntropy
from striate.tasks.multilabel.metric import MeanAveragePrecision, average_precision
from striate.tasks.multilabel.task import Multilabel
from striate.tasks.multilabel.thresholds import best_threshold
from striate.tasks.table import task_for
from striate.training.batch import Batch


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(14)


@pytest.mark.parametrize("step", [0.0, 0.25], ids=["distinct", "ties"])
def test_average_precision_is_that_of_scikit_learn(rng: np.random.Generator, step: float) -> None:
    scores = rng.random((60, 3))
    scores = np.floor(scores / step) * step if step else scores
    targets = (rng.random((60, 3)) < (0.1, 0.4, 0.8)).astype(float)
    weights = rng.integers(0, 4, (5, 60))
    found = average_precision(scores, targets, weights)
    for w, row in zip(weights, found, strict=True):
        for k in range(3):
            peer = average_precision_score(targets[:, k], scores[:, k], sample_weight=w)
            assert row[k] == pytest.approx(peer, abs=1e-12)


def test_a_worked_example_of_mean_average_precision() -> None:
    # Tag 0: ranked yes, no, yes: (1/1 + 2/3) / 2. Tag 1: no, yes: 1/2. Tag 2 does not occur and does not count.
    logits = torch.tensor([[3.0, 1.0, 0.0], [2.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    metric = MeanAveragePrecision()
    evidence = metric.evidence(logits, targets)
    assert evidence.shape == (3, 2, 3)
    assert metric.score(evidence)["map"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    # Without its only image, tag 1 keeps its 1/2; tag 0 is ranked no, yes.
    left = metric.score(evidence, np.array([[0, 1, 1], [1, 1, 1]]))["map"]
    assert left == pytest.approx([(1 / 2 + 1 / 2) / 2, (5 / 6 + 1 / 2) / 2])


def test_the_loss_adds_up_over_micro_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, generator=generator, dtype=torch.float32)
    targets = (torch.rand(7, 3, generator=generator) < 0.5).float()
    loss = BinaryCrossEntropy()
    whole = loss(logits, Batch(logits, targets))
    parts = [loss(logits[i : i + 3], Batch(logits[i : i + 3], targets[i : i + 3])) for i in (0, 3, 6)]  # fmt: skip
    assert float((parts[0] + parts[1] + parts[2]).mean) == pytest.approx(
        float(whole.mean), rel=1e-6
    )
    byhand = -(targets * logits.sigmoid().log() + (1 - targets) * (1 - logits.sigmoid()).log())
    assert float(whole.mean) == pytest.approx(float(byhand.mean()), rel=1e-5)


def test_the_threshold_is_the_best_of_all(rng: np.random.Generator) -> None:
    scores = np.round(rng.random(80), 2)
    targets = (rng.random(80) < scores * 0.6).astype(float)
    chosen = best_threshold(scores, targets)
    every = [f1_score(targets, scores >= cut) for cut in np.linspace(0, 1, 401)]
    assert f1_score(targets, scores >= chosen) == pytest.approx(max(every))


def test_too_few_images_with_a_tag_leave_its_threshold_at_a_half() -> None:
    assert best_threshold(np.linspace(0, 1, 40), (np.arange(40) > 35).astype(float)) == 0.5


def test_baselines_are_the_best_constant_answers(rng: np.random.Generator) -> None:
    targets = (rng.random((50, 3)) < (0.2, 0.5, 0.7)).astype(float)
    share = targets.mean(0)
    precision, macro, micro, exact = baselines(targets)
    assert precision == pytest.approx(share.mean())
    answers = [np.array([a, b, c]) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    given = [np.tile(answer, (50, 1)) for answer in answers]
    assert micro == pytest.approx(max(f1_score(targets, g, average="micro", zero_division=0) for g in given))  # fmt: skip
    assert macro == pytest.approx(max(f1_score(targets, g, average="macro", zero_division=0) for g in given))  # fmt: skip
    assert exact == max(float((targets == g).all(1).mean()) for g in given)


def test_the_headline_and_its_interval(rng: np.random.Generator) -> None:
    targets = (rng.random((120, 3)) < 0.4).astype(float)
    shares = np.clip(0.5 * targets + 0.6 * rng.random((120, 3)), 0, 1)
    cuts = np.array([0.5, 0.55, 0.6])
    found = headline(shares, targets, cuts)
    numbers = found.data["mean_average_precision"]
    peer = np.mean([average_precision_score(targets[:, k], shares[:, k]) for k in range(3)])
    assert numbers["value"] == pytest.approx(peer)
    assert numbers["low"] < peer < numbers["high"]
    assert found.data["macro_F1"]["value"] == pytest.approx(f1_score(targets, shares >= cuts, average="macro"))  # fmt: skip
    assert found.data["micro_F1"]["value"] == pytest.approx(f1_score(targets, shares >= cuts, average="micro"))  # fmt: skip
    assert found.status == "good"


def test_a_tag_that_no_image_has_is_named(rng: np.random.Generator) -> None:
    targets = np.zeros((30, 2))
    targets[::2, 0] = 1
    found = per_tag(rng.random((30, 2)), targets, ("cat", "owl"), np.array([0.5, 0.5]), trained_on=targets)  # fmt: skip
    assert found.data["absent"] == found.data["never_trained"] == ["owl"]
    assert found.status == "warning"
    assert found.data["average_precision"][1] is None


def test_calibration_tells_the_honest_from_the_boastful(rng: np.random.Generator) -> None:
    shares = rng.random((2000, 2))
    targets = (rng.random((2000, 2)) < shares).astype(float)
    boast = shares.copy()
    boast[:, 1] = np.clip(shares[:, 1] * 1.5, 0, 1)
    assert calibration(shares, targets, ("a", "b")).data["off"] == []
    assert calibration(boast, targets, ("a", "b")).data["off"] == ["b"]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of 12 x 12 pixels: "red" has a red half, "bright" is bright."""
    root = tmp_path_factory.mktemp("tagged")
    draw = np.random.default_rng(0)
    lines = ["file,tags"]
    for i in range(60):
        red, bright = i % 2 == 0, i % 3 == 0
        pixels = draw.integers(0, 60, (12, 12, 3)) + 120 * bright
        pixels[:, :6, 0] += 70 * red
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{i:02}.png")
        tags = [name for name, has in (("red", red), ("bright", bright)) if has]
        lines.append(f"{i:02}.png,{' '.join(tags) or 'none'}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def run(tagged: Path, tmp_path_factory: pytest.TempPathFactory) -> striate.Run:
    out = tmp_path_factory.mktemp("runs") / "tags"
    return striate.train(
        str(tagged / "labels.csv"), out=out, epochs=2, model="[conv8-relu-pool]*2-fc", val=0.3, device="cpu"
    )  # fmt: skip


def test_the_folder_and_its_table_are_tags(tagged: Path) -> None:
    assert isinstance(task_for(tagged), Multilabel)
    assert isinstance(task_for(tagged / "labels.csv"), Multilabel)


def test_a_run_holds_thresholds_and_says_how_good_it_is(run: striate.Run) -> None:
    again = striate.load(run.path)
    assert again.classes == ("bright", "red")
    assert len(again.info["calibration"]["thresholds"]) == 2
    assert 0 <= again.info["results"]["map"] <= 1
    names = {f.name for f in again.findings()}
    assert {"headline", "per-tag", "calibration", "mistakes", "explanations", "filters"} <= names
    assert "2 tags" in (run.path / "report.html").read_text()


def test_predictions_follow_the_thresholds(
    run: striate.Run, tagged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["predict", str(run.path), str(tagged / "00.png"), "--format", "json"])
    (document,) = json.loads(capsys.readouterr().out)
    cuts = dict(zip(run.classes, run.info["calibration"]["thresholds"], strict=True))
    given = {one["tag"] for one in document["tags"]}
    assert given == {t["tag"] for t in document["top"] if t["probability"] >= cuts[t["tag"]]}
    image = torch.from_numpy(run.trained.read(tagged / "00.png"))[None] / 255
    logits = run.trained.pixels(image)[0].detach()
    for one in document["top"]:
        expected = float(logits[run.classes.index(one["tag"])].sigmoid())
        assert one["probability"] == pytest.approx(expected, abs=0.01)  # bfloat16 in prediction


def test_the_likeliest_tag_is_explained_if_none_is_asked_for(
    run: striate.Run, tagged: Path
) -> None:
    image = tagged / "00.png"
    x = torch.from_numpy(run.trained.read(image)).float()[None] / 255
    best = run.classes[int(run.trained.pixels(x)[0].argmax())]
    names = []
    for target in (None, "red", "bright"):
        (found,) = explain_files(run.trained, [str(image)], target=target, methods=["gradient"], trust=False)  # fmt: skip
        assert found.explanation is not None
        names.append(found.explanation.target.partition(" (")[0])
    assert names == [best, "red", "bright"]


def test_label_smoothing_means_nothing_here(tagged: Path) -> None:
    with pytest.raises(UsageError, match="is a setting of other tasks and has no effect"):
        striate.train(str(tagged), label_smoothing=0.1)


def test_the_gradient_of_the_loss_is_exact_in_float64() -> None:
    output = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0]] * 4)
    assert torch.autograd.gradcheck(
        lambda x: BinaryCrossEntropy()(x, Batch(x, targets)).mean, output.requires_grad_()
    )
