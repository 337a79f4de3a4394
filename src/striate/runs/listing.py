"""Lists: the models that can be named, and what data hold, as findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from striate.errors import UsageError
from striate.findings import Finding, Table
from striate.geometry import trace
from striate.models import MODELS, build
from striate.paths import given_path
from striate.report import write_report
from striate.runs.galleries import near_in, nothing
from striate.runs.record import now, versions
from striate.tasks.table import recipe_for, task_of

Count = Callable[[int, int], None]


def list_models(pattern: str | None = None, *, progress: Count | None = None) -> Finding:
    """See `striate.api.models`."""
    if pattern is not None and pattern.startswith("timm/"):
        return list_timm(pattern.removeprefix("timm/"))
    names = [name for name in MODELS if pattern is None or pattern.lower() in name]
    if not names:
        raise UsageError(f"no model's name contains {pattern!r}; see `striate models`")
    rows: list[dict[str, Any]] = []
    for name in names:
        entry = MODELS[name]
        classes = 2 if entry.pixels else 1000 if entry.size[0] > 64 else 10
        with torch.device("meta"):
            module = build(name, in_channels=entry.channels, num_classes=classes)
        shape = (entry.channels, *entry.size)
        geometry = trace(module.eval(), (1, *shape))
        rows.append(
            {
                "model": name,
                "input": "x".join(map(str, shape)),
                "classes": classes,
                "parameters": geometry.total_params,
                "multiply_adds": geometry.total_macs,
                "description": entry.description,
            }
        )
        if progress is not None:
            progress(len(rows), len(names))
    return Finding(
        name="models",
        title="Models",
        verdict=f"{len(rows)} models by name; also layer patterns, and timm/NAME.",
        tables=(Table(columns=tuple(rows[0]), rows=tuple(tuple(row.values()) for row in rows)),),
        data={"models": rows},
    )


def list_timm(part: str) -> Finding:
    """The names of timm's models that contain `part`; they are too many to build."""
    import timm

    names = [f"timm/{name}" for name in timm.list_models(f"*{part}*")]
    if not names:
        raise UsageError(f"no model of timm's has {part!r} in its name; see `striate models timm/`")
    return Finding(
        name="models",
        title="Models of timm",
        verdict=f"{len(names):,} models of timm's.",
        tables=(Table(columns=("model",), rows=tuple((name,) for name in names)),),
        data={"models": names},
    )


def describe_data(
    data: str | Path,
    *,
    task: str | None = None,
    page: str | Path | None = None,
    near: bool = False,
    progress: Count | None = None,
    **settings: Any,
) -> list[Finding]:
    """See `striate.api.data`."""
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
