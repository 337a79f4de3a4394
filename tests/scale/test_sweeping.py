"""Sweeps: what is tried, how a budget is shared, and that a sweep that stops or is shared ends as one that did not."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate import api
from striate.cli import main
from striate.errors import UsageError
from striate.runs import evaluate, sweeping
from striate.runs.space import Range, Space, halved
from striate.runs.sweep_page import Trial, sweep_finding, validated
from striate.runs.sweeping import sweep
from striate.training.checkpoint import digest_of

SMALL: dict[str, Any] = {"epochs": 1, "limit": 40, "batch": 20, "device": "cpu"}
PATTERNS = ["model=[conv2-relu-pool]-fc,[conv3-relu-pool]-fc"]


def test_what_is_tried_is_every_combination() -> None:
    space = Space.parse(["lr=0.1, 0.01", "model=[conv8-relu]*2-fc(3,4),lenet5", "batch-size=8"])
    assert list(space.settings) == ["lr", "model", "batch_size"]
    assert space.grid() == [
        {"lr": lr, "model": model, "batch_size": "8"}
        for lr in ("0.1", "0.01")
        for model in ("[conv8-relu]*2-fc(3,4)", "lenet5")
    ]  # fmt: skip
    assert Space.parse(["lr=1e-4..1e-1"]).settings["lr"] == Range(1e-4, 1e-1, False)
    assert Space.parse(["width=4..64"]).settings["width"] == Range(4, 64, True)


def test_ranges_are_drawn_evenly_on_their_scale() -> None:
    space = Space.parse(["lr=1e-4..1e-1", "rotate=0..10", "width=1..4", "flip=true,false"])
    drawn = space.drawn(2000, seed=1)
    assert drawn == space.drawn(2000, seed=1) != space.drawn(2000, seed=2)
    logs = np.log10([float(d["lr"]) for d in drawn])
    assert logs.min() >= -4 and logs.max() <= -1 and abs(logs.mean() + 2.5) < 0.1
    assert {d["width"] for d in drawn} == {"1", "2", "3", "4"}
    shares = np.bincount([int(d["rotate"]) for d in drawn], minlength=11) / 2000
    assert shares.min() > 0.05 and shares.max() < 0.14
    few = Space.parse(["a=1,2,3", "b=x,y"])
    assert sorted(map(str, few.drawn(6, 0))) == sorted(map(str, few.grid()))
    assert len(few.drawn(60, 0)) == 6  # none twice


@pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 27, 100])
def test_halving_spends_its_budget_and_ends_with_one(count: int) -> None:
    rungs = halved(count, 90.0)
    assert sum(n * s for n, s in rungs) == pytest.approx(90)
    assert rungs[0][0] == count and rungs[-1][0] == 1
    for (n, s), (m, t) in pairwise(rungs):
        assert m == -(-n // 3) and n * s == pytest.approx(m * t)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--over", "lr"], "--over takes NAME=VALUE,VALUE"),
        (["--over", "lr=0.1,"], "--over takes NAME=VALUE,VALUE"),
        (["--over", "lr=0.1,0.1"], "has 0.1 twice"),
        (["--over", "lr=0.1,-1"], "the trial lr=-1 cannot be trained: lr must be greater than 0"),
        (["--over", "lr=0.1,abc"], "the trial lr=abc cannot be trained"),
        (
            ["--over", "rate=0.1"],
            "the trial rate=0.1 cannot be trained: no setting is called 'rate'",
        ),
        (
            ["--over", "model=lenet5"],
            "the trial model=lenet5 cannot be trained: lenet5 shrinks an image of 8 x 8",
        ),
        (["--over", "model=resnet999"], "the trial model=resnet999 cannot be trained"),
        (["--over", "lr=1..0.1"], "from a smaller to a larger"),
        (["--over", "lr=0.1..1"], "is a range, of which trials are drawn; give --trials"),
        (["--over", "lr=0.1", "--budget", "4s"], "gives each of 1 trials 4.0 s"),
        (["--over", "lr=0.1", "--budget", "1m", "--epochs", "2"], "two ways to say how long"),
        (["--over", "lr=0.1", "--sampler", "random"], "random draws trials"),
        (["--over", "lr=0.1", "--sampler", "best"], "--sampler is one of grid, random, optuna"),
        (["--over", "lr=0.1", "--set", "lr=0.2"], "lr is given and swept over"),
        (["--over", "lr=0.1", "--shard", "3/2"], "--shard is K/N"),
        ([], "a sweep needs --over"),
    ],
)
def test_what_cannot_be_tried_is_named_before_anything_trains(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["sweep", "digits", *arguments, "-o", str(tmp_path / "s")])
    assert end.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert words in said
    assert not (tmp_path / "s").exists()


def weights(folder: Path) -> dict[str, str]:
    return {
        p.name: digest_of(api.load(p).model.state_dict())
        for p in sorted(folder.glob("trial-???"))
        if p.is_dir()
    }


def test_a_sweep_that_is_stopped_or_shared_ends_as_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        evaluate, "explain_in_time", lambda *given: None
    )  # which take most of a short trial
    right = sweep("digits", over=PATTERNS, out=tmp_path / "one", **SMALL)
    assert (
        right.data["best"] in ("trial-000", "trial-001")
        and (tmp_path / "one" / "sweep.html").is_file()
    )
    assert len(weights(tmp_path / "one")) == 2
    rows = {row["run"]: row for row in right.data["trials"]}
    best = max(rows.values(), key=lambda row: row["score"])
    assert best["run"] == right.data["best"]
    for name, row in rows.items():
        run = api.load(tmp_path / "one" / name)
        assert (
            row["score"] == run.metrics[-1]["val_accuracy"]
            and row["measure"] == "validation accuracy"
        )
        headline = next(f for f in run.findings() if f.name == "headline")
        assert (row["low"], row["high"]) == (
            headline.data["accuracy"]["low"],
            headline.data["accuracy"]["high"],
        )

    # Stopped in the second trial, then gone on with, by two at once.
    ordinary, count = sweeping.train, 0

    def stopped(*given: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return ordinary(*given, **more)

    monkeypatch.setattr(sweeping, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        sweep("digits", over=PATTERNS, out=tmp_path / "two", **SMALL)
    assert len(weights(tmp_path / "two")) == 1
    first = (tmp_path / "two" / "trial-000" / "model.safetensors").stat().st_mtime_ns
    found: list[Any] = [sweep("digits", over=PATTERNS, out=tmp_path / "two", shard="2/2", **SMALL)]
    thread = threading.Thread(
        target=lambda: found.append(
            sweep("digits", over=PATTERNS, out=tmp_path / "two", shard="1/2", **SMALL)
        )
    )
    thread.start()
    thread.join()
    assert count == 3 and weights(tmp_path / "two") == weights(tmp_path / "one")
    assert (tmp_path / "two" / "trial-000" / "model.safetensors").stat().st_mtime_ns == first
    assert [{**r, "seconds": 0} for r in found[0].data["trials"]] == [
        {**r, "seconds": 0} for r in right.data["trials"]
    ]
    assert found[1].data["best"] == right.data["best"]
    with pytest.raises(UsageError, match="holds another sweep: the settings differs"):
        sweep("digits", over=PATTERNS, out=tmp_path / "two", **{**SMALL, "limit": 30})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="is no sweep's folder and not empty"):
        sweep("digits", over=PATTERNS, out=tmp_path / "mine", **SMALL)


def test_of_each_rung_the_best_go_on_and_failures_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a training in place that writes the score of its learning rate: 0.04 is best, 0.09 fails."""
    calls: list[tuple[float, float]] = []

    def pretend(data: str, *, out: Path, lr: str, budget: float, **more: Any) -> None:
        if lr == "0.09":
            from striate.errors import TrainingError

            raise TrainingError("the loss is not finite")
        calls.append((float(lr), budget))
        Path(out).mkdir(parents=True)
        (Path(out) / "run.toml").write_text("x")

    def read(path: Path, number: int, rung: int, settings: Any) -> Trial:
        if path.with_suffix(".failed").is_file():
            return original(path, number, rung, settings)
        score = 1 - abs(float(settings["lr"]) - 0.04)
        return Trial(
            name=path.name, number=number, rung=rung, settings=settings, score=score, measure="validation accuracy",
            held_out=(score, score - 0.02, score + 0.01), label="accuracy", split="test",
        )  # fmt: skip

    class Finished:
        finished = True

    original = Trial.read
    monkeypatch.setattr(sweeping, "train", pretend)
    monkeypatch.setattr(sweeping.Run, "load", lambda path: Finished())
    monkeypatch.setattr(Trial, "read", read)
    rates = ["0.01", "0.02", "0.03", "0.04", "0.05", "0.06", "0.07", "0.08", "0.09"]
    over = [f"lr={','.join(rates)}"]
    found = sweep("digits", over=over, out=tmp_path / "s", budget="270s", device="cpu")
    assert calls[:8] == [(float(r), pytest.approx(10.0)) for r in rates[:8]]
    assert sorted(calls[8:11]) == [(r, pytest.approx(30.0)) for r in (0.03, 0.04, 0.05)]
    assert calls[11:] == [(0.04, pytest.approx(90.0))]
    assert found.data["best"] == "trial-003-rung-3" and found.data["settings"] == {"lr": "0.04"}
    assert "1 trial failed" in found.verdict
    assert [r["error"] for r in found.data["trials"]][-1] == "the loss is not finite"
    page = (tmp_path / "s" / "sweep.html").read_text()
    assert "9 × 10 s, 3 × 30 s, 1 × 90 s" in page


