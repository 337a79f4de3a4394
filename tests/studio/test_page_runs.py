"""The views that need a run: its epochs, a training under way, and labels under review, on a folder with wrong labels."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from tests_of_pages import AREAS, SIDE, Open, opened, segmenter, serving
from torch import nn

import striate
from striate.cli import main
from striate.errors import StriateError, UsageError
from striate.inference.region import region_of
from striate.runs.kept import chosen, kept_epochs, trained_at
from striate.runs.refitting import refitted
from striate.runs.reviewing import decide, decisions, standing
from striate.runs.steering import Steering, live_of, steer
from striate.studio.slides import Slide
from striate.training.loop import Moment

NAMES = ("dark", "light", "lines")
WRONG = "dark/light-7.png"  # an image of light in the folder of dark


def picture(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ground = {"dark": 40, "light": 210, "lines": 125}[kind]
    image = rng.normal(ground, 20, (16, 16))
    if kind == "lines":
        image[:, ::2] += 90
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run on three classes of 24 images each that keeps three of its epochs; one label is wrong."""
    home = tmp_path_factory.mktemp("review")
    for kind in NAMES:
        for i in range(24):
            folder = "dark" if (kind, i) == ("light", 7) else kind
            path = home / "photos" / folder / f"{kind}-{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(kind, 100 * NAMES.index(kind) + i)).save(path)
    return striate.train(
        home / "photos", model="conv4-relu-pool-fc", size=16, epochs=6, snapshots=3, out=home / "run", val=0.4, test=0.2,
        workers=0, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(browser: Any, run: Any) -> Iterator[Open]:
    def fill(shelf: Any) -> None:
        from striate.studio.shelf import Network

        shelf.networks = {"n0": Network(str(run.path))}

    with serving(fill) as address, opened(browser, address) as found:
        yield found


def test_the_first_the_last_and_evenly_between_are_kept(run: Any) -> None:
    assert chosen(20, 3) == {1, 2, 3} and chosen(2, 9) == {1, 9}
    assert kept_epochs(run.path) == sorted(chosen(3, 6))
    last = trained_at(run, 6)
    image = torch.rand(1, *last.shape[1:])
    assert torch.equal(last.pixels(image), run.trained.pixels(image))
    assert not torch.equal(trained_at(run, 1).pixels(image), last.pixels(image))
    with pytest.raises(StriateError, match="keeps no weights of epoch 2"):
        trained_at(run, 2)


def test_a_training_tells_where_it_stands_and_does_what_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Under:
        lr = 0.8

    steering, training = Steering(tmp_path), Under()
    steering.on_start(training)  # type: ignore[arg-type]
    moment = Moment(3, 10, 5, 0.7, {"accuracy": 0.5}, 100.0, 2.0)
    assert steering.on_step(moment) and live_of(tmp_path) is None  # a second is not over
    monkeypatch.setattr(steering, "_next", 0.0)
    steer(tmp_path, {"rate": 0.5})
    assert steering.on_step(moment)
    told = live_of(tmp_path)
    assert told is not None and told["step"] == 3 and told["loss"] == 0.7 and not told["paused"]
    assert training.lr == pytest.approx(0.4)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        shown = live_of(tmp_path)
        assert shown is not None and shown["paused"]
        if len(naps) == 3:
            steer(tmp_path, {"pause": False})

    monkeypatch.setattr(time, "sleep", sleep)
    steer(tmp_path, {"pause": True})
    monkeypatch.setattr(steering, "_next", 0.0)
    assert steering.on_step(moment) and len(naps) == 3
    steer(tmp_path, {"stop": True})
    monkeypatch.setattr(steering, "_next", 0.0)
    assert not steering.on_step(moment)
    steering.end()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "steer.json").write_text("[]")
    assert steering.on_epoch(None)  # type: ignore[arg-type]


