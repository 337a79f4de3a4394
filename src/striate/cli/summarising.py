"""`striate summary`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from striate.cli.console import err, out, print_csv
from striate.cli.options import opened
from striate.documents import to_json
from striate.errors import GeometryError, UsageError
from striate.report.wording import cell, within
from striate.writing import write_atomically

if TYPE_CHECKING:
    from torch import nn

    from striate.findings import Figure, Finding
    from striate.findings import Table as Rows
    from striate.geometry import Geometry

SUFFIXES = (".png", ".svg")
BAR = 8  # characters of the bar of a share of one
# Columns in the order in which they go when the window is narrow; the others always stay.
SPARE = ("bar", "kind", "window")
GAP = 2  # between columns
WIDEST = 100  # characters of a line of prose
NUMBERS = ("parameters", "products", "share")
STYLES = {"kind": "dim", "window": "cyan", "receptive field": "green"}
NBSP = "\N{NO-BREAK SPACE}"


def parse_shape(text: str) -> tuple[int, int, int]:
    """(channels, height, width) from such as 3x224x224. Raises UsageError."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 3 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise UsageError(f"--input is channels x height x width such as 3x224x224, got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width


def summary_command(
    target: str,
    *,
    input: str | None,
    classes: int | None,
    depth: int | None,
    figure: Path | None,
    image: Path | None,
    utilisation: Path | None,
    effective: Path | None,
    layer: str | None,
    force: bool,
    model: str | None = None,
    format: str,
) -> None:
    """The layers of a model or of a run's network, and figures of what they see."""
    from striate.geometry import (
        draw_receptive_fields,
        draw_utilisation,
        summary,
        summary_rows,
        trace,
    )
    from striate.runs.networks import network_of

    for path in (figure, utilisation, effective):
        if path is not None:
            writable(path, force)
    drawing = figure or utilisation or effective
    if effective is not None and effective.suffix.lower() != ".png":
        raise UsageError(f"--effective writes a .png, got {effective}")
    for value, name, needs in ((image, "--image", figure), (layer, "--layer", drawing)):
        if value is not None and needs is None:
            raise UsageError(f"{name} belongs to a figure; add --figure FILE.png")
    wanted = parse_shape(input) if input is not None else None
    network = opened(target, model)
    module, shape = network_of(network, wanted, classes)
    try:
        geometry = trace(module, (1, *shape))
    except GeometryError:
        network_of(network, wanted, classes, check=True)  # says which size fits, if it is that
        raise
    named = None if layer is None else geometry.record(layer).name
    drawn: list[tuple[Path, Callable[[], Figure]]] = []
    if figure is not None:
        pixels = photograph(image, shape)
        layers = None if named is None else [named]
        svg = figure.suffix.lower() == ".svg"
        drawn.append((figure, lambda: draw_receptive_fields(geometry, pixels, layers, png=not svg)))
    if utilisation is not None:
        flat = utilisation.suffix.lower() == ".svg"
        drawn.append((utilisation, lambda: draw_utilisation(geometry, named, png=not flat)))
    if effective is not None:
        found = effective_field(target, module, shape, classes, named or last_map(geometry))
        kind = "as trained" if (Path(target) / "run.toml").is_file() else "not trained"
        err.print(f"{found.verdict} ({kind})", soft_wrap=True, markup=False)
        drawn.append((effective, lambda: found.figures[0]))
    for path, draw in drawn:
        content = draw().content
        write_atomically(path, content)
        err.print(f"wrote {path}", soft_wrap=True, markup=False)
    if format == "json":
        print(to_json(summary_rows(geometry, depth=depth)))
    elif format == "csv":
        print_csv(summary_rows(geometry, depth=depth))
    else:
        table = summary(geometry, depth=depth, figure=False)
        show(geometry, table, f"{target} on {' × '.join(map(str, shape))}")


def last_map(geometry: Geometry) -> str:
    """The last layer with positions that see a part of the image each: the one whose field is worth drawing."""
    names = [
        r.name for r in geometry.records
        if r.live and (v := geometry.values[r.output]).spatial and None not in v.extents and r.macs
    ]  # fmt: skip
    if not names:
        raise UsageError("no layer of this network keeps positions; there is no field to draw")
    return names[-1]


def effective_field(
    target: str,
    module: nn.Module,
    shape: tuple[int, int, int],
    classes: int | None,
    layer: str,
) -> Finding:
    """The effective receptive field: of a run as trained, of a spec with the weights that it begins with."""
    from striate.geometry import effective_receptive_field
    from striate.models import build

    if next((p.is_meta for p in module.parameters()), False):
        channels, *size = shape
        module = build(
            target, in_channels=channels, num_classes=classes or 10, size=(size[0], size[1])
        ).eval()
    return effective_receptive_field(module, (1, *shape), layer)


