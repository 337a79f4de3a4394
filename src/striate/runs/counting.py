"""Counting: parameters and multiply-adds of every model of the table, by tracing each.

`python -m striate.runs.listing` writes it down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from striate.data import SOURCES
from striate.geometry import trace
from striate.models import MODELS, build
from striate.tasks.table import TASKS

Count = Callable[[int, int], None]


def count_models(
    pattern: str | None = None, *, progress: Count | None = None, names: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """A row a model whose name contains `pattern`: name, input, classes, parameters, multiply-adds, description.

    progress: called with (models done, models in all). names: of the models looked at, all of the table if not given.
    """
    known = MODELS if names is None else names
    chosen = [name for name in known if pattern is None or pattern.lower() in name]
    rows: list[dict[str, Any]] = []
    for name in chosen:
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
            progress(len(rows), len(chosen))
    return rows


def own_lists() -> dict[str, Any]:
    """What `listed.json` holds: Striate's own models and sources, without those of plug-ins."""
    own = {name: entry.about for name, entry in SOURCES.own.items()}
    own |= {n: about for task in TASKS.own.values() for n, about in task.sources.items()}
    return {
        "models": count_models(names=MODELS.own),
        "sources": [{"source": name, "about": about} for name, about in own.items()],
    }