def test_the_score_is_the_last_validation() -> None:
    rows = [
        {"val_loss": 2.0, "val_accuracy": 0.5},
        {"val_loss": 1.0, "val_accuracy": 0.7},
        {"val_loss": "", "val_accuracy": ""},
    ]
    assert validated(rows) == (0.7, "validation accuracy")
    assert validated([{"val_loss": 2.0}]) == (-2.0, "minus validation loss")
    assert validated([]) == (None, "")


def test_intervals_that_overlap_are_counted() -> None:
    def trial(number: int, score: float, span: tuple[float, float, float]) -> Trial:
        return Trial(
            name=f"trial-{number:03}", number=number, rung=0, settings={"lr": str(number)}, score=score,
            measure="validation accuracy", held_out=span, label="accuracy", split="test",
        )  # fmt: skip

    some = [
        trial(0, 0.8, (0.7, 0.6, 0.79)),
        trial(1, 0.9, (0.9, 0.8, 0.95)),
        trial(2, 0.85, (0.85, 0.7, 0.81)),
    ]
    found = sweep_finding(some, "digits", None)
    assert (
        found.data["best"] == "trial-001"
        and "the intervals of 1 other trial reach into it" in found.verdict
    )
    assert json.loads(json.dumps(found.data))["key_figure"]["low"] == 0.8
    alone = sweep_finding(some[:2], "digits", None)
    assert "no other trial's interval" in alone.verdict and alone.status == "good"


def test_a_sampler_learns_from_what_was_tried() -> None:
    pytest.importorskip("optuna")
    space = Space.parse(["lr=1e-4..1e-1", "width=4..64", "flip=true,false"])
    known: list[tuple[dict[str, str], float | None]] = []
    for _ in range(40):
        asked = space.asked(known, seed=3)
        known.append(
            (asked, -abs(np.log10(float(asked["lr"])) + 2) - 0.01 * abs(int(asked["width"]) - 16))
        )
    again = space.asked(known[:20], seed=3)
    assert (
        again == known[20][0]
    )  # the same each time, so that a sweep that was stopped asks the same
    first, last = (
        np.mean([abs(np.log10(float(s["lr"])) + 2) for s, _ in part])
        for part in (known[:10], known[-15:])
    )
    assert last < first / 2
