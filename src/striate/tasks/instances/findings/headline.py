"""The headline: average precision of masks and boxes, and panoptic quality, with intervals over images."""

from __future__ import annotations

import numpy as np

from striate.findings import Finding, Table
from striate.statistics.bootstrap import Interval, bootstrap
from striate.tasks.detect.evaluate import Assessed
from striate.tasks.detect.findings.headline import judge_precision
from striate.tasks.instances.metric import scorer
from striate.wording import counted

GOOD = 0.4  # mask AP from which on nothing needs to be said
LABELS = {
    "mask_ap": "mask AP (mean over overlaps of 0.50 to 0.95)",
    "mask_ap50": "mask AP50 (overlap of 0.50)",
    "mask_ap75": "mask AP75 (overlap of 0.75)",
    "box_ap": "box AP (of the boxes around the masks)",
    "box_ap50": "box AP50",
    "pq": "panoptic quality, PQ = SQ x RQ in each class",
    "sq": "SQ: how well the pixels of found objects fit",
    "rq": "RQ: how many are found, and how few invented",
}


def intervals(assessed: Assessed, classes: int, *, seed: int = 0) -> dict[str, Interval]:
    """Every score with its bootstrap 95 % interval over images."""
    score = scorer(list(assessed.evidence), classes)

    def resampled(index: np.ndarray) -> np.ndarray:
        often = np.stack([np.bincount(row, minlength=len(assessed)) for row in index])
        return np.stack(list(score(often).values()), 1)

    spans = bootstrap(resampled, len(assessed), seed=seed)
    return {
        name: Interval(spans.value[i], spans.low[i], spans.high[i]) for i, name in enumerate(LABELS)
    }


def headline_instances(assessed: Assessed, classes: int, sure: float, *, seed: int = 0) -> Finding:
    """Mask AP, box AP and panoptic quality on held-out images. sure: score from which on an object counts for the last."""
    spans = intervals(assessed, classes, seed=seed)
    main, n = spans["mask_ap"], len(assessed)
    objects = int(sum((~o.crowd).sum() for o in assessed.truths))
    status, advice = judge_precision(main, n, "masks", GOOD)
    return Finding(
        name="headline",
        title="How good it is",
        verdict=(
            f"Mask AP {float(main.value):.3f} on {counted(n, 'held-out image')} with {counted(objects, 'object')} (95 % "
            f"interval {main.text('.3f')}); box AP {float(spans['box_ap'].value):.3f}, panoptic quality "
            f"{float(spans['pq'].value):.3f}."
        ),
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("measure", "value", "95 % interval"),
                rows=tuple((text, float(spans[k].value), spans[k].text(".3f")) for k, text in LABELS.items()),
                formats=("", ".3f", ""),
                caption=(
                    "AP is COCO's: a prediction is an object whose pixels it shares by so much (intersection over union). "
                    f"Panoptic quality takes predictions with a score of {sure:g} and more, every pixel given to the best, "
                    "and is the mean over classes. Intervals from 1,000 bootstrap resamples of the images."
                ),
            ),
        ),
        data={
            "images": n,
            "objects": objects,
            "classes": classes,
            "score": sure,
            **{k: {p: float(v) for p, v in span._asdict().items()} for k, span in spans.items()},
            "key_figure": {
                "label": "mask AP on held-out images",
                "value": float(main.value),
                "low": float(main.low),
                "high": float(main.high),
                "format": ".3f",
            },
        },
        seed=seed,
    )  # fmt: skip
