"""Where a network comes from: the recipe and the versions that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.findings import Cell, Finding, Table


def recipe(
    recipe: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    facts: Mapping[str, Any] | None = None,
) -> Finding:
    """Everything that decided the training, as tables: recipe (nested mappings are flattened),
    versions, other facts.

    facts: what else belongs to the record, such as hardware, precision used, or the data's
    fingerprint.
    """
    settings = _flatten(recipe)
    seed = recipe.get("seed")
    tables = [
        _table(
            ("setting", "value"), settings, "Recipe: the same recipe and data give the same run."
        )
    ]
    if facts:
        tables.append(
            _table(("fact", "value"), _flatten(facts), "Measured or decided at the time.")
        )
    if versions:
        tables.append(_table(("package", "version"), dict(versions), "Versions of what ran."))
    return Finding(
        name="recipe",
        title="How to make it again",
        verdict=(
            f"{len(settings)} settings"
            f"{f' and seed {seed}' if seed is not None else ''} decide this training; "
            "with the same data, machine and versions they give the same weights."
        ),
        status="note",
        tables=tuple(tables),
        data={"recipe": settings, "versions": dict(versions), "facts": _flatten(facts or {})},
        seed=seed if isinstance(seed, int) else None,
    )


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Cell]:
    flat: dict[str, Cell] = {}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}.")
        elif value is None or isinstance(value, (bool, int, float, str)):
            flat[name] = value
        elif isinstance(value, (list, tuple)):
            items = [str(item) for item in value]
            flat[name] = ("; " if any("," in item for item in items) else ", ").join(items)
        else:
            flat[name] = str(value)
    return flat


def _table(columns: tuple[str, str], values: Mapping[str, Cell], caption: str) -> Table:
    return Table(
        columns=columns,
        rows=tuple((name, _words(value)) for name, value in values.items()),
        caption=caption,
    )


def _words(value: Cell) -> Cell:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