def test_epochs_are_scrubbed_through_by_keys(page: Open, run: Any) -> None:
    shown = page.go("view=training", ready="#epoch-bars .share")
    with open(run.path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    said = shown.locator("#training-charts svg").first.get_attribute("aria-label")
    assert str(float(f"{float(rows[0]['val_loss']):.3g}")) in said
    seen = page.pixels("#epoch-picture")[..., : run.preprocessing.channels]
    pixels = torch.from_numpy(seen.copy()).permute(2, 0, 1)[None]

    def holds(epoch: int) -> None:
        with torch.no_grad():
            shares = trained_at(run, epoch).pixels(pixels.float() / 255)[0]
        best = 100 * float((shares / run.temperature).softmax(0).max())
        page.until(
            f"document.querySelector('#epoch-told').textContent === '{epoch}' && "
            f"document.querySelector('#epoch-bars .share').textContent === '{best:.1f} %'"
        )

    holds(6)
    shown.locator("#epoch").focus()
    shown.keyboard.press("Home")
    holds(1)
    page.until("document.querySelectorAll('#epoch-filters canvas').length === 4")
    cells = shown.locator("#confusion tbody td").all_inner_texts()
    assert sum(int(c or 0) for c in cells) == len(keys(run, "test"))
    page.axe()


class Slow:
    """A callback that makes a small training last, at no cost of the processor."""

    def on_start(self, training: Any) -> None: ...

    def on_step(self, moment: Moment) -> bool:
        time.sleep(0.05)
        return True

    def on_epoch(self, record: Any) -> bool:
        return True


def test_a_training_is_watched_slowed_paused_and_stopped(
    browser: Any, run: Any, tmp_path: Path
) -> None:
    out = tmp_path / "live"
    photos = run.path.parent / "photos"
    made: list[Any] = []

    def train() -> None:
        made.append(
            striate.train(
                photos, model="conv4-relu-pool-fc", size=16, epochs=400, snapshots=400, batch=16, out=out, val=0.4,
                test=0.2, workers=0, device="cpu", callbacks=[Slow()],
            )
        )  # fmt: skip

    def fill(shelf: Any) -> None:
        from striate.studio.shelf import Network

        shelf.networks = {"n0": Network(str(out))}

    training = threading.Thread(target=train)
    training.start()
    try:
        end = time.monotonic() + 60
        while live_of(out) is None or not kept_epochs(out):
            assert training.is_alive() and time.monotonic() < end
            time.sleep(0.05)
        with serving(fill) as address, opened(browser, address) as page:
            shown = page.go("view=training", ready="#training-steer button")
            told = "document.getElementById('training-told').textContent"
            page.until(f"{told}.startsWith('Under way') && {told}.includes('images a second')")
            page.until("document.querySelectorAll('#hardest li').length > 0")
            counts = [int(c or 0) for c in shown.locator("#confusion tbody td").all_inner_texts()]
            assert len(counts) == 9 and sum(counts) > 0
            first = shown.locator("#epoch-told").inner_text()
            page.until(
                f"Number(document.getElementById('epoch-told').textContent) > {first}"
            )  # it follows
            shown.locator("[data-wish=rate]").focus()
            shown.keyboard.press("Enter")
            page.until("document.getElementById('training-steer').textContent.includes('50.0 %')")
            shown.locator("[data-wish=pause]").click()
            page.until(f"{told}.startsWith('Paused')")
            paused = live_of(out)
            time.sleep(0.8)
            after = live_of(out)
            assert paused and after and paused["step"] == after["step"] and after["rate"] == 0.5
            shown.locator("[data-wish=pause]").click()
            page.until(f"{told}.startsWith('Under way')")
            shown.locator("[data-wish=stop]").click()
            page.until(f"{told}.startsWith('Over')")
            assert not page.wrong
    finally:
        steer(out, {"stop": True})
        training.join(60)
    assert len(made) == 1 and made[0].finished and kept_epochs(out)[-1] < 400


def test_a_wrong_label_comes_first_and_keys_decide(page: Open, run: Any) -> None:
    split = next(s for s in ("val", "test", "train") if WRONG in keys(run, s))
    shown = page.go(f"view=review&.split={split}", ready="#review-images [aria-selected=true]")
    page.until(f"document.getElementById('review-image').textContent.startsWith('{WRONG}')")
    assert np.array_equal(page.pixels("#review-picture")[..., 0], picture("light", 107))
    shown.keyboard.press("2")
    page.until("document.getElementById('review-log').textContent.startsWith('1 decision stands')")
    shown.keyboard.press("x")
    page.until("document.getElementById('review-log').textContent.startsWith('2 decisions')")
    excluded = decisions(run.path)[-1]["key"]
    shown.keyboard.press("ArrowLeft")
    shown.keyboard.press("u")
    page.until("document.getElementById('review-log').textContent.startsWith('1 decision stands')")
    lines = [json.loads(line) for line in (run.path / "labels.jsonl").read_text().splitlines()]
    assert [(d["key"], d["action"], d["to"]) for d in lines] == [
        (WRONG, "relabel", "light"), (excluded, "exclude", ""), (excluded, "undo", ""),
    ]  # fmt: skip
    page.axe()
    assert not page.wrong


def test_a_refit_counts_what_relabelling_changes_on_images_nobody_decided_about(run: Any) -> None:
    """Labels of half of the training images are turned by decisions: what is fitted to them is right less often."""
    (run.path / "labels.jsonl").unlink(missing_ok=True)
    with pytest.raises(UsageError, match="no decision changes a training image"):
        refitted(run)
    names = list(run.classes)
    turned = [k for k in keys(run, "train") if not k.startswith(f"{names[0]}/")]
    for key in turned:
        folder = key.split("/")[0]
        decide(run.path, key, "relabel", folder, names[0])
    split = "test" if keys(run, "test") else "val"
    judged = keys(run, split)
    decide(run.path, judged[0], "keep")
    found = refitted(run)
    assert (found.relabelled, found.excluded, found.split) == (len(turned), 0, split)
    assert found.of == len(judged) - 1  # one was decided about
    # All training images now are of one class: only its own images can be right.
    assert found.after == sum(k.startswith(f"{names[0]}/") for k in judged[1:])
    assert found.before > found.after
    (run.path / "labels.jsonl").unlink()


def keys(run: Any, split: str) -> tuple[str, ...]:
    from striate.runs.images import source_of

    return tuple(source_of(run).splits[split].keys)


def test_decided_files_move_and_none_is_lost(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root = run.path.parent / "photos"
    files = {p.name: p.read_bytes() for p in root.rglob("*.png")}
    (run.path / "labels.jsonl").unlink(missing_ok=True)
    other = next(k for k in keys(run, "train") if k.startswith("lines/"))
    taken = next(k for k in keys(run, "train") if k.startswith("light/"))
    decide(run.path, WRONG, "relabel", "dark", "light")
    decide(run.path, other, "exclude", "lines")
    decide(run.path, taken, "relabel", "light", "dark")
    decide(run.path, "../outside.png", "exclude", "dark")
    (root / "dark" / Path(taken).name).write_bytes(b"another")
    with pytest.raises(SystemExit) as stop:
        main(["review", str(run.path), "--apply"])
    assert not stop.value.code
    told = capsys.readouterr().out
    assert "2 files moved, 2 left" in " ".join(told.split())
    assert (root / "light" / "light-7.png").is_file() and not (root / WRONG).exists()
    assert (root.parent / "photos-excluded" / other).read_bytes() == files[Path(other).name]
    assert (root / taken).read_bytes() == files[Path(taken).name]
    assert (root / "dark" / Path(taken).name).read_bytes() == b"another"
    assert sum(d["action"] == "moved" for d in standing(decisions(run.path)).values()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [(["runs/none"], "there is no run"), (["."], "is not a run"), ([""], "empty"), (["x\0"], "zero byte")],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], ["--apply"]])
