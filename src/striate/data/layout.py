"""Layout: which class and split each image file of a folder belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

from striate.data.leftout import LeftOut
from striate.data.naming import normal
from striate.data.source import Damage
from striate.data.tree import Parts
from striate.wording import as_text


@dataclass(kw_only=True)
class Layout:
    """keys[i] (relative to the root) has class classes[i] and split given[i], or None.

    sizes are the (height, width) that a table states; tables are those that were used. The rest is what Source says of them.
    """

    keys: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    given: list[str | None] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    damaged: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: tuple[LeftOut, ...] = ()
    tables: tuple[Parts, ...] = ()

    def add(self, parts: Parts, name: str, split: str | None) -> None:
        """Take an image in."""
        self.keys.append("/".join(parts))
        self.classes.append(normal(as_text(name)))
        self.given.append(split)
