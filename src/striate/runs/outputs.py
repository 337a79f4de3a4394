"""Outputs: the files that explanations, units and summaries write where a person asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import UsageError
from striate.findings import SUFFIX, Finding
from striate.paths import given_path
from striate.writing import write_atomically, writing

if TYPE_CHECKING:
    from striate.data.files import Found
    from striate.runs.explaining import Explained

EXPLAINED = (".png", ".html", ".npz", ".safetensors")
UNITS = (".html", ".png")


def output_path(
    out: str | Path, suffixes: Sequence[str], *, force: bool = False, what: str = "-o", folder: bool = False
) -> Path:  # fmt: skip
    """Where a file goes. Raises UsageError for one of another kind, or one that exists where not `force`.

    what: the option that named it. folder: a name without a suffix, a folder for several files, is fine too.
    """
    path = given_path(out, what)
    if path.suffix.lower() not in (*suffixes, *([""] if folder else [])):
        more = ", or a folder" if folder else ""
        raise UsageError(f"{what} takes a file ending in {', '.join(suffixes)}{more}; got {path}")
    if path.suffix and path.exists() and not force:
        raise UsageError(f"{path} exists; choose another name, or --force to write over it")
    return path


class ExplanationFiles:
    """Where explanations of images go: one file each, or a folder with a picture a method.

    out: a picture (.png), a page (.html), arrays (.npz, .safetensors) or a folder; `NAME-explained.png` here if None.
    found: the images, which are never written over; also: one more such. bare: maps without the photograph beneath; a page
    has both. Raises UsageError for another kind of file, or one that exists where not `force`.
    """

    def __init__(
        self, out: str | Path | None, found: Found, *, force: bool = False, bare: bool = False, also: str | None = None
    ) -> None:  # fmt: skip
        from striate.data.files import stays

        self.out = None if out is None else output_path(out, EXPLAINED, force=force, folder=True)
        self.inputs = stays((*found.files, *([] if also is None else [also])))
        self.force, self.bare = force, bare
        self.taken: set[Path] = set()

    def write(self, one: Explained) -> list[Path]:
        """Write what `out` asks for; returns the files. Raises WriteError where that cannot be written."""
        from striate.attribution import arrays, one_map, picture

        explanation, source, out = one.explanation, Path(one.path), self.out
        assert explanation is not None
        if out is not None and not out.suffix:
            files = [self._free(out / f"{source.stem}.png", self.force)]
            write_atomically(
                files[0], picture(explanation, title=source.name, bare=self.bare).content
            )
            for method in explanation.maps:
                files.append(self._free(out / f"{source.stem}-{method}.png", self.force))
                write_atomically(files[-1], one_map(explanation, method, bare=self.bare).content)
            return files
        if out is None:
            file = self._free(Path(f"{source.stem}-explained.png"), self.force)
        else:
            first = not self.taken
            file = out if first else out.with_name(f"{out.stem}-{source.stem}{out.suffix}")
            file = self._free(file, self.force or first)
        if file.suffix.lower() == ".png":
            write_atomically(file, picture(explanation, title=source.name, bare=self.bare).content)
        elif file.suffix.lower() == ".html":
            facts = {"image": source.name, "class": explanation.target}
            write_page(file, [one.page], f"Why “{explanation.target}”?", source.name, facts)
        elif file.suffix.lower() == ".npz":
            import numpy as np

            with writing(file) as stream:
                np.savez_compressed(stream, **arrays(explanation))  # type: ignore[arg-type]
        else:
            from safetensors.numpy import save

            about = {
                "target": explanation.target,
                "verdict": explanation.verdict,
                "image": one.path,
            }
            write_atomically(file, save(arrays(explanation), metadata=about))
        return [file]

    def _free(self, wanted: Path, force: bool) -> Path:
        """`wanted`, or with the first number that is not there yet; never a file of another image, an image that is
        explained or, without `force`, a file of another day."""
        from striate.data.files import holds

        file, number = wanted, 1
        while file in self.taken or (file.exists() and not force) or holds(self.inputs, file):
            number += 1
            file = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        self.taken.add(file)
        return file


def write_units(
    findings: Sequence[Finding], out: Path, *, title: str, name: str = "units", force: bool = False
) -> list[Path]:
    """A page (.html), the first finding's first picture and the others numbered (.png), or both in a folder.

    out: of `output_path`. name: of the files in a folder. Nothing that exists is written over unless `force`: a name that is
    taken gets the next number. Raises WriteError where it cannot be written.
    """

    def free(wanted: Path) -> Path:
        path, number = wanted, 1
        while path in written or (path.exists() and not force):
            number += 1
            path = wanted.with_stem(f"{wanted.stem}-{number}")
        return path

    page = out if out.suffix.lower() == ".html" else None
    picture = out if out.suffix.lower() == ".png" else None
    if not out.suffix:
        page, picture = out / f"{name}.html", out / f"{name}.png"
    written: list[Path] = []
    if page is not None:
        written.append(write_page(free(page), findings, title, findings[0].verdict, {}))
    if picture is not None:
        figures = [f for finding in findings for f in finding.figures]
        for number, figure in enumerate(figures, 1):
            path = picture if number == 1 else picture.with_stem(f"{picture.stem}-{number}")
            path = free(path.with_suffix(SUFFIX[figure.media]))
            write_atomically(path, figure.content)
            written.append(path)
    return written


def write_page(
    file: Path, findings: Sequence[Finding], title: str, subtitle: str, facts: dict[str, str]
) -> Path:
    """A page of findings, as `striate.report.write_report` writes it. Its templates are imported when one is written."""
    from striate.report import write_report
    from striate.runs.record import versions

    made_by = f"Striate {versions()['striate']}"
    return write_report(
        file, findings, title=title, subtitle=subtitle, facts=facts, generated=made_by
    )
