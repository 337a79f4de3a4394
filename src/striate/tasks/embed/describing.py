"""What images of identities look like."""

from __future__ import annotations

from striate.data import Source
from striate.data.depth import Levels
from striate.data.description import described
from striate.findings import Finding


def describe_identities(source: Source, *, levels: Levels | None = None) -> Finding:
    """Counts, sizes and formats of a source."""
    return described(
        source,
        f"of {len(source.classes)} identities",
        tables=(),
        figures=(),
        data={},
        levels=levels,
    )
