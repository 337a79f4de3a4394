"""From images with masks to a run, its masks, and the mask of an image larger than memory allows."""

from __future__ import annotations

import errno
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner

from striate import load, predict, train
from striate.cli.app import app
from striate.errors import StriateError, UsageError, WriteError
from striate.runs import Run
from striate.runs.allowance import Allowance
from striate.runs.evaluate import LEAST_SCORED, assess_in_time
from striate.runs.images import source_of
from striate.tasks.segment.data.palette import palette
from striate.tasks.segment.predict import areas_of
from striate.training.callbacks import Listener

COLOURS = ((200, 40, 40), (40, 200, 40))


def picture(seed: int, height: int = 40, width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Red and green squares on grey, (H, W, 3), with the mask."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=np.uint8)
    for _ in range(max(3, height * width // 700)):
        c = int(rng.integers(2))
        top, left = int(rng.integers(0, height - 10)), int(rng.integers(0, width - 10))
        image[top : top + 9, left : left + 9] = COLOURS[c]
        mask[top : top + 9, left : left + 9] = c + 1
    return image, mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("squares")
    for name in ("images", "masks"):
        (root / name).mkdir()
    for i in range(30):
        image, mask = picture(i)
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    (root / "classes.txt").write_text("background\nred\ngreen\n")
    return root


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(
        folder,
        out=tmp_path_factory.mktemp("runs") / "squares",
        model="unet",
        width=8,
        epochs=20,
        batch=8,
        precision="fp32",
        device="cpu",
    )


def test_a_run_labels_pixels_and_says_how_well(run: Run) -> None:
    assert run.task.name == "segment" and run.classes == ("background", "red", "green")
    assert run.info["results"]["mean_iou"] > 0.9
    found = {f.name: f for f in run.findings()}
    assert {
        "headline",
        "data",
        "data-check",
        "mistakes",
        "per-class",
        "context",
        "calibration",
    } <= set(found)
    assert found["headline"].data["key_figure"]["label"] == "mean IoU on held-out images"
    assert "image" not in found["calibration"].verdict + found["calibration"].tables[0].caption
    assert {"val_iou", "val_accuracy"} <= set(run.metrics[-1])
    assert (run.path / "report.html").stat().st_size < 3_000_000


def test_a_budget_ends_the_evaluation_with_a_random_part_of_the_images(
    run: Run,
) -> None:
    source = replace(source_of(run), test=source_of(run).train)
    seen, cpu = len(source.test), torch.device("cpu")
    split, whole = assess_in_time(run, source.test, cpu, Listener(), None)
    assert split.keys == source.test.keys and len(whole) == seen
    # a clock that goes on by a second whenever it is looked at: after 4 images, 6 more fit into the budget
    clock = itertools.count()
    allowance = Allowance(seconds=9.5, started=0.0, figure=0.1, clock=lambda: float(next(clock)))
    split, part = assess_in_time(run, source.test, cpu, Listener(), allowance)
    assert LEAST_SCORED < len(part) < seen and split.keys != source.test.keys[: len(part)]
    place = [source.test.keys.index(key) for key in split.keys]
    np.testing.assert_array_equal(part.scores.counts, whole.scores.counts[place])
    spent = Allowance(seconds=0.0, started=0.0, clock=lambda: 1.0)
    assert len(assess_in_time(run, source.test, cpu, Listener(), spent)[1]) == LEAST_SCORED


def test_a_loaded_run_gives_the_same_masks(run: Run, folder: Path, tmp_path: Path) -> None:
    image, truth = picture(99, 61, 45)
    Image.fromarray(image).save(tmp_path / "new.png")
    again = load(run.path)
    (answer,) = predict(again, [tmp_path / "new.png"], out=tmp_path / "masks")
    with Image.open(answer.mask) as written, Image.open(answer.overlay) as overlay:
        assert written.mode == "P" and written.size == overlay.size == (45, 61)
        said, shown = np.asarray(written), np.asarray(written.convert("RGB"))
    assert (said == truth).mean() > 0.97
    np.testing.assert_array_equal(shown[0, 0], palette(run.classes)[said[0, 0]])
    assert sum(row["pixels"] for row in answer.areas) == 61 * 45
    red = next(row for row in answer.areas if row["class"] == "red")
    assert red["instances"] == len(red["objects"]) >= 1
    with pytest.raises(UsageError, match=r"new.png exists; choose another folder with --out"):
        list(predict(again, [tmp_path / "new.png"], out=tmp_path / "masks"))
    assert list(predict(again, [tmp_path / "new.png"], out=tmp_path / "masks", force=True))


def test_a_file_that_cannot_be_read_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    image, _ = picture(5, 33, 20)
    tifffile.imwrite(tmp_path / "deep.tif", image.astype(np.uint16) * 257)
    Image.fromarray(image[:7, :5]).save(tmp_path / "small.png")  # smaller than the stride
    answers = list(predict(run, [tmp_path], out=tmp_path / "out"))
    assert [Path(a.path).name for a in answers] == ["bad.png", "deep.tif", "small.png"]
    assert answers[0].error is not None and "text, not an image" in answers[0].error
    assert answers[1].size == (33, 20) and answers[2].size == (7, 5)
    assert not list((tmp_path / "out").glob(".*"))


def test_any_size_in_bounded_memory_is_the_same_mask(run: Run, tmp_path: Path) -> None:
    image, _ = picture(7, 400, 330)
    tifffile.imwrite(tmp_path / "slide.tif", image, tile=(64, 64), photometric="rgb")
    result = CliRunner().invoke(
        app,
        ["tile", str(run.path), str(tmp_path / "slide.tif"), "-o", str(tmp_path / "m.tif"),
         "--memory", "40MB", "--format", "json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    mask = tifffile.imread(tmp_path / "m.tif")
    assert mask.dtype == np.uint8 and mask.shape == (400, 330)
    with torch.inference_mode():
        x = run.preprocessing.normalise(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
        whole = run.model(x)[0].argmax(0).numpy()
    assert (
        mask == whole
    ).mean() > 0.9999  # where two logits are equal to the last bit, either may win
    assert {row["class"]: row["pixels"] for row in document["areas"]}["background"] == int(
        (mask == 0).sum()
    )
    assert document["certificate"]


def test_a_map_needs_a_place(run: Run, tmp_path: Path) -> None:
    image, _ = picture(7)
    Image.fromarray(image).save(tmp_path / "a.png")
    with pytest.raises(
        UsageError, match=r"predicts a mask; say where it goes, such as --out a-mask.tif"
    ):
        CliRunner().invoke(
            app, ["tile", str(run.path), str(tmp_path / "a.png")], catch_exceptions=False
        )


def test_models_and_data_must_be_of_the_same_task(folder: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"resnet18 gives one class an image, .* such as unet:resnet18"
    ):
        train(folder, model="resnet18", out=tmp_path / "a")
    with pytest.raises(
        UsageError, match=r"unet gives a class for every pixel, and digits has one class an image"
    ):
        train("digits", model="unet", out=tmp_path / "b")
    (kept,) = predict(run, [folder / "images" / "0.png"])  # nothing is written without a folder
    assert kept.mask == "" and kept.pixels.shape == kept.size == (40, 48)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


@pytest.mark.parametrize("model", ["unet-valid", "segnet", "fcn8s:compact"])
def test_other_networks_train_too(folder: Path, tmp_path: Path, model: str) -> None:
    options = {} if ":" in model else {"width": 4}
    run = train(folder, model=model, out=tmp_path / "run", epochs=1, limit=8, batch=4, **options)
    assert run.model(torch.zeros(1, 3, 40, 48)).shape == (1, 3, 40, 48)


def test_a_stopped_run_goes_on_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    settings = {
        "model": "unet",
        "width": 4,
        "epochs": 3,
        "batch": 8,
        "limit": 16,
        "precision": "fp32",
    }
    whole = train(folder, out=tmp_path / "whole", **settings)
    from striate.runs import Listener
    from striate.training.loop import Moment

    class Stop(Listener):
        def step(self, moment: Moment) -> None:
            if moment.step == 3:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGINT)

    stopped = train(folder, out=tmp_path / "part", listener=Stop(), **settings)
    assert not stopped.finished
    resumed = train(folder, out=tmp_path / "part", resume=True)
    a, b = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_areas_count_objects() -> None:
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[2:6, 2:6] = 1
    mask[10:13, 4:9] = 1
    mask[18, 18] = 2
    rows = areas_of(mask, ("background", "cell", "speck"))
    assert [r["class"] for r in rows] == ["background", "cell", "speck"]
    assert rows[1]["instances"] == 2
    assert rows[1]["objects"][0] == {"area": 16, "box": [2, 2, 6, 6]}
    assert rows[2]["instances"] == 0 and "instances" not in rows[0]


def test_each_image_has_masks_of_its_own(run: Run, tmp_path: Path) -> None:
    names = ["a/p.png", "b/p.png", "a/p-2.png", "a/P.jpg"]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture(number, 20 + number, 24)[0]).save(tmp_path / name)
    answers = list(predict(str(run.path), [tmp_path / n for n in names], out=tmp_path / "out"))
    assert [a.error for a in answers] == [None] * 4
    assert len({a.mask for a in answers} | {a.overlay for a in answers}) == 8
    for number, answer in enumerate(answers):
        with Image.open(answer.mask) as mask, Image.open(answer.overlay) as overlay:
            assert mask.size == overlay.size == (24, 20 + number)


def test_a_mask_never_replaces_an_image(run: Run, tmp_path: Path) -> None:
    Image.fromarray(picture(3)[0]).save(tmp_path / "p.png")
    before = (tmp_path / "p.png").read_bytes()
    with pytest.raises(UsageError, match=r"p\.png would replace the image itself; choose another"):
        list(predict(run, tmp_path, out=tmp_path, force=True))
    assert (tmp_path / "p.png").read_bytes() == before


def test_a_mask_that_cannot_be_written_does_not_stop_the_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        Image.fromarray(picture(3)[0]).save(tmp_path / f"{name}.png")
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    answers = list(predict(run, tmp_path, out=tmp_path / "out", force=True))
    assert [bool(a.error) for a in answers] == [True, False]
    assert "a.png cannot be written" in str(answers[0].error)


def test_a_folder_without_masks_says_so(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "images" / "0.png")
    with pytest.raises(StriateError):
        train(tmp_path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_what_is_finished_and_nothing_half_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        Image.fromarray(picture(3)[0]).save(tmp_path / f"{name}.png")
    save = Image.Image.save

    written: list[object] = []

    def fills(self: Image.Image, file: BinaryIO, *more: object, **options: object) -> None:
        save(self, file, *more, **options)  # type: ignore[arg-type]
        written.append(file)
        if len(written) == 3:  # a's mask and its picture are on disk
            file.truncate(20)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", fills)
    answers = predict(run, [tmp_path / "a.png", tmp_path / "b.png"], out=tmp_path / "out")
    with pytest.raises(WriteError, match=r"b\.png: No space left on device; make room there"):
        list(answers)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a-overlay.webp", "a.png"]
