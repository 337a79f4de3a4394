"""Certificate: what a tiled run did, and how far its numbers lie from those of the plain module."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from striate.inference.tiled.plan.limits import show_bytes
from striate.inference.tiled.verify.comparing import FLIPS, TOLERANCE

STRATEGIES = {
    "whole": "the whole image at once",
    "halo": "tiles that overlap by what a position sees",
    "carry": "tiles without overlap: rows or columns are kept for the next",
    "mixed": "tiles that overlap along one axis, with rows or columns kept along the other",
}


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What was done, and how exact it is.

    strategy: "whole" (one tile), "halo" (tiles that overlap), "carry" (rows or columns are kept, every value is computed
        once) or "mixed" (carried along one axis, with halos along the other).
    image: (C, *spatial); tile: pixels of the image under one tile; halo: pixels that an inner position sees before and
        after its own, an axis each; tiles and passes: how many.
    arithmetic: multiply-adds done for each multiply-add of one forward pass.
    predicted_bytes, measured_bytes: the most memory above the module and the image, measured in the process, None where
        that is not possible; limit_bytes: what was allowed, None for no limit.
    reference: what the results were compared with: the untouched module on the whole image, on `samples` crops of it, or on
        a smaller image that was cut in the same way; or why nothing was compared.
    difference: the largest absolute difference divided by the largest value, None where nothing was compared; tolerance:
        up to where that counts as equal; flips: the share of whole numbers (classes) that differ.
    seconds: how long the run took, without the samples.
    """

    strategy: str
    image: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]
    tiles: int
    passes: int
    arithmetic: float
    predicted_bytes: int
    measured_bytes: int | None
    limit_bytes: int | None
    samples: int
    difference: float | None
    reference: str
    seconds: float
    tolerance: float = TOLERANCE
    flips: float = 0.0

    @property
    def exact(self) -> bool | None:
        """Whether the difference is within the tolerance; None if nothing could be compared."""
        if self.difference is None:
            return None
        return self.difference <= self.tolerance and self.flips <= FLIPS

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.difference is None:
            text = f"Not verified: {self.reference}"
        elif self.exact:
            text = f"Equal to {self.reference}, to {self.difference:.1e} of the largest value"
            if self.difference > TOLERANCE:
                text += ", as much as the network's own rounding"
        else:
            text = f"Differs from {self.reference} by {self.difference:.1e} of the largest value"
        if self.flips:
            text += f", {self.flips:.2%} of whole numbers tipped over"
        memory = self.predicted_bytes if self.measured_bytes is None else self.measured_bytes
        return f"{text}; {show_bytes(memory)} of memory, {self.arithmetic:.2f}x the arithmetic."

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON types."""
        raw = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in raw.items()} | {
            "halo": [list(h) for h in self.halo],
            "exact": self.exact,
            "verdict": self.verdict,
        }

    def to_finding(self) -> dict[str, Any]:
        """The same in the form of `Finding.to_dict`, for reports."""
        status = {None: "note", True: "good", False: "problem"}[self.exact]
        return {
            "name": "tile",
            "title": "Tiled inference",
            "verdict": self.verdict,
            "status": status,
            "advice": ""
            if status != "problem"
            else "Report this network: its tiles should not differ.",
            "tables": [
                {
                    "columns": ["certificate", ""],
                    "rows": [list(row) for row in self.rows],
                    "formats": [],
                    "caption": "",
                }
            ],
            "figures": [],
            "data": self.to_dict(),
            "seed": None,
            "seconds": self.seconds,
        }

    @property
    def _passes(self) -> tuple[tuple[str, str], ...]:
        if self.passes == 1:
            return ()
        why = "a layer that needs a whole map, such as global pooling, ends one"
        return (
            ("of these", f"{self.tiles / self.passes:g} in each of {self.passes} passes: {why}"),
        )

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each line of a table."""
        times = " x ".join
        return (
            ("strategy", STRATEGIES[self.strategy]),
            ("image", times(map(str, self.image))),
            ("tile", f"{times(map(str, self.tile))} pixels"),
            ("halo", times(f"{a} + {b}" for a, b in self.halo) + " pixels"),
            ("tiles", f"{self.tiles:,}"),
            *self._passes,
            ("arithmetic", f"{self.arithmetic:.3f}x one forward pass"),
            ("memory, predicted", show_bytes(self.predicted_bytes)),
            (
                "memory, measured",
                "–" if self.measured_bytes is None else show_bytes(self.measured_bytes),
            ),
            ("memory, allowed", "–" if self.limit_bytes is None else show_bytes(self.limit_bytes)),
            ("compared with", self.reference if self.difference is not None else "nothing"),
            ("largest difference", "–" if self.difference is None else f"{self.difference:.1e}"),
            ("time", f"{self.seconds:.2f} s"),
        )
