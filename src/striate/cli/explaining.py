"""`striate explain`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from striate.attribution import arrays, finding, one_map, picture
from striate.cli.console import err, print_csv, print_finding
from striate.cli.predicting import say_left_out
from striate.data.files import find_files, holds, stays
from striate.errors import StriateError, UsageError
from striate.runs.explaining import Explained, explain_files
from striate.runs.opening import open_trained

SUFFIXES = (".png", ".npz", ".safetensors")


def explain_command(
    target_of: str,
    images: Sequence[str],
    *,
    methods: Sequence[str],
    target: str | None,
    at: str | None,
    layer: str | None,
    out: Path | None,
    trust: bool,
    seed: int,
    force: bool,
    format: str,
) -> None:
    """Print a verdict and a row a method for each image, and write the pictures; exit status 1 when a file failed."""
    if out is not None and out.suffix.lower() not in (*SUFFIXES, ""):
        raise UsageError(
            f"-o takes a file ending in {', '.join(SUFFIXES)}, or a folder for one picture a method; got {out}"
        )
    if out is not None and out.suffix and out.exists() and not force:
        raise UsageError(f"{out} exists; choose another name, or --force to write over it")
    where = parse_place(at) if at is not None else None
    trained = open_trained(target_of)
    found = find_files(images)
    inputs = stays(found.files)
    documents: list[dict[str, Any]] = []
    taken: set[Path] = set()
    failed = total = 0
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("explaining", total=None)
        stream = explain_files(
            trained, found, target=target, at=where, methods=methods or None, layer=layer, trust=trust, seed=seed,
            progress=lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
        )  # fmt: skip
        for one in stream:
            total += 1
            if one.explanation is None:
                failed += 1
                documents.append({"path": one.path, "error": one.error})
                if format != "json":
                    err.print(f"striate: {one.path} was not read: {one.error}", soft_wrap=True, markup=False)  # fmt: skip
                continue
            files = save(one, out, taken, inputs, force=force)
            document = shown(one, files, format)
            documents.append(document)
    if format == "json":
        print(json.dumps(documents, indent=1, default=str))
    elif format == "csv":
        print_csv(row for d in documents for row in d.get("rows", ()))
    say_left_out(found)
    if failed:
        err.print(f"striate: {failed} of {total} files could not be read", soft_wrap=True)
        raise SystemExit(1)


def shown(one: Explained, files: Sequence[Path], format: str) -> dict[str, Any]:
    """Print one explanation for people; return it for the other formats."""
    assert one.explanation is not None
    stem = Path(one.path).stem
    title = f"{stem}: {one.explanation.target}"
    found = finding(one.explanation, name="explanation", title=title, figures=False)
    if format == "table":
        print_finding(found, "table")
        for file in files:
            print(file)
    rows = [
        {"image": one.path, **dict(zip(found.tables[0].columns, row, strict=True))}
        for row in found.tables[0].rows
    ]
    document = {"path": one.path, "error": None, "files": [str(f) for f in files], **found.to_dict()}  # fmt: skip
    return {"rows": rows} if format == "csv" else document


def save(
    one: Explained,
    out: Path | None,
    taken: set[Path],
    inputs: frozenset[tuple[int, int]],
    *,
    force: bool,
) -> list[Path]:
    """Write what `out` asks for; returns the files. Raises StriateError where that cannot be written."""
    explanation, source = one.explanation, Path(one.path)
    assert explanation is not None
    try:
        if out is not None and not out.suffix:
            out.mkdir(parents=True, exist_ok=True)
            files = [free(out / f"{source.stem}.png", taken, inputs, force)]
            files[0].write_bytes(picture(explanation, title=source.name).content)
            for method in explanation.maps:
                files.append(free(out / f"{source.stem}-{method}.png", taken, inputs, force))
                files[-1].write_bytes(one_map(explanation, method).content)
            return files
        if out is None:
            file = free(Path(f"{source.stem}-explained.png"), taken, inputs, force)
        else:
            file = out if not taken else out.with_name(f"{out.stem}-{source.stem}{out.suffix}")
            file = free(file, taken, inputs, force or not taken)
            file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() == ".png":
            file.write_bytes(picture(explanation, title=source.name).content)
        elif file.suffix.lower() == ".npz":
            import numpy as np

            np.savez_compressed(file, **arrays(explanation))  # type: ignore[arg-type]
        else:
            from safetensors.numpy import save_file

            said = {"target": explanation.target, "verdict": explanation.verdict, "image": one.path}
            save_file(arrays(explanation), file, metadata=said)
        return [file]
    except OSError as error:
        raise StriateError(
            f"cannot write {out or 'here'}: {error.strerror}; choose another place with -o"
        ) from error


def free(wanted: Path, taken: set[Path], inputs: frozenset[tuple[int, int]], force: bool) -> Path:
    """`wanted`, or with the first number that is not there yet; never a file of another image, an image that is explained
    or, without `force`, a file of another day."""
    file, number = wanted, 1
    while file in taken or (file.exists() and not force) or holds(inputs, file):
        number += 1
        file = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    taken.add(file)
    return file


def parse_place(text: str) -> tuple[slice, slice]:
    """Rows and columns from `10,20` (a pixel) or `10:40,20:60` (a rectangle, ends not included). Raises UsageError."""
    parts = text.replace(" ", "").split(",")
    spans = []
    for part in parts:
        ends = part.split(":")
        if not all(e.isdecimal() for e in ends) or len(ends) > 2:
            break
        start = int(ends[0])
        spans.append(slice(start, int(ends[1]) if len(ends) == 2 else start + 1))
    if len(parts) != 2 or len(spans) != 2:
        raise UsageError(f"--at is row,column such as 10,20, or a rectangle such as 10:40,20:60; got {text!r}")  # fmt: skip
    return spans[0], spans[1]
