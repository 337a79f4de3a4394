"""Tiling of a detector: what it gives by tiles, the objects of all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from striate.documents import Listing
from striate.findings import Finding, Table
from striate.tasks.detect.forms.form import Forms
from striate.tasks.detect.forms.table import form_of
from striate.tasks.detect.forward import output_of
from striate.tasks.detect.frame import original
from striate.tasks.detect.framed_image import FramedImage
from striate.tasks.detect.peaks import LEAST
from striate.tasks.detect.predict import coco_document, prediction_of, write_document
from striate.tasks.detect.prediction import DetectionPrediction
from striate.tasks.tiling import SHOWN, TileJob


def tile_objects(
    job: TileJob, forms: Forms = form_of, kind: type[DetectionPrediction] = DetectionPrediction,
    writers: Mapping[str, Callable[[Path, Any], None]] = MappingProxyType({}),
) -> Finding:  # fmt: skip
    """The objects of an image of any size, written into `job.out` as JSON in COCO's form.

    forms: which one an output has. kind: of prediction. writers: of endings that `job.out` may have instead, what writes the
    prediction into that file.

    Tiles give what the network gives for the whole image; only then are the best objects chosen, so that no seam cuts or
    doubles an object, whatever the tiles are.
    """
    job.refuse_taken()
    classes = job.trained.classes
    height, width = job.image.shape[1:]
    framed, how = framed_job(job), job.trained.preprocessing
    output = output_of(job.trained.model, job.trained.shape)
    objects, certificate = forms(output).tile(framed, output, len(classes))
    objects = original(objects, (height, width), how)
    prediction = prediction_of(objects, str(job.path), (height, width), job.trained, kind)
    shown = prediction.shown
    counts = np.bincount(shown.labels, minlength=len(classes))
    order = np.argsort(-counts, kind="stable")
    rows = [{"class": classes[c], "objects": int(counts[c])} for c in order if counts[c]]
    table = Table(
        columns=("class", "objects"),
        rows=tuple((r["class"], r["objects"]) for r in rows[: 4 * SHOWN]),
        formats=("", ","),
        caption=f"Objects with a score of {prediction.sure:g} and more; the file has those of {LEAST:g} and more.",
    )
    document = coco_document([prediction], classes)
    where = "" if job.out is None else f" They are in {job.out}."
    finding = job.finding(
        f"{len(shown):,} objects in {width:,} x {height:,} pixels.{where}",
        certificate, table, rows_of(prediction), objects=document["annotations"], categories=document["categories"],
    )  # fmt: skip
    writer = None if job.out is None else writers.get(job.out.suffix.lower())
    if job.out is not None and writer is not None:
        writer(job.out, prediction)
    elif job.out is not None:
        document["certificate"] = certificate.to_dict()
        write_document(job.out, document)
    return finding


def rows_of(prediction: DetectionPrediction) -> Sequence[Mapping[str, Any]]:
    """The rows of a prediction, made when they are asked for; see `DetectionPrediction.rows`."""
    count = len(prediction.shown)
    if not count:
        return prediction.rows()
    return Listing(count, lambda first, last: prediction.rows(part=slice(first, last)))


def framed_job(job: TileJob) -> TileJob:
    """The job with an image that is read as the network sees it; itself where nothing is resized."""
    how = job.trained.preprocessing
    if how == how.unframed:
        return job
    trained = replace(job.trained, preprocessing=how.unframed)
    return replace(job, image=FramedImage(job.image, how), trained=trained)
