"""The table of sources as a finding; apart from what opens them, which takes longer to import."""

from __future__ import annotations

from collections.abc import Mapping

from striate.findings import Finding, Table

A_PATH = (
    "a path",
    "a folder with a folder a class, with train/, val/, test/, or a labels.csv; or with images/ and masks/",
)


def table_of_sources(known: Mapping[str, str]) -> Finding:
    """Named sources, name -> what it is, and that a path is one."""
    return Finding(
        name="sources",
        title="Sources of images",
        verdict=f"{len(known)} named sources, or a folder of your own.",
        tables=(Table(columns=("source", "what it is"), rows=(*known.items(), A_PATH)),),
        data={"sources": dict(known)},
    )
