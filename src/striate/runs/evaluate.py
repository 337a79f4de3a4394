"""Evaluate: everything that a run's report says, found once after training and stored in the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from striate.data import Source, Split, SplitDataset, check, describe
from striate.data.batches import DiskImages, OrderedBatches
from striate.errors import StriateError
from striate.findings import Finding
from striate.geometry import summary, trace
from striate.report import write_report
from striate.runs import provenance
from striate.runs.allowance import Allowance
from striate.runs.dossiers import unit_findings
from striate.runs.explaining import BUDGET as EXPLAINING
from striate.runs.explaining import explanations
from striate.runs.run import Run
from striate.runs.training_curves import training_curves
from striate.statistics.temperature import fit_temperature
from striate.tasks.classify import findings
from striate.training.callbacks import Listener
from striate.training.loop import predict_logits
from striate.training.machine import choose_precision

SHOWN = 6  # images in the section on what enters the network
BATCH = 256
WRITTEN = 12  # figures that follow the explanations in a report
SHORTEST = 1.0  # seconds below which no explanation is begun
LEAST_FOR_TEMPERATURE = 50  # validation images


def evaluate_run(
    run: Run,
    source: Source,
    listener: Listener,
    *,
    device: torch.device | None = None,
    why: Sequence[str] = (),
    allowance: Allowance | None = None,
) -> None:
    """Evaluate `run` on its held-out images, store the findings and write the report.

    Uses the test split, or the validation split where there is no test split. allowance: the command's time; explanations
    and units are made as far as it goes.
    """
    listener.stage("evaluating")
    split = source.test if len(source.test) else source.val
    run.add(describe(source, levels=run.preparation))
    run.add(check(source))
    if len(split):
        logits = split_logits(run, split, device or torch.device("cpu"))
        probabilities = torch.softmax(logits / run.temperature, 1).numpy()
        labels, classes = split.labels, run.classes
        headline = run.add(findings.headline(probabilities, labels, classes, seed=run.recipe.seed))
        run.info["results"] = {
            "split": "test" if len(source.test) else "val",
            "images": len(split),
            "accuracy": float((probabilities.argmax(1) == labels).mean()),
        }
        run.add(findings.per_class(probabilities, labels, classes, seed=run.recipe.seed))
        run.add(findings.confusion(probabilities, labels, classes))
        run.add(findings.calibration(probabilities, labels, classes, seed=run.recipe.seed))
        run.add(
            findings.mistakes(
                probabilities,
                labels,
                classes,
                lambda i: split.prepare(i, run.preparation),
                split.keys,
            )
        )
        run.add(seen(run, split))
        writing = WRITTEN * (allowance.figure if allowance else 0.0)
        free = allowance.left() - writing if allowance else float("inf")
        if free < SHORTEST:
            listener.say(
                f"no explanations or units: the budget is spent; `striate explain {run.path} IMAGE` and `striate units "
                f"{run.path}` make them"
            )
        else:
            explain_run(run, source, split, listener, min(EXPLAINING, 0.6 * free))
    if run.metrics:
        run.add(training_curves(run.metrics))
    shape = (1, run.preparation.channels, run.preparation.height, run.preparation.width)
    try:
        run.add(summary(trace(run.model, shape)))
    except StriateError as error:
        listener.say(f"no layer table: {error}")
    facts = {
        **run.info.get("training", {}),
        "data": run.info["data"]["where"],
        "fingerprint": source.fingerprint,
    }
    run.add(
        provenance.recipe(
            run.info["recipe"], run.info["versions"], facts=facts | {"decided": list(why)}
        )
    )
    if len(split):
        listener.finding(headline)


def explain_run(run: Run, source: Source, split: Split, listener: Listener, seconds: float) -> None:
    """Explanations, as many as fit into the seconds, and units; a sentence where the network allows none."""
    try:
        if (explained := explanations(run, split, budget=seconds)) is not None:
            run.add(explained)
    except StriateError as error:
        listener.say(f"no explanations: {error}")
    try:
        for found in unit_findings(run, source):
            run.add(found)
    except StriateError as error:
        listener.say(f"no units: {error}")


def calibrate(run: Run, source: Source, device: torch.device) -> None:
    """Fit the run's temperature on its validation images, if there are enough of them."""
    if len(source.val) >= LEAST_FOR_TEMPERATURE and len(source.test):
        logits = split_logits(run, source.val, device)
        run.info["temperature"] = round(
            fit_temperature(logits, torch.from_numpy(source.val.labels)), 4
        )


def split_logits(run: Run, split: Split, device: torch.device) -> torch.Tensor:
    """Logits (N, classes) float32 of a split, images prepared as in training."""
    images = DiskImages(
        SplitDataset(split, run.preparation), torch.from_numpy(split.labels), workers=0
    )
    batches = OrderedBatches(images=images, preparation=run.preparation, batch=BATCH, device=device)
    return logits_of_batches(run, batches, device)


def logits_of_batches(run: Run, batches: OrderedBatches, device: torch.device) -> torch.Tensor:
    """Logits of normalised batches, in the precision and with the mirror images that the recipe says."""
    model = run.model.to(device)
    dtype = choose_precision(run.recipe.precision, device)
    try:
        return predict_logits(model, batches, dtype=dtype, flip=bool(run.recipe.flip_test))
    finally:
        model.cpu()


def seen(run: Run, split: Split) -> Finding:
    """What the network sees of a few images, one a class as far as they go."""
    first = [int(np.flatnonzero(split.labels == c)[0]) for c in np.unique(split.labels)[:SHOWN]]
    originals = [run.preparation.eight_bits(split.image(i)) for i in first]
    sizes = [image.shape[:2] for image in originals]
    squashed = run.preparation.fit == "squash"
    return findings.as_seen(
        originals,
        np.stack([split.prepare(i, run.preparation) for i in first]),
        [0.0 if squashed else run.preparation.lost_fraction(*size) for size in sizes],
        [split.keys[i] for i in first],
        squeezes=[1 - run.preparation.lost_fraction(*size) for size in sizes] if squashed else None,
    )


def report_run(run: Run) -> None:
    """Write `report.html` from the run's findings, the checklist of a probed run brought up to date. Raises RunError."""
    if (run.path / "findings" / "checklist.json").is_file():
        from striate.robustness import checklist

        run.add(checklist(list(run.findings()), maps=run.labels_pixels))
    recipe, data = run.recipe, run.info["data"]
    results = run.info.get("results", {})
    write_report(
        run.path / "report.html",
        list(run.findings()),
        title=f"{recipe.model} on {recipe.data}",
        subtitle=f"{run.path.name}: {len(run.classes)} classes, {data['train']:,} training images",
        facts={
            "tested on": f"{results.get('images', 0):,} images",
            "trained for": f"{run.info.get('training', {}).get('seconds', 0):.0f} s",
            "image size": f"{run.preparation.height} × {run.preparation.width}",
            "seed": str(recipe.seed),
        },
        generated=f"{run.info['created']} by Striate {run.info['versions']['striate']}",
    )
