"""`striate units`."""

from __future__ import annotations

import json
from pathlib import Path

from rich.progress import Progress

from striate import __version__
from striate.cli.console import err, print_finding
from striate.errors import StriateError, UsageError
from striate.findings import SUFFIX, Finding
from striate.report import write_report
from striate.runs.dossiers import units_of

SUFFIXES = (".html", ".png")


def units_command(
    target: str,
    *,
    layer: str | None,
    unit: int | None,
    data: str | None,
    image: Path | None,
    out: Path | None,
    limit: int,
    seed: int,
    force: bool,
    format: str,
) -> None:
    """Print the units' table; write their pictures as a page, or as PNG."""
    if out is not None and out.suffix.lower() not in (*SUFFIXES, ""):
        raise UsageError(f"-o takes a file ending in .html or .png, or a folder; got {out}")
    if out is not None and out.suffix and out.exists() and not force:
        raise UsageError(f"{out} exists; choose another name, or --force to write over it")
    if limit < 1:
        raise UsageError(f"--limit counts images from 1, got {limit}")
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        found = list(
            units_of(
                target, layer=layer, unit=unit, data=data, image=image, limit=limit, seed=seed,
                say=lambda text: bar.update(task, description=text),
            )
        )  # fmt: skip
    written = []
    if out is not None:
        title = f"Units of {Path(target).name if Path(target).is_dir() else target}"
        written = write(found, out, title)
    if format == "json":
        print(json.dumps([f.to_dict() for f in found], indent=1, default=str))
    else:
        for finding in found if format == "table" else found[:1]:
            print_finding(finding, format)
    for path in written:
        err.print(f"striate: wrote {path}", soft_wrap=True, markup=False)
    if out is None and format == "table":
        err.print("striate: -o FILE.html or FILE.png keeps the pictures", soft_wrap=True)


def write(findings: list[Finding], out: Path, title: str) -> list[Path]:
    """A page (.html), the first finding's first picture and the others numbered (.png), or both in a folder."""
    page = out if out.suffix.lower() == ".html" else None
    picture = out if out.suffix.lower() == ".png" else None
    if not out.suffix:
        page, picture = out / "units.html", out / "units.png"
    written = []
    try:
        if page is not None:
            written.append(
                write_report(
                    page, findings, title=title, subtitle=findings[0].verdict, facts={},
                    generated=f"Striate {__version__}",
                )
            )  # fmt: skip
        if picture is not None:
            picture.parent.mkdir(parents=True, exist_ok=True)
            figures = [f for finding in findings for f in finding.figures]
            for number, figure in enumerate(figures, 1):
                path = picture if number == 1 else picture.with_stem(f"{picture.stem}-{number}")
                path = path.with_suffix(SUFFIX[figure.media])
                path.write_bytes(figure.content)
                written.append(path)
    except OSError as error:
        raise StriateError(
            f"cannot write {out}: {error.strerror}; choose a folder that can be written to"
        ) from error
    return written
