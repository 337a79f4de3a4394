"""Probing real runs: what a person meets between the command and the report."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data import load_memory, open_source
from striate.errors import DataError, RunError, UsageError
from striate.findings import Finding
from striate.robustness import PROBES
from striate.runs.predicting import predict
from striate.runs.probing import probe_run
from striate.runs.probing_pairs import compare_runs
from striate.runs.probing_share import affordable, usual_work
from striate.runs.run import Run

MODEL = "[conv8-relu-pool]*2-fc"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learned digits for some seconds; tests take copies."""
    out = tmp_path_factory.mktemp("probing") / "digits"
    return striate.train("digits", model=MODEL, out=out, epochs=12, seed=0).path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """A copy of the run, to be altered."""
    return Run.load(shutil.copytree(trained, tmp_path / "digits"))


def altered(run: Run, value: float) -> Run:
    """The run with every weight and bias of its last layer at `value`."""
    state = {k: v.clone() for k, v in run.model.state_dict().items()}
    for name in list(state)[-2:]:
        state[name].fill_(value)
    run.save_weights(state)
    run.save_info()
    return Run.load(run.path)


def digit_folder(folder: Path, count: int, *, classes: range = range(10)) -> Path:
    """Images of digits in a folder a class, the same as the source's test images."""
    source = open_source("digits", seed=0)
    done = dict.fromkeys(classes, 0)
    for i, label in enumerate(source.test.labels.tolist()):
        if label in done and done[label] < count:
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(source.test.image(i)).squeeze()
            Image.fromarray(pixels).save(folder / str(label) / f"{i}.png")
            done[label] += 1
    return folder


def by_name(found: list[Finding]) -> dict[str, Finding]:
    return {f.name: f for f in found}


def test_a_shift_costs_what_a_plain_loop_counts(run: Run) -> None:
    found = by_name(probe_run(run, ["shift"], record=False))["probe-shift"]
    source = open_source("digits", seed=0)
    images, labels = load_memory(source.test, run.preprocessing)
    right, clean = 0, 0
    d = int(found.data["levels"][-1].split()[0])
    for image, label in zip(images, labels, strict=True):
        padded = torch.nn.functional.pad(image[None].float(), (d, d, d, d), mode="replicate")
        side = image.shape[-1]
        with torch.no_grad():
            for r, c in ((d, 0), (d, 2 * d), (0, d), (2 * d, d), (d, d)):
                window = padded[..., r : r + side, c : c + side]
                said = run.model(run.preprocessing.normalise(window.to(torch.uint8))).argmax()
                if (r, c) == (d, d):
                    clean += int(said == label)
                else:
                    right += int(said == label)
    assert found.data["clean"] == pytest.approx(clean / len(labels))
    assert found.data["accuracy"][-1] == pytest.approx(right / 4 / len(labels))
    assert f"on {len(labels):,} images" in found.verdict


def test_all_probes_are_stored_with_the_checklist_last(run: Run) -> None:
    found = probe_run(run, images=48)
    names = [f.name for f in found]
    assert names[-1] == "checklist" and len(names) == 12
    assert [f.name for f in run.findings()][-1] == "checklist"
    assert set(names) <= {f.name for f in run.findings()}
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Checklist: before this network is relied on" in page
    items = {row[0]: row for row in found[-1].tables[0].rows}
    assert items["Invariance"][1] == "yes" and items["Invariance"][2] in {f.verdict for f in found}
    assert items["Filters with structure"][1] == "no"


def test_a_budget_takes_fewer_images_and_says_so(run: Run) -> None:
    found = by_name(probe_run(run, ["corruption"], budget=0.05))["probe-corruption"]
    assert found.data["images"] == 12
    assert "Sampled 12 of " in found.verdict and "to keep to 0.05 s" in found.verdict


