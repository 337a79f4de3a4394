"""Finding: what every analysis returns, and the only thing that terminal, report and studio show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from striate.errors import RunError

Cell = str | int | float | bool | None
Status = Literal["good", "note", "warning", "problem"]
SUFFIX = {"image/svg+xml": ".svg", "image/png": ".png", "image/webp": ".webp"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns.

    `formats` holds one `format()` specification a column (`".1%"`, `","`, `""` for as it is); a cell that is None
    means "unknown" or "does not apply" and is shown as a dash.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    formats: tuple[str, ...] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), "a row has another width"
        assert not self.formats or len(self.formats) == len(self.columns), "one format a column"

    def text(self, row: int, column: int) -> str:
        """The cell as a person reads it."""
        value = self.rows[row][column]
        if value is None:
            return "–"
        spec = self.formats[column] if self.formats else ""
        if not spec or isinstance(value, str):
            return str(value)
        shown = format(value, spec)
        nothing = shown.startswith("-") and not any(c in "123456789" for c in shown)
        return shown.replace("-", "+" if "+" in spec else "") if nothing else shown  # no -0.00


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture: SVG text or PNG/WebP bytes, with a caption to read under it and a text for who cannot see it."""

    content: bytes
    media: Literal["image/svg+xml", "image/png", "image/webp"]
    caption: str
    alt: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One analysis: a name, one sentence of verdict, tables, figures, and the same as plain data.

    name: identifier, lower case with dashes; also the file name in a run's `findings/`.
    title: heading, in words.
    verdict: one sentence that a person can act on.
    status: how the heading is marked; "problem" means that the result should not be trusted as it is.
    advice: what to do about it, or empty.
    data: the numbers, as JSON types only.
    """

    name: str
    title: str
    verdict: str
    status: Status = "note"
    advice: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything except the pixels, as JSON types."""
        return {
            "name": self.name,
            "title": self.title,
            "verdict": self.verdict,
            "status": self.status,
            "advice": self.advice,
            "tables": [
                {
                    "columns": list(t.columns),
                    "rows": [list(r) for r in t.rows],
                    "formats": list(t.formats),
                    "caption": t.caption,
                }
                for t in self.tables
            ],
            "figures": [
                {"file": f"{self.name}-{i}{SUFFIX[f.media]}", "caption": f.caption, "alt": f.alt}
                for i, f in enumerate(self.figures, 1)
            ],
            "data": dict(self.data),
            "seed": self.seed,
            "seconds": self.seconds,
        }

    def save(self, folder: Path) -> Path:
        """Write `NAME.json` and its figures beside it; returns the JSON's path."""
        folder.mkdir(parents=True, exist_ok=True)
        for i, figure in enumerate(self.figures, 1):
            (folder / f"{self.name}-{i}{SUFFIX[figure.media]}").write_bytes(figure.content)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=True), encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Finding:
        """Read what `save` wrote. Raises RunError if the file or a figure is missing or altered."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            media = {v: k for k, v in SUFFIX.items()}
            figures = tuple(
                Figure(
                    content=(path.parent / f["file"]).read_bytes(),
                    media=media[Path(f["file"]).suffix],  # type: ignore[arg-type]
                    caption=f["caption"],
                    alt=f["alt"],
                )
                for f in raw["figures"]
            )
            tables = tuple(
                Table(
                    columns=tuple(t["columns"]),
                    rows=tuple(tuple(r) for r in t["rows"]),
                    formats=tuple(t["formats"]),
                    caption=t["caption"],
                )
                for t in raw["tables"]
            )
            return cls(**{**raw, "tables": tables, "figures": figures})
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise RunError(
                f"cannot read the finding {path}: {error}; delete the file and run the analysis again"
            ) from error
