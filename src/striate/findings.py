"""Finding: what every analysis returns, and the only thing that terminal, report and studio show."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from striate.documents import from_json, to_json
from striate.errors import RunError
from striate.files import leads_out
from striate.reading import read_file
from striate.schema import Key, expect, kind_of, shortened
from striate.writing import cannot_write, locked, write_atomically

Cell = str | int | float | bool | None
Status = Literal["good", "note", "warning", "problem"]
Media = Literal["image/svg+xml", "image/png", "image/webp"]
LARGEST = 64_000_000  # bytes of a finding or a figure that are read
RETRIES = 5  # of reading a finding that is being replaced
FORMAT = re.compile(r"[+-]?,?(\.\d{1,2})?[%defg]?", re.ASCII)  # of numbers in tables
SUFFIX: dict[Media, str] = {"image/svg+xml": ".svg", "image/png": ".png", "image/webp": ".webp"}


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
    """A picture: SVG text or PNG/WebP bytes, with a caption to read under it and a text for who cannot see it.

    bare: where the picture lays something over an image, the same without the image, of the same media; a page shows it
    at a switch. Empty where there is none.
    """

    content: bytes
    media: Media
    caption: str
    alt: str = ""
    bare: bytes = b""


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
                {
                    "file": f"{self.name}-{i}{SUFFIX[f.media]}",
                    "caption": f.caption,
                    "alt": f.alt,
                    **({"bare": f"{self.name}-{i}-bare{SUFFIX[f.media]}"} if f.bare else {}),
                }
                for i, f in enumerate(self.figures, 1)
            ],
            "data": dict(self.data),
            "seed": self.seed,
            "seconds": self.seconds,
        }

    def save(self, folder: Path) -> Path:
        """Write `NAME.json` and its figures beside it; returns the JSON's path.

        A reader finds the old finding or the new one, each with its own figures: a figure that changed gets a new name, and
        the old one goes when the JSON no longer names it. Raises WriteError.
        """
        path = folder / f"{self.name}.json"
        document = self.to_dict()
        try:
            with locked(folder):
                kept = set()
                for raw, figure in zip(document["figures"], self.figures, strict=True):
                    for key, content in (("file", figure.content), ("bare", figure.bare)):
                        if key not in raw:
                            continue
                        file = folder / raw[key]
                        if file.is_file() and file.read_bytes() != content:
                            digest = hashlib.sha256(content).hexdigest()[:8]
                            file = file.with_stem(f"{file.stem}-{digest}")
                            raw[key] = file.name
                        write_atomically(file, content, durable=False)
                        kept.add(file.name)
                write_atomically(path, to_json(document).encode())
                own = re.compile(
                    rf"{re.escape(self.name)}-\d+(-bare)?(-[0-9a-f]{{8}})?\.(svg|png|webp)",
                    re.ASCII,
                )
                for other in os.listdir(folder):
                    if own.fullmatch(other) and other not in kept:
                        (folder / other).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        return path

    @classmethod
    def load(cls, path: Path) -> Finding:
        """Read what `save` wrote. Raises RunError that names what of the file or a figure is missing or altered."""
        for again in range(RETRIES):
            try:
                return _from_document(_document(path), path)
            except (
                FileNotFoundError
            ) as error:  # another process may have put a new one in its place
                if again + 1 == RETRIES:
                    reason = f"{error.filename or path} is missing"
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                if isinstance(error, ValueError) and leads_out(path):  # of which nothing is quoted
                    reason = "it is a link out of the run"
                break
        raise RunError(
            f"cannot read the finding {path}: {reason}; delete the file and run the analysis again"
        )


def _document(path: Path) -> dict[str, Any]:
    try:
        raw = from_json(read_file(path, limit=LARGEST).decode())
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not isinstance(raw, dict):
        raise ValueError(f"it holds {kind_of(raw)}, not an object")
    return raw


def _from_document(raw: dict[str, Any], path: Path) -> Finding:
    """The finding of a document. Raises ValueError that names the key, OSError for a figure that cannot be read."""
    expect(raw, FINDING)
    if raw["name"] != path.stem:
        raise ValueError(f"name is {shortened(raw['name'])}, and the file is called {path.name}")
    if raw["status"] not in get_args(Status):
        raise ValueError(
            f"status is {shortened(raw['status'])}, not one of {', '.join(get_args(Status))}"
        )
    tables = [_table(t, f"tables[{i}]") for i, t in enumerate(raw["tables"])]
    figures = [_figure(f, f"figures[{i}]", path.parent) for i, f in enumerate(raw["figures"])]
    return Finding(**{**raw, "tables": tuple(tables), "figures": tuple(figures)})


def _table(raw: Any, where: str) -> Table:
    expect(raw, TABLE, where)
    columns, rows, formats = raw["columns"], raw["rows"], raw["formats"]
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise ValueError(f"{where}.rows[{i}] does not have the {len(columns)} cells of a row")
        if (strange := next((c for c in row if not isinstance(c, Cell)), None)) is not None:
            raise ValueError(f"{where}.rows[{i}] holds {kind_of(strange)} in a cell")
    if not all(isinstance(text, str) for text in columns):
        raise ValueError(f"{where}.columns are not all texts")
    if formats and len(formats) != len(columns):
        raise ValueError(f"{where}.formats has {len(formats)} entries for {len(columns)} columns")
    for column, spec in enumerate(formats):
        if not isinstance(spec, str) or not FORMAT.fullmatch(spec):
            raise ValueError(
                f"{where}.formats[{column}] is {shortened(spec)}, no format of a number"
            )
    table = Table(
        columns=tuple(columns), rows=tuple(map(tuple, rows)), formats=tuple(formats), caption=raw["caption"]
    )  # fmt: skip
    for i, row in enumerate(rows):
        for column in range(len(row)):
            try:
                table.text(i, column)
            except (ValueError, OverflowError):
                raise ValueError(f"{where}.rows[{i}] does not fit formats[{column}]") from None
    return table


def _figure(raw: Any, where: str, folder: Path) -> Figure:
    expect(raw, FIGURE, where)
    media, content = _picture(raw["file"], f"{where}.file", folder)
    bare = b""
    if "bare" in raw:
        other, bare = _picture(raw["bare"], f"{where}.bare", folder)
        if other != media:
            raise ValueError(f"{where}.bare is {other}, and its picture {media}")
    return Figure(content=content, media=media, caption=raw["caption"], alt=raw["alt"], bare=bare)


def _picture(name: str, where: str, folder: Path) -> tuple[Media, bytes]:
    """The kind and the bytes of a picture beside the finding. Raises ValueError, OSError."""
    media = {v: k for k, v in SUFFIX.items()}.get(Path(name).suffix)
    if media is None or Path(name).name != name or "\\" in name or "\0" in name:
        raise ValueError(f"{where} is {shortened(name)}, not a figure beside it")
    content = read_file(folder / name, limit=LARGEST)
    if not looks_like(content, media):
        raise ValueError(f"{where}: {name} does not hold {media}")
    return media, content


def looks_like(content: bytes, media: str) -> bool:
    """Whether bytes begin as a picture of that kind does."""
    if media == "image/png":
        return content.startswith(b"\x89PNG\r\n\x1a\n")
    if media == "image/webp":
        return content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    try:
        return "<svg" in content.decode()
    except UnicodeDecodeError:
        return False


FINDING = {
    "name": Key(str), "title": Key(str), "verdict": Key(str), "status": Key(str), "advice": Key(str),
    "tables": Key(list), "figures": Key(list), "data": Key(dict), "seed": Key((int, type(None))),
    "seconds": Key((float, type(None))),
}  # fmt: skip
TABLE = {"columns": Key(list), "rows": Key(list), "formats": Key(list), "caption": Key(str)}
FIGURE = {"file": Key(str), "caption": Key(str), "alt": Key(str), "bare": Key(str, optional=True)}