def test_what_is_no_run_is_not_reviewed(
    words: list[str], more: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["review", *more, *words])
    shown = capsys.readouterr()
    assert stop.value.code in (1, 2) and message in shown.err and "Traceback" not in shown.err


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 700 x 900 pixels of noise in two grains."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (44, 57, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    pixels = coarse[:700, :900].copy()
    pixels[::3] = rng.integers(0, 256, (234, 900, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("scan") / "scan.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_slide_is_zoomed_and_its_mask_is_the_whole_images(browser: Any, scan: Path) -> None:
    def fill(shelf: Any) -> None:
        from striate.studio.shelf import Network

        one = Network("areas")
        one.__dict__["trained"] = striate.wrap(
            segmenter(), classes=AREAS, preprocessing=(SIDE, 0.5, 0.25), task="segment"
        )
        one.__dict__["samples"] = {}
        shelf.networks, shelf.slides = {"n0": one}, {"p0": str(scan)}

    pixels = np.asarray(Image.open(scan))
    with torch.no_grad():
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        whole = segmenter()((x - 0.5) / 0.25)[0].argmax(0).numpy()
    slide = Slide(str(scan))
    assert (slide.levels, slide.header["width"]) == (2, 900)
    ((_, arrays),) = slide.tile({"level": 0, "row": 2, "column": 3})
    assert np.array_equal(arrays["pixels"], pixels[512:, 768:])
    *_, (_, arrays) = slide.tile({"level": 1, "row": 0, "column": 1})
    means = pixels[:512, 512:900].reshape(256, 2, 194, 2, 3).mean((1, 3))
    assert np.abs(arrays["pixels"] - means).max() <= 1
    with serving(fill) as address, opened(browser, address) as page:
        shown = page.go("view=slide&.at=450,350,1&.masks=1", ready="#slide")
        page.until(
            "/labelled (\\d+) of the \\1 tiles/.test(document.getElementById('slide-told').textContent)"
        )
        seen = page.pixels("#slide")
        height, width = seen.shape[:2]
        top, left = round(350 - height / 2), round(450 - width / 2)
        inside = [(r, c) for r in range(0, height, 7) for c in range(0, width, 5)
                  if 0 <= top + r < 700 and 0 <= left + c < 900]  # fmt: skip
        own = [(r, c) for r, c in inside if whole[top + r, left + c] == 0]
        assert len(own) > 50  # background is clear: the file's own pixels
        for r, c in own:
            assert np.abs(seen[r, c, :3].astype(int) - pixels[top + r, left + c]).max() <= 1
        tinted = [(r, c) for r, c in inside if whole[top + r, left + c] != 0]
        apart = [np.abs(seen[r, c, :3].astype(int) - pixels[top + r, left + c]) for r, c in tinted]
        assert np.mean([one.max() > 3 for one in apart]) > 0.95
        shown.locator("#slide-frame").focus()
        shown.keyboard.press("-")
        page.until("document.getElementById('slide-told').textContent.includes('at 50 %')")
        shown.keyboard.press("ArrowRight")
        page.until("!location.hash.includes('.at=450')")
        page.axe()
        assert not page.wrong


@pytest.mark.parametrize("held", ["nothing", "pages", "subifds"])
def test_far_levels_come_part_by_part_and_from_the_overviews_of_the_file(tmp_path: Path, held: str) -> None:  # fmt: skip
    """Overviews are read where there are any; here they hold other colours than the image, to be told from its means."""
    whole = np.random.default_rng(4).integers(0, 256, (2048, 2560, 3), dtype=np.uint8)
    means = whole.reshape(256, 8, 320, 8, 3).mean((1, 3))
    fewer = [255 - whole[::k, ::k] for k in (2, 8)]
    with tifffile.TiffWriter(tmp_path / "scan.tif") as file:
        like = {"tile": (256, 256), "photometric": "rgb"}
        file.write(whole, **like, **({"subifds": 2} if held == "subifds" else {}))
        for one in fewer if held != "nothing" else ():
            file.write(one, subfiletype=1, **like)
    slide = Slide(str(tmp_path / "scan.tif"))
    parts = list(slide.tile({"level": 3, "row": 0, "column": 1}))
    assert [header["whole"] for header, _ in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) > 1 and parts[-1][0]["from"] == 0  # the middle came first
    assert parts[0][0]["from"] == 64 and len(parts[0][1]["pixels"]) == 64
    expected = means if held == "nothing" else fewer[1].astype(float)
    assert np.abs(parts[-1][1]["pixels"] - expected[:, 256:]).max() <= 1
    ((_, near),) = slide.tile({"level": 1, "row": 1, "column": 2})
    if held != "nothing":
        assert np.array_equal(near["pixels"], fewer[0][256:512, 512:768])


def test_a_part_of_what_a_network_gives_is_the_wholes_or_is_refused() -> None:
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ConvTranspose2d(4, 2, 3, padding=1),
    ).eval()  # fmt: skip
    image = torch.rand(1, 1, 50, 64)
    geometry = striate.trace(network, tuple(image.shape))
    with torch.no_grad():
        whole = network(image)

    def read(box: Any) -> torch.Tensor:
        return image[..., slice(*box[0]), slice(*box[1])]

    for box in (((0, 9), (0, 7)), ((20, 33), (30, 64)), ((49, 50), (63, 64)), ((0, 50), (0, 64))):
        part = region_of(geometry, network, read, box)
        (a, b), (c, d) = box
        assert torch.allclose(part, whole[..., a:b, c:d], atol=1e-5)
    seeing = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1)).eval()
    with pytest.raises(StriateError, match="sees too much"):
        region_of(striate.trace(seeing, (1, 1, 50, 64)), seeing, read, (None, None), limit=1000)