def test_a_large_network_is_probed_on_fewer_images_unless_a_limit_asks_for_all(run: Run) -> None:
    few, all_, small = (
        by_name(probe_run(run, ["flip"], record=False, **options))["probe-flip"]
        for options in ({"work": 1.0}, {"work": 1.0, "images": 2000}, {})
    )
    assert few.data["images"] == 24 and "Sampled 24 of " in few.verdict and "--limit" in few.verdict
    assert all_.data == small.data and small.data["images"] > 24
    assert "Sampled" not in small.verdict + all_.verdict


def test_an_unknown_probe_is_refused_before_anything_is_read(run: Run) -> None:
    (run.path / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="there is no probe 'shfit'; did you mean 'shift'"):
        striate.probe(run.path, names=["flip", "shfit"])


def test_a_budget_decides_how_many_images_a_probe_takes() -> None:
    assert affordable(PROBES["corruption"], 2000, 1000.0, 1e-4, 24) == 2000
    few, fewer = (affordable(PROBES["corruption"], 2000, left, 1e-3, 24) for left in (120.0, 60.0))
    assert 24 < fewer < few < 2000
    assert (
        affordable(PROBES["shift"], 2000, -5.0, 1e-4, 24) == 24
        and affordable(PROBES["shift"], 3, -5.0, 1e-4, 24) == 3
    )


def test_a_budget_leaves_out_what_does_not_fit_and_stores_nothing_of_it(run: Run) -> None:
    found = by_name(probe_run(run, budget=0.05, record=False))
    left = found["probe-left-out"].data["left_out"]
    assert {"attack", "corruption"} <= set(left) and all(needs > 0 for needs in left.values())
    assert not {f"probe-{name}" for name in left} & set(found)
    assert "probe-left-out" not in {f.name for f in Run.load(run.path).findings()}
    assert "Vulnerability: attack" in found["checklist"].data["open"]


def test_the_work_of_a_command_falls_with_the_size_of_the_network_without_a_step() -> None:
    sizes = [10**exponent for exponent in np.linspace(5, 11, 601)]
    work = [usual_work(size) for size in sizes]
    assert work[0] == 1.5e13 and work[-1] == pytest.approx(3e12)
    assert all(0.97 < b / a <= 1 for a, b in itertools.pairwise(work))


def test_findings_come_in_the_probes_order_whatever_ran_first(run: Run) -> None:
    found = probe_run(run, ["corruption", "flip"], budget=0.05)
    assert [f.name for f in found] == ["probe-flip", "probe-corruption", "checklist"]


def test_a_stored_temperature_is_what_predict_uses(run: Run, tmp_path: Path) -> None:
    run.info["temperature"] = 7.0
    run.save_info()
    run = Run.load(run.path)
    folder = digit_folder(tmp_path / "images", 1)
    file = str(next(folder.rglob("*.png")))
    (before,) = predict(run, [file])
    found = by_name(probe_run(run, ["calibration"], store_temperature=True))["probe-calibration"]
    again = Run.load(run.path)
    assert again.temperature == pytest.approx(found.data["temperature"], abs=1e-4)
    assert again.temperature < 7 and found.data["fitted_error"] < found.data["error"]
    assert "is stored with the run; `striate predict` uses it" in found.verdict
    (after,) = predict(again, [file])
    assert before.top[0][1] < 0.5 < after.top[0][1]


def test_a_network_at_chance_stops_everything(run: Run) -> None:
    found = probe_run(altered(run, 0.0))
    assert [f.name for f in found] == ["probe-clean"]
    assert (
        "Nothing was probed" in found[0].verdict and "guessing among 10 classes" in found[0].verdict
    )


def test_outputs_that_are_not_finite_are_told(run: Run) -> None:
    with pytest.raises(DataError, match=r"output is not finite for \d+ of \d+ images"):
        probe_run(altered(run, float("nan")))


