"""Migrating: what `run.toml` said in earlier formats, as the present one says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.errors import RunError
from striate.schema import Key, expect, is_kind, one_of, shortened

FORMAT = 3  # of run.toml; a later, incompatible one gets another number

# Format 2 (until 2026-11) had no digests. Format 1 (until 2026-11): two kinds of runs, all settings side by side.
KINDS = {"classes": "classify", "masks": "segment"}
RENAMED = {"googlenet": "googlenet-torchvision"}  # whose 3 x 3 kernels it had until format 3
SEGMENT = ("masks", "ignore", "foreground", "dice", "class_weights", "zoom", "jitter")


def migrated(info: dict[str, Any], path: Path) -> dict[str, Any]:
    """The contents of `run.toml` in the present format; the file stays as it is. Raises RunError for a later
    format, ValueError or KeyError for what no format has.
    """
    number = info["format"]
    if not is_kind(number, (int,)) or number < 1:
        raise ValueError(
            f"format must be a whole number from 1 to {FORMAT}, got {shortened(number)}"
        )
    if number > FORMAT:
        raise RunError(
            f"{path / 'run.toml'} has format {shortened(number)}, and this Striate reads formats 1 to {FORMAT}; "
            "update Striate"
        )
    if number < FORMAT and "digests" in info:
        raise ValueError(f"format {number} has no digests; it was 3 when it was written")
    if number == FORMAT and not isinstance(info.get("digests"), dict):
        raise ValueError("digests are missing")
    now = _from_1(info) if number == 1 else info
    recipe = now.get("recipe")
    if number < FORMAT and isinstance(recipe, dict) and recipe.get("model") in RENAMED:
        now = {**now, "recipe": {**recipe, "model": RENAMED[recipe["model"]]}}
    return {**now, "format": FORMAT}


def _from_1(info: dict[str, Any]) -> dict[str, Any]:
    expect(
        info, {"task": Key(str, True, one_of(*KINDS)), "recipe": Key(dict), "preparation": Key(dict)}, more=True
    )  # fmt: skip
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
