"""Comparing runs: two networks under the same changes of the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from striate.errors import DataError, RunError, UsageError
from striate.findings import Finding
from striate.robustness import Context, at_chance, compare, resolve_probes
from striate.runs.evaluate import report_run
from striate.runs.images import examples_of, source_of
from striate.runs.opening import Trained
from striate.runs.probing import IMAGES, Progress, at_most, context_of, opened_run
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
    if a.task.name != b.task.name:
        raise UsageError(
            f"{a.path} gives {a.task.about} and {b.path} {b.task.about}; compare runs of one task"
        )
    if a.classes != b.classes:
        raise UsageError(
            f"{a.path} and {b.path} know different classes; compare runs of the same data"
        )
    probes = list(resolve_probes(names, a.task)) if names else []
    if data is None:
        _same_test_images(a, b)
    titles = (a.path.name, b.path.name)
    if titles[0] == titles[1]:
        titles = (str(a.path), str(b.path))
    contexts = [_context(trained, images, seed, data) for trained in trained_all]
    finding = compare(contexts[0], contexts[1], titles, probes, progress)
    for run in (a, b):
        run.add(finding)
        report_run(run)
    return finding


def _same_test_images(a: Run, b: Run) -> None:
    same = a.info["data"]["fingerprint"] == b.info["data"]["fingerprint"]
    splits = [(r.recipe.seed, r.recipe.val, r.recipe.test) for r in (a, b)]
    if same and splits[0] != splits[1]:
        # A source with a test split of its own has the same one whatever the seed.
        test = [list(source_of(r).test.keys) for r in (a, b)]
        same = test[0] == test[1]
    if not same:
        raise RunError(
            f"{a.path} and {b.path} were tested on different images, so one may have learned the other's; "
            "pass images that are new to both with --data"
        )


def _context(trained: Trained, images: int, seed: int, data: str | None) -> Context:
    run = trained.run
    assert run is not None
    limit = at_most(trained.task, images)
    examples = examples_of(run, source_of(run, data), limit=limit, seed=seed)
    context = context_of(trained, examples, seed)
    stopped = at_chance(context)
    if stopped is not None:
        raise DataError(f"{run.path}: {stopped.verdict}")
    return context
