"""One scene of 8192 x 8192 pixels with tens of thousands of objects: `striate tile`, and SAHI with the same weights.

    striate train scenes --task detect --out runs/scenes-1
    python benchmarks/tile_boxes.py runs/scenes-1 [--side 8192] [--slice 512] [--memory 500MB] [--python PYTHON]

The scene is laid out of unseen scenes of 96 pixels side by side, so that every object is known, and written as a tiled
TIFF. Each contestant runs in a process of its own, whose time and largest memory are printed. SAHI (`pip install sahi`
for PYTHON) cuts the image into slices that overlap by a fifth and merges what they find by GREEDYNMM at an IOS of 0.5,
its defaults, without its pass over the whole image, which would not fit; and with NMS at an IOU of 0.5 instead. Both
give what they find from the run's score on. Against the boxes of the whole map: missed, of which SAHI has none that
overlaps by half; doubled, a further box on an object; cut, a box that overlaps by less than 0.9.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
CELL, SCENES = 96, 1500


def laid(side: int) -> tuple[np.ndarray, list[list[float]]]:
    """(image (side, side, 3) uint8, rows of left, top, right, bottom, class, crowd)."""
    from striate.data.digits import open_digits
    from striate.tasks.detect.data.scenes import open_box_scenes

    split = open_box_scenes(open_digits, seed=1, count=SCENES, size=CELL).test
    image = np.zeros((side, side, 3), np.uint8)
    rows = []
    across = side // CELL
    rng = np.random.default_rng(0)
    for top in range(across):
        for left in range(across):
            i = int(rng.integers(len(split)))
            y, x = top * CELL, left * CELL
            image[y : y + CELL, x : x + CELL] = split.images[i]
            o = split.objects[i]
            for box, label, crowd in zip(o.boxes, o.labels, o.crowd, strict=True):
                moved = (box + np.array([x, y, x, y])).tolist()
                rows.append([*moved, float(label), float(crowd)])
    return image, rows


def striate(run: str, image: str, args: argparse.Namespace) -> dict:
    """Objects [left, top, right, bottom, class, score] by `striate tile`."""
    import striate
    from striate.tasks.detect.evaluation.threshold import threshold_of

    trained = striate.load(run).trained
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "objects.json"
        start = time.perf_counter()
        finding = trained.tile(image, out=out, memory=args.memory)
        seconds = time.perf_counter() - start
        found = json.loads(out.read_text())["annotations"]
    rows = [[*corners(o["bbox"]), o["category_id"] - 1, o["score"]] for o in found]
    certificate = finding.data["document"]["certificate"]
    sure = threshold_of(trained.calibration)
    return {"seconds": seconds, "objects": rows, "certificate": certificate, "sure": sure}


def corners(box: list[float]) -> list[float]:
    """Left, top, right, bottom of a box with its sides."""
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def sahi_nms(run: str, image: str, args: argparse.Namespace) -> dict:
    """As `sahi`, but of boxes that overlap by half the best is kept and none is merged."""
    return sahi(run, image, args, postprocess_type="NMS", postprocess_match_metric="IOU")


def sahi(run: str, image: str, args: argparse.Namespace, **options: str) -> dict:
    """The same by SAHI's slices around the same network. options: of `get_sliced_prediction`."""
    import torch
    from PIL import Image
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction

    import striate
    from striate.tasks.detect.evaluation.threshold import threshold_of
    from striate.tasks.detect.predict import predicted

    trained = striate.load(run).trained
    sure = threshold_of(trained.calibration)

    class OurModel(DetectionModel):
        def load_model(self):
            self.model = trained.model

        def perform_inference(self, image):
            pixels = np.ascontiguousarray(image.transpose(2, 0, 1))
            self._original_predictions = predicted(
                trained, trained.model, pixels, "slice", device=torch.device("cpu")
            ).objects.sure(sure)

        def _create_object_prediction_list_from_original_predictions(self, **given):
            # A list an image, or the one list itself.
            shift, full = (
                v[0] if v and isinstance(v[0], (list, tuple)) else v
                for v in (given.get("shift_amount_list"), given.get("full_shape_list"))
            )
            o = self._original_predictions
            self._object_prediction_list_per_image = [[
                ObjectPrediction(
                    bbox=box, category_id=label, category_name=trained.classes[label], score=score, shift_amount=shift,
                    full_shape=full,
                )
                for box, label, score in zip(o.boxes.tolist(), o.labels.tolist(), o.scores.tolist(), strict=True)
            ]]  # fmt: skip

    Image.MAX_IMAGE_PIXELS = None
    model = OurModel(confidence_threshold=sure, device="cpu")
    start = time.perf_counter()
    result = get_sliced_prediction(
        image, model, slice_height=args.slice, slice_width=args.slice, perform_standard_pred=False, verbose=0,
        **options,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    rows = [
        [*p.bbox.to_xyxy(), p.category.id, p.score.value] for p in result.object_prediction_list
    ]
    return {"seconds": seconds, "objects": rows}


def serve(args: argparse.Namespace) -> None:
    """A contestant."""
    import torch

    torch.set_num_threads(THREADS)
    made = globals()[args.serve](args.run, args.image, args)
    made["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path(args.out).write_text(json.dumps(made))


def near(a: np.ndarray, b: np.ndarray, size: float = 256.0):
    """Pairs (i, j, overlap) of rows of one class that overlap, by a grid so that tens of thousands are compared quickly."""
    from striate.tasks.detect.boxes import overlap

    cells: dict[tuple[int, int], list[int]] = {}
    for j, row in enumerate(b):
        middle = ((row[0] + row[2]) / 2 // size, (row[1] + row[3]) / 2 // size)
        cells.setdefault((int(middle[0]), int(middle[1])), []).append(j)
    for i, row in enumerate(a):
        x, y = int((row[0] + row[2]) / 2 // size), int((row[1] + row[3]) / 2 // size)
        others = [j for dx in (-1, 0, 1) for dy in (-1, 0, 1) for j in cells.get((x + dx, y + dy), ())]  # fmt: skip
        others = [j for j in others if b[j, 4] == row[4]]
        if others:
            for j, value in zip(others, overlap(row[None, :4], b[others, :4])[0], strict=True):
                if value > 0:
                    yield i, j, value


def against(whole: np.ndarray, other: np.ndarray) -> dict[str, int]:
    """Which objects of the whole map others have missed, doubled and cut, and boxes that are on none."""
    taken: dict[int, list[float]] = {}
    best: dict[int, tuple[float, int]] = {}
    for j, i, value in near(other, whole):
        if value > best.get(j, (0.0, -1))[0]:
            best[j] = (value, i)
    for value, i in best.values():
        if value >= 0.5:
            taken.setdefault(i, []).append(value)
    return {
        "missed": len(whole) - len(taken),
        "doubled": sum(len(v) - 1 for v in taken.values()),
        "cut": int(sum(max(v) < 0.9 for v in taken.values())),
        "on none": len(other) - sum(map(len, taken.values())),
    }


def scored(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(recall, precision) at an overlap of a half; crowds count neither way."""
    hit: set[int] = set()
    right, ignored = 0, 0
    pairs: dict[int, list[tuple[float, int]]] = {}
    for i, j, value in near(found, truth):
        if value >= 0.5:
            pairs.setdefault(i, []).append((value, j))
    for i in np.argsort(-found[:, 5], kind="stable").tolist():
        free = [(v, j) for v, j in pairs.get(i, ()) if j not in hit and not truth[j, 5]]
        if free:
            hit.add(max(free)[1])
            right += 1
        elif any(truth[j, 5] for _, j in pairs.get(i, ())):
            ignored += 1
    return right / int((truth[:, 5] == 0).sum()), right / max(len(found) - ignored, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--slice", type=int, default=512)
    parser.add_argument("--memory", default="500MB")
    parser.add_argument("--python", default=sys.executable, help="a Python that has SAHI")
    for name in ("--serve", "--image", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args)
    import tifffile

    image, truth = laid(args.side)
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        tifffile.imwrite(path, image, tile=(256, 256), photometric="rgb")
        del image
        contestants = {"striate": sys.executable, "sahi": args.python, "sahi_nms": args.python}
        for name, python in contestants.items():
            out = Path(folder) / f"{name}.json"
            command = [
                python, __file__, args.run, "--serve", name, "--image", str(path), "--out", str(out),
                "--memory", args.memory, "--slice", str(args.slice),
            ]  # fmt: skip
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
            if done.returncode:
                print(f"{name}: left out ({(done.stderr.strip().splitlines() or ['no answer'])[-1]})")  # fmt: skip
                continue
            results[name] = json.loads(out.read_text())
    if "striate" not in results:
        return
    known = np.array(truth)
    print(f"{args.side} x {args.side} pixels, {int((known[:, 5] == 0).sum()):,} objects")
    print("certificate:", json.dumps(results["striate"]["certificate"])[:600])
    sure = results["striate"]["sure"]
    whole = np.array([row for row in results["striate"]["objects"] if row[5] >= sure])
    for name, made in results.items():
        rows = np.array([row for row in made["objects"] if row[5] >= sure])
        recall, precision = scored(rows, known)
        print(
            f"{name:8} {made['seconds']:6.1f} s  {made['memory'] / 2**20:,.0f} MiB  {len(rows):,} boxes  "
            f"recall {recall:.3f}  precision {precision:.3f}  {against(whole, rows)}"
        )  # fmt: skip


if __name__ == "__main__":
    main()
