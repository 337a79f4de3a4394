"""Migrating: what `run.toml` said in earlier formats, as the present one says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.errors import RunError

FORMAT = 2  # of run.toml; a later, incompatible one gets another number

# Format 1 (until 2026-11): two kinds of runs, all settings side by side.
KINDS = {"classes": "classify", "masks": "segment"}
SEGMENT = ("masks", "ignore", "foreground", "dice", "class_weights", "zoom", "jitter")


def migrated(info: dict[str, Any], path: Path) -> dict[str, Any]:
    """The contents of `run.toml` in the present format; the file stays as it is. Raises RunError for a later format."""
    number = info["format"]
    if number == 1:
        info = _from_1(info)
    elif number != FORMAT:
        raise RunError(
            f"{path} has format {number}, and this Striate reads formats 1 to {FORMAT}; update Striate"
        )
    return info


def _from_1(info: dict[str, Any]) -> dict[str, Any]:
    task = KINDS[info.get("task", "classes")]
    recipe = dict(info["recipe"])
    old = recipe.pop("mask_255", None)  # the name of `ignore` before it took any value
    own = {name: recipe.pop(name) for name in SEGMENT if name in recipe}
    if old is not None:
        own.setdefault("ignore", "255" if old == "ignore" else "none")
    recipe["task"] = task
    if task == "segment":
        recipe["segment"] = own
    rest = {name: value for name, value in info.items() if name != "preparation"}
    return {
        **rest,
        "format": FORMAT,
        "task": task,
        "recipe": recipe,
        "preprocessing": info["preparation"],
    }
