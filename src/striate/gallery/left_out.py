"""Left out: images that could not be used, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from striate.findings import Table
from striate.wording import counted

LISTED = 50  # images in a table


def left_out(left: Sequence[tuple[str, str]], what: str) -> list[Table]:
    """A table of the images that could not be used, each a path and the reason; none where there are none. what: could not
    be done with them."""
    if not left:
        return []
    return [
        Table(
            columns=("left out", "why"), rows=tuple(left[:LISTED]),
            caption=f"{counted(len(left), 'image')} could not be {what}",
        )
    ]  # fmt: skip
