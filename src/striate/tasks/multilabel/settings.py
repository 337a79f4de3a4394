"""The settings that multi-label classification adds to a recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MultilabelSettings:
    """What multi-label classification decides beside the recipe.

    targets: columns of the table, separated by commas; None: the column of tags, or all that say yes or no.
    """

    targets: str | None = None
