"""The check before training: what in images of identities would spoil a result."""

from __future__ import annotations

from striate.data import Source
from striate.data.checks import checked
from striate.data.source import refuse_empty
from striate.errors import DataError
from striate.findings import Finding


def check_identities(source: Source) -> Finding:
    """Look for what would spoil a training or its measurement. Raises DataError where it cannot start at all."""
    refuse_empty(source)
    total = f"{len(source):,} images of {len(source.classes)} identities"
    return checked(source, [], total)


_ = DataError
