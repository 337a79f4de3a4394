"""What data hold, as findings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.data.manifest import make_manifest
from striate.errors import UsageError
from striate.findings import Finding
from striate.paths import given_path
from striate.report import write_report
from striate.runs.galleries import near_in, nothing
from striate.runs.record import now, versions
from striate.tasks.table import recipe_for, task_of

Count = Callable[[int, int], None]


def describe_data(
    data: str | Path,
    *,
    task: str | None = None,
    page: str | Path | None = None,
    near: bool = False,
    manifest: str | Path | None = None,
    progress: Count | None = None,
    **settings: Any,
) -> list[Finding]:
    """See `striate.api.data`."""
    if manifest is not None:
        place = given_path(manifest, "--manifest")
        if task is not None:
            raise UsageError(
                "--manifest lists images with one class each, whatever is learned; leave --task out"
            )
        if os.path.lexists(place):
            raise UsageError(
                f"--manifest writes a file of its own, and {place} exists; choose another name"
            )
        data = make_manifest(data, place, progress=progress).path
    if page is not None:
        page = given_path(page, "--page")
        if page.suffix.lower() != ".html" or page.exists():
            what = "exists; choose another name" if page.exists() else "is no .html file; name one"
            raise UsageError(f"--page writes a page of its own, and {page} {what}")
    learned = task_of(data, task)
    recipe = recipe_for(learned, {"data": str(data), **settings})
    source = learned.open(recipe, progress)
    checked = learned.check(source)  # refuses what cannot be trained on
    found = [learned.describe(source), checked]
    if near:
        found.append(near_in(source, seed=recipe.seed, progress=progress or nothing))
    if page is not None:
        write_report(
            page,
            found,
            title=source.name,
            subtitle=found[0].verdict,
            facts={
                "images": f"{len(source):,}",
                (learned.named or learned.outputs)[1]: f"{len(source.classes):,}",
            },
            generated=f"{now()} by Striate {versions()['striate']}",
        )
    return found
