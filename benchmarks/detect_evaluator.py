"""Seconds of COCO's average precision: pycocotools or faster-coco-eval and Striate in turn, on the same boxes or masks.

    python benchmarks/detect_evaluator.py [--images 5000] [--masks] [--rounds 3] [--peer faster-coco-eval]

Images with 10 objects each on average (Poisson) of 20 classes, of sizes as COCO has them, and 30 predictions: a box near
nine of ten objects with a jitter of a tenth of the side, one of twenty with another class, the rest anywhere; one in
fifty objects is a crowd. With `--masks` every object is an ellipse in its box, as run lengths. Timed are the matching
and the twelve numbers, from objects in memory: the peer's `evaluate`, `accumulate` and `summarize` after its index is
built, which is timed apart; Striate's `match` and `summary`. Both give the same twelve numbers; the largest difference
is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time

import numpy as np

from striate.tasks.detect.evaluation.average_precision import summary
from striate.tasks.detect.evaluation.matching import box_overlap, match, region_overlap
from striate.tasks.detect.objects import Objects, Region

CLASSES, SIZE = 20, (480, 640)
NAMES = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"
)  # fmt: skip


def made(count: int, masks: bool, seed: int = 0) -> tuple[list[Objects], list[Objects]]:
    """(predictions, truths) of images."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    predictions, truths = [], []
    for _ in range(count):
        n = rng.poisson(10)
        sides = np.exp(rng.normal(np.log(50), 0.9, n)).clip(6, 400)[:, None]
        sides = sides * np.exp(rng.normal(0, 0.3, (n, 2)))
        sides = sides.clip(4, [width - 2, height - 2])
        corner = rng.uniform(0, 1, (n, 2)) * ([width, height] - sides)
        boxes = np.concatenate([corner, corner + sides], 1)
        labels = rng.integers(0, CLASSES, n)
        truths.append(objects(boxes, labels, None, rng.random(n) < 0.02, masks))
        near = rng.random(n) < 0.9
        found = boxes[near] + rng.normal(0, 0.1, (near.sum(), 4)) * np.tile(sides[near], 2) / 2
        named = np.where(rng.random(near.sum()) < 0.05, rng.integers(0, CLASSES, near.sum()), labels[near])  # fmt: skip
        m = max(30 - len(found), 0)
        other = rng.uniform(0, 1, (m, 2)) * [width - 70, height - 70]
        more = np.concatenate([other, other + rng.uniform(8, 70, (m, 2))], 1)
        scores = np.concatenate([rng.beta(4, 2, len(found)), rng.beta(1, 6, m)])
        every = np.concatenate([found, more])
        every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 2)
        every = every.clip(0, [width, height, width, height])
        order = np.argsort(-scores, kind="stable")
        names = np.concatenate([named, rng.integers(0, CLASSES, m)])
        predictions.append(objects(every[order], names[order], scores[order], None, masks))
    return predictions, truths


def objects(boxes, labels, scores, crowd, masks: bool) -> Objects:
    """Objects, with an ellipse in each box as its region where masks are asked for."""
    regions = None
    if masks:
        regions = [ellipse(box) for box in boxes]
        boxes = np.array([r.box for r in regions], dtype=float).reshape(-1, 4)
    return Objects.of(boxes, labels, scores=scores, crowd=crowd, regions=regions)


def ellipse(box: np.ndarray) -> Region:
    """The pixels whose middles lie in a box's ellipse."""
    left, top = np.floor(box[:2]).astype(int)
    w, h = np.maximum(np.ceil(box[2:]).astype(int) - [left, top], 2)
    y, x = (np.arange(n) + 0.5 for n in (h, w))
    inside = ((y / h - 0.5) ** 2)[:, None] + ((x / w - 0.5) ** 2)[None] <= 0.25
    return Region.of(inside, int(top), int(left))


def documents(predictions: list[Objects], truths: list[Objects], masks: bool):
    """The same as COCO has them."""
    from pycocotools import mask as coding

    def one(o: Objects, i: int, at: int) -> dict:
        left, top, right, bottom = o.boxes[at].tolist()
        entry = {"image_id": i, "category_id": int(o.labels[at]) + 1}
        entry["bbox"] = [left, top, right - left, bottom - top]
        if masks:
            full = np.asfortranarray(o.regions[at].full(*SIZE).astype(np.uint8))
            entry["segmentation"] = coding.encode(full)
        return entry

    annotations, results = [], []
    for i, (p, t) in enumerate(zip(predictions, truths, strict=True), start=1):
        for at in range(len(t)):
            entry = one(t, i, at)
            entry |= {"id": len(annotations) + 1, "iscrowd": int(t.crowd[at]), "area": float(t.areas[at])}  # fmt: skip
            annotations.append(entry)
        for at in range(len(p)):
            entry = one(p, i, at) | {"score": float(p.scores[at])}
            if masks:  # with a box COCO takes its area for the mask's
                del entry["bbox"]
            results.append(entry)
    images = [{"id": i + 1, "height": SIZE[0], "width": SIZE[1]} for i in range(len(truths))]
    categories = [{"id": k + 1, "name": str(k)} for k in range(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def peer_of(name: str):
    """The classes COCO and COCOeval of a peer."""
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    from faster_coco_eval import COCO, COCOeval_faster  # pip install faster-coco-eval

    return COCO, COCOeval_faster


def judged(name: str, document, results, masks: bool) -> tuple[float, float, np.ndarray]:
    """Seconds of the index, seconds of the evaluation, and the twelve numbers of a peer."""
    COCO, COCOeval = peer_of(name)
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        truth = COCO()
        truth.dataset = document
        truth.createIndex()
        found = truth.loadRes([dict(one) for one in results])  # which adds to them
        indexed = time.perf_counter()
        evaluation = COCOeval(truth, found, "segm" if masks else "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return indexed - start, time.perf_counter() - indexed, np.asarray(evaluation.stats)[:12]


def striate(predictions, truths, masks: bool) -> tuple[float, np.ndarray]:
    """Seconds, and the twelve numbers."""
    start = time.perf_counter()
    matches = match(predictions, truths, overlap=region_overlap if masks else box_overlap)
    numbers = summary(matches, CLASSES)
    seconds = time.perf_counter() - start
    return seconds, np.array([numbers[name] for name in NAMES])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--masks", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--peer", choices=["pycocotools", "faster-coco-eval"], default="pycocotools"
    )
    args = parser.parse_args()
    predictions, truths = made(args.images, args.masks)
    document, results = documents(predictions, truths, args.masks)
    ratios, difference = [], 0.0
    for _ in range(args.rounds):
        index, theirs, expected = judged(args.peer, document, results, args.masks)
        ours, numbers = striate(predictions, truths, args.masks)
        difference = max(difference, float(np.abs(expected - numbers).max()))
        ratios.append(theirs / ours)
        print(
            f"{args.peer} {theirs:.2f} s (index {index:.2f} s), striate {ours:.2f} s, {ratios[-1]:.2f}x", flush=True
        )  # fmt: skip
    print(
        f"{args.images:,} images, {'masks' if args.masks else 'boxes'}: {statistics.median(ratios):.2f}x "
        f"({min(ratios):.2f} to {max(ratios):.2f}), largest difference {difference:.1e}"
    )


if __name__ == "__main__":
    main()