def writable(path: Path, force: bool) -> None:
    """Raises UsageError for a figure's path of another kind, or one that exists."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"a figure is a file ending in {' or '.join(SUFFIXES)}, got {path}")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; choose another name, or --force to write over it")


def photograph(path: Path | None, shape: tuple[int, int, int]) -> np.ndarray:
    """An image file, or a photograph that is at hand, cut to the network's size: (H, W, 3) or (H, W) uint8."""
    if path is None:
        from PIL import Image, ImageOps
        from sklearn.datasets import load_sample_image

        sample = Image.fromarray(load_sample_image("china.jpg"))
        sample = sample.convert("L" if shape[0] == 1 else "RGB")
        return np.asarray(ImageOps.fit(sample, (shape[2], shape[1])))
    from striate.data import Preprocessing

    channels = 1 if shape[0] == 1 else 3
    cut = Preprocessing(channels=channels, height=shape[1], width=shape[2], fit="crop")
    pixels = cut.read(path).transpose(1, 2, 0)
    return pixels[..., 0] if channels == 1 else pixels


def show(geometry: Geometry, finding: Finding, title: str) -> None:
    """The summary's table, in columns that fit the window, with a line for the whole network."""
    table = finding.tables[0]
    place = {name.split(" (")[0]: c for c, name in enumerate(table.columns)}
    millions = "products" not in table.columns
    known = geometry.known_macs
    totals = {
        "layer": "total",
        "kind": geometry.kind,
        "parameters": f"{geometry.total_params:,}",
        "products": f"{known / 1e6:,.1f}" if millions else f"{known:,}",
    }
    if geometry.total_macs is None:
        totals["products"] = f"at least {totals['products']}"
    left_out = set() if not out.options.ascii_only else {"bar"}
    for name in SPARE:
        if _width(table, place, totals, left_out) <= out.width:
            break
        left_out.add(name)
    names = [name for name in place if name not in left_out]
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True,
                  header_style="bold", show_footer=True, footer_style="bold")  # fmt: skip
    for name in names:
        shown.add_column(
            table.columns[place[name]],
            _said(totals.get(name, "")),
            justify="right" if name in NUMBERS else "left",
            style=STYLES.get(name, ""),
            overflow="fold",
            no_wrap=name != "layer",
        )
    if "bar" not in left_out:
        shown.add_column("", width=BAR, no_wrap=True, style="blue")
    guides = _guides([_level(str(row[0])) for row in table.rows])
    for r, row in enumerate(table.rows):
        cells = [Text(_said("" if not row[place[n]] else cell(table, r, place[n]))) for n in names]
        cells[0] = Text.assemble((_said(guides[r]), "dim"), _said(str(row[0]).lstrip(NBSP)))
        if "bar" not in left_out:
            share = row[place["share"]]
            cells.append(Text(_bar(share if isinstance(share, float) else 0.0)))
        shown.add_row(*cells)
    width = min(out.width, WIDEST)
    out.print(Text(_said(title), style="bold"))
    out.print(Text(_said(finding.verdict)), width=width)
    if finding.advice:
        out.print(Text(_said(f"→ {finding.advice}"), style="yellow"), width=width)
    out.print()
    out.print(shown)
    out.print()
    size = _bytes(geometry.total_activation_bytes)
    note = f"The outputs of all layers take {size}. {table.caption}"
    out.print(Text(_said(note), style="dim"), width=width)


def _said(text: str) -> str:
    """A text in the signs that the window has."""
    return within(text, out.encoding)


def _bytes(count: int) -> str:
    """Bytes as people say them: 640 bytes, 31 kB, 110 MB."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count} bytes"


def _width(table: Rows, place: dict[str, int], totals: dict[str, str], left_out: set[str]) -> int:
    """Characters that the table takes without these columns."""
    widths = [] if "bar" in left_out else [BAR]
    for name, c in place.items():
        if name not in left_out:
            cells = [len(cell(table, r, c)) for r in range(len(table.rows))]
            widths.append(max(len(table.columns[c]), len(totals.get(name, "")), *cells))
    return sum(widths) + GAP * (len(widths) - 1) + 1  # a branch is one longer than its indent


def _level(name: str) -> int:
    return (len(name) - len(name.lstrip(NBSP))) // 2


def _guides(levels: list[int]) -> list[str]:
    """The branches in front of each name."""
    found = []
    for place, level in enumerate(levels):
        text = ""
        for depth in range(1, level + 1):
            rest = levels[place + 1 :]
            ends = next((n for n in rest if n <= depth), 0)
            more = ends == depth
            text += ("├─" if more else "└─") if depth == level else "│ " if more else "  "
        found.append(text + " " if text else "")
    return found


def _bar(share: float) -> str:
    """A bar of eighths of a character; a share of one fills it."""
    eighths = round(share * BAR * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + ("" if not rest else "▏▎▍▌▋▊▉"[rest - 1])