def test_data_that_is_gone_says_what_to_pass(run: Run, tmp_path: Path) -> None:
    run.info["recipe"]["data"] = str(tmp_path / "gone")
    run.save_info()
    with pytest.raises(RunError, match=r"cannot be opened.*give where they are with --data"):
        probe_run(Run.load(run.path))
    found = probe_run(Run.load(run.path), ["flip"], data=str(digit_folder(tmp_path / "new", 12)))
    assert found[0].name == "probe-flip"


def test_a_class_that_is_missing_there_is_named(run: Run, tmp_path: Path) -> None:
    folder = digit_folder(tmp_path / "some", 8, classes=range(9))
    found = probe_run(run, ["domain"], against=str(folder))[0]
    assert found.data["missing"] == {"some": ["9"]} and "some holds no 9" in found.verdict
    # All its images count, whatever split they would be drawn into.
    assert found.data["others"]["some"]["images"] == 72
    assert found.data["others"]["some"]["accuracy"] > 0.5


def test_a_folder_without_labels_is_another_domain(run: Run, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(
            tmp_path / "flat" / f"{i}.png"
        )
    found = probe_run(run, ["domain"], against=str(tmp_path / "flat"))[0]
    assert found.data["others"]["flat"]["accuracy"] is None
    assert found.data["others"]["flat"]["images"] == 5 and "without labels" in found.verdict
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images; give a folder with images"):
        probe_run(run, ["domain"], against=str(tmp_path / "empty"))


def test_one_image_is_enough(run: Run) -> None:
    found = by_name(probe_run(run, images=1))
    assert found["probe-shift"].data["images"] == 1 or "probe-clean" in found


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (["shfit"], {}, "no probe 'shfit'; did you mean 'shift'"),
        (["shift"], {"against": "lines"}, "--against needs the probe domain"),
        (["shift"], {"store_temperature": True}, "--store-temperature needs the probe calibration"),
        ([], {"images": 0}, "at least one image"),
    ],
)
def test_wrong_arguments(run: Run, names: list[str], given: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match=message):
        probe_run(run, names, **given)


def test_what_is_no_run() -> None:
    with pytest.raises(UsageError, match="no run at resnet18; probes need the images"):
        probe_run("resnet18")


def test_an_interrupted_probe_leaves_a_report(run: Run) -> None:
    def stop(name: str, done: int, of: int) -> None:
        if name == "rotation":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe_run(run, ["shift", "rotation"], images=32, progress=stop)
    names = [f.name for f in run.findings()]
    assert "probe-shift" in names and "probe-rotation" not in names and names[-1] == "checklist"


def test_two_runs_are_compared_with_paired_intervals(run: Run, tmp_path: Path) -> None:
    worse = Run.load(shutil.copytree(run.path, tmp_path / "worse"))
    state = {k: v.clone() for k, v in worse.model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    last = list(state)[-2]
    state[last] += 0.5 * state[last].std() * torch.randn(state[last].shape, generator=generator)
    worse.save_weights(state)
    worse.save_info()
    found = compare_runs(run.path, worse.path, ["shift", "rotation"])
    assert found.verdict.startswith("digits is more robust by")
    low, high = found.data["interval"]
    assert low < found.data["difference"] < high < 0
    assert all(
        (Run.load(p).path / "findings" / "probe-comparison.json").is_file()
        for p in (run.path, worse.path)
    )
    alike = compare_runs(run.path, run.path, ["flip"])
    assert (
        alike.data["difference"] == 0
        and "Neither is more robust under flip left-right" in alike.verdict
    )
    with pytest.raises(UsageError, match="calibration has none; name some of shift"):
        compare_runs(run.path, worse.path, ["calibration"])


def test_runs_that_may_know_the_others_test_images_are_not_compared(
    run: Run, tmp_path: Path
) -> None:
    other = Run.load(shutil.copytree(run.path, tmp_path / "other"))
    other.info["data"]["fingerprint"] = "of other images"
    other.save_info()
    with pytest.raises(RunError, match=r"tested on different images.*--data"):
        compare_runs(run.path, other.path, ["flip"])
