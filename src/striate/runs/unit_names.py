"""The names that a dissection gave to a run's units, for whatever else shows them."""

from __future__ import annotations

from striate.errors import RunError
from striate.findings import Finding
from striate.tasks.trained import Trained
from striate.units.dissection_finding import names_of

STORED = "dissection"


def unit_names(trained: Trained, layer: str) -> dict[int, str]:
    """The names of a layer's units, such as "red (IoU 0.21)"; none where no dissection is stored in its run."""
    if trained.run is None:
        return {}
    file = trained.run.path / "findings" / f"{STORED}.json"
    if not file.is_file():
        return {}
    try:
        return names_of(Finding.load(file).data, layer)
    except (
        RunError
    ):  # altered by hand: what is measured of the units now stands without their names
        return {}
