"""Comparing runs: two networks under the same changes of the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from striate.errors import DataError, RunError, UsageError
from striate.findings import Finding
from striate.robustness import Exam, at_chance, compare, resolve_probes
from striate.robustness.map_comparison import compare_maps
from striate.robustness.map_probes import resolve_map_probes
from striate.robustness.maps import MapExam, maps_at_chance
from striate.runs.evaluate import report_run
from striate.runs.images import images_of, source_of
from striate.runs.opening import Trained
from striate.runs.probing import IMAGES, Progress, exam_of, opened_run
from striate.runs.probing_masks import map_exam_of, mask_source_of
from striate.runs.run import Run


def compare_runs(
    first: str | Path | Run, second: str | Path | Run, names: Sequence[str] = (), *, data: str | None = None,
    images: int = IMAGES, seed: int = 0, progress: Progress | None = None,
) -> Finding:  # fmt: skip
    """Two runs under the same changes of the same test images; stored in both.

    Raises RunError where one may have learned the other's test images: then pass --data with images new to both.
    """
    trained_all = [opened_run(first), opened_run(second)]
    a, b = [s.run for s in trained_all if s.run is not None]
    if a.labels_pixels != b.labels_pixels:
        raise UsageError(
            f"one of {a.path} and {b.path} gives an image one class and the other each pixel; compare runs of one kind"
        )
    if a.classes != b.classes:
        raise UsageError(
            f"{a.path} and {b.path} know different classes; compare runs of the same data"
        )
    resolve = resolve_map_probes if a.labels_pixels else resolve_probes
    probes = resolve(names) if names else []
    if data is None:
        _same_test_images(a, b)
    titles = (a.path.name, b.path.name)
    if titles[0] == titles[1]:
        titles = (str(a.path), str(b.path))
    if a.labels_pixels:
        maps = [_map_exam(trained, images, seed, data) for trained in trained_all]
        found = compare_maps(maps[0], maps[1], titles, probes, progress)
    else:
        exams = [_exam(trained, images, seed, data) for trained in trained_all]
        found = compare(exams[0], exams[1], titles, probes, progress)
    for run in (a, b):
        run.add(found)
        report_run(run)
    return found


def _same_test_images(a: Run, b: Run) -> None:
    same = a.info["data"]["fingerprint"] == b.info["data"]["fingerprint"]
    splits = [(r.recipe.seed, r.recipe.val, r.recipe.test) for r in (a, b)]
    if same and splits[0] != splits[1]:
        # A source with a test split of its own has the same one whatever the seed.
        opened = mask_source_of if a.labels_pixels else source_of
        test = [list(opened(r).test.keys) for r in (a, b)]
        same = test[0] == test[1]
    if not same:
        raise RunError(
            f"{a.path} and {b.path} were tested on different images, so one may have learned the other's; "
            "pass images that are new to both with --data"
        )


def _exam(trained: Trained, images: int, seed: int, data: str | None) -> Exam:
    run = trained.run
    assert run is not None
    batch, labels = images_of(run, "test", limit=images, seed=seed, data=data)
    exam = exam_of(trained, batch, labels, seed)
    stopped = at_chance(exam)
    if stopped is not None:
        raise DataError(f"{run.path}: {stopped.verdict}")
    return exam


def _map_exam(trained: Trained, images: int, seed: int, data: str | None) -> MapExam:
    run = trained.run
    assert run is not None
    exam = map_exam_of(trained, mask_source_of(run, data), images, seed)
    why = maps_at_chance(exam)
    if why is not None:
        raise DataError(f"{run.path}: {why}")
    return exam
