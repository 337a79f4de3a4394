"""Comparing runs: two networks under the same changes of the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from striate.errors import DataError, RunError, UsageError
from striate.findings import Finding
from striate.robustness import Exam, at_chance, resolve_probes
from striate.robustness import compare as compare_exams
from striate.runs.evaluate import report_run
from striate.runs.images import images_of, source_of
from striate.runs.probing import IMAGES, Progress, classifier, exam_of
from striate.runs.run import Run


def compare_runs(
    first: str | Path | Run, second: str | Path | Run, names: Sequence[str] = (), *, data: str | None = None,
    images: int = IMAGES, seed: int = 0, progress: Progress | None = None,
) -> Finding:  # fmt: skip
    """Two runs under the same changes of the same test images; stored in both.

    Raises RunError where one may have learned the other's test images: then pass --data with images new to both.
    """
    probes = resolve_probes(names) if names else []
    subjects = [classifier(first), classifier(second)]
    (a, _), (b, _) = subjects
    if a.classes != b.classes:
        raise UsageError(
            f"{a.path} and {b.path} know different classes; compare runs of the same data"
        )
    if data is None:
        same = a.info["data"]["fingerprint"] == b.info["data"]["fingerprint"]
        splits = [(r.recipe.seed, r.recipe.val, r.recipe.test) for r in (a, b)]
        # A source with a test split of its own has the same one whatever the seed.
        test = [source_of(r).test.keys for r in (a, b)] if same and splits[0] != splits[1] else None
        if not same or (test is not None and list(test[0]) != list(test[1])):
            raise RunError(
                f"{a.path} and {b.path} were tested on different images, so one may have learned the other's; "
                "pass images that are new to both with --data"
            )
    exams: list[Exam] = []
    for run, subject in subjects:
        batch, labels = images_of(run, "test", limit=images, seed=seed, data=data)
        exam = exam_of(subject, batch, labels, seed)
        stopped = at_chance(exam)
        if stopped is not None:
            raise DataError(f"{run.path}: {stopped.verdict}")
        exams.append(exam)
    titles = (a.path.name, b.path.name)
    if titles[0] == titles[1]:
        titles = (str(a.path), str(b.path))
    found = compare_exams(exams[0], exams[1], titles, probes, progress)
    for run, _ in subjects:
        run.add(found)
        report_run(run)
    return found
