"""Tiling: a trained network on one image of any size, in bounded memory, at the image's own resolution.

What tiles is imported by the first job: a prediction of whole files does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.data.depth import refuse_depth
from striate.documents import Listing, to_json
from striate.errors import DataError, ExactnessError, UsageError
from striate.findings import Finding, Table
from striate.memory import available_memory
from striate.writing import write_atomically

if TYPE_CHECKING:
    from striate.data import Preprocessing
    from striate.inference.tiled import Certificate, Shared, Take
    from striate.inference.tiled.read.images import Image
    from striate.tasks.trained import Trained

CROP = 128  # pixels a side of the crops by which the depth of an image is judged
CROPS = 4  # along each axis
SHOWN = 5  # rows of the answer of a whole image


class ShardEndedError(Exception):
    """A shard of an image was done: what follows needs the others. No error to a person; see `Sharing`."""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Who does which rows of an image's tiles.

    folder: where they lie. number, of: the shard's, from 1; 0 puts all of them together. facts: what else tells jobs
    apart. told: gets how many rows of tiles the last pass has, or from 0 those that are missing of it, and may raise.
    progress: gets (rows done, all) of a pass.
    """

    folder: Path
    number: int
    of: int
    facts: str
    told: Callable[[Any], None]
    progress: Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class TileJob:
    """One image, and how a network runs on it.

    image: opened, as `path` is; page_note: which of its pages is read, in a sentence; page: as it was asked for, from 1.
    out: where the result goes. memory: what may be used above the model; tile: pixels of a tile's side instead. force:
    write over `out`. check: compare with the plain network where that is cheap. progress: called with (tiles done, all).
    engine: the same network behind an engine, which then computes the crops; share: of the largest value by which its
    result may differ. shared: with others, each of whom does some of the tiles.
    """

    trained: Trained
    image: Image
    path: Path
    page_note: str
    page: int | None
    out: Path | None
    memory: str | None
    tile: int | None
    force: bool
    check: bool
    progress: Callable[[int, int], None]
    engine: Trained | None = None
    share: float = 0.0
    shared: Sharing | None = None

    def run(
        self, *, finish: Callable[[torch.Tensor], torch.Tensor] | None = None, out: Path | None = None,
        take: Take | None = None,
    ) -> tuple[Any, Certificate]:  # fmt: skip
        """What the network gives, or what `finish` makes of it, written to `out` if that is given; and the certificate.

        take: gets the pieces of all maps as they are made, see `Tiled`; nothing is kept then.
        Raises ExactnessError where the result differs from the plain network's; what a maintainer needs to know is written
        beside the output, and ShardEndedError where this is but a shard.
        """
        from striate.inference.tiled import Shared, Tiled

        more: dict[str, Any] = {}
        if self.engine is not None:
            more = {"elsewhere": crops_of(self.engine), "share": self.share}
        kind = Tiled if self.shared is None else Shared
        job = kind(
            self.trained.model, self.image, memory=self.memory, tile=self.tile,
            preprocess=pixels_of(self.trained.preprocessing, getattr(self.image, "colours", 0)), finish=finish, out=out,
            take=take, **more,
        )  # fmt: skip
        beside = Path(f"{self.path.stem}-difference.json")
        if out is not None:
            beside = out.with_name(f"{out.stem}-difference.json")
        told: dict[str, Any] = {
            "force": self.force, "check": self.check, "progress": lambda done, total, seconds: self.progress(done, total),
        }  # fmt: skip
        with saved_report(beside):
            if isinstance(job, Shared):
                result = self._shared(job, told)
            else:
                result = job.run(certificate=True, **told)
        assert job.certificate is not None
        return result, job.certificate

    def _shared(self, job: Shared, told: dict[str, Any]) -> Any:
        """The result of all shards; raises ShardEndedError once this one is done."""
        from striate.inference.tiled import Bands

        by = self.shared
        assert by is not None
        bands = Bands(by.folder, job.digest(by.facts), by.number, by.of, by.progress)
        if by.number:
            by.told(job.count)
            job.work(bands, check=self.check)
            raise ShardEndedError
        by.told(job.missing(bands))
        return job.join(bands, **told)

    def refuse_taken(self) -> None:
        """Raise UsageError where `out` exists and must not be written over."""
        if self.out is not None and self.out.exists() and not self.force:
            raise UsageError(f"{self.out} exists; choose another name, or --force to write over it")

    def finding(
        self, verdict: str, certificate: Certificate, table: Table, rows: Sequence[Mapping[str, Any]], **data: Any
    ) -> Finding:  # fmt: skip
        """What was found, with the certificate; rows: as CSV gives them; data: what else JSON gives."""
        exact = certificate.exact
        unasked = (
            bool(self.page_note) and self.page is None
        )  # a page was chosen that nobody asked for
        document = {
            "image": str(self.path), "page": 1 + getattr(self.image, "page", 0), **data, "certificate": certificate.to_dict()
        }  # fmt: skip
        if self.engine is not None:
            document["engine"] = self.engine.model.words
        return Finding(
            name="tile",
            title=f"{self.path.name} as a whole",
            verdict=f"{verdict} {self.page_note}{certificate.verdict}",
            status="note" if exact is None or unasked else "good" if exact else "problem",
            tables=(table, Table(columns=("certificate", ""), rows=tuple(certificate.rows))),
            data={
                "document": document,
                "rows": rows if isinstance(rows, Listing) else [dict(row) for row in rows],
            },
        )


def crops_of(engine: Trained) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """What computes a network's tensors for a crop (1, C, h, w) on an engine."""
    from striate.borrow import forward
    from striate.geometry import leaves_of

    def run(crop: torch.Tensor) -> list[torch.Tensor]:
        found = leaves_of(forward(engine.model, crop, writes=False))
        return [leaf for leaf in found if isinstance(leaf, torch.Tensor)]

    return run


def image_file(path: Path) -> Path:
    """The path of an image that exists. Raises UsageError, before a network is loaded for nothing."""
    if not path.exists():
        raise UsageError(f"there is no image {path}; give a TIFF, PNG, JPEG, .npy or Zarr file")
    return path


def open_job(
    trained: Trained, path: Path, *, out: Path | None = None, memory: str = "1GB", tile: int | None = None,
    page: int | None = None, force: bool = False, check: bool = True, progress: Callable[[int, int], None] | None = None,
    engine: Trained | None = None, share: float = 0.0,
) -> TileJob:  # fmt: skip
    """An image opened to be tiled. Raises UsageError where there is none, DataError for one that the network cannot read."""
    from striate.inference.tiled import open_file
    from striate.inference.tiled.plan.limits import parse_bytes

    if page is not None and page < 1:
        raise UsageError(f"--page counts from 1, got {page}")
    allowed = parse_bytes(memory) if tile is None else available_memory()
    opened = open_file(path, page=(page or 1) - 1, memory=allowed)
    refuse_foreign(trained.preprocessing, opened, path)
    return TileJob(
        trained=trained, image=opened, path=path, page_note=page_note_of(opened, page), page=page, out=out,
        memory=None if tile is not None else memory, tile=tile, force=force, check=check,
        progress=progress or (lambda done, total: None), engine=engine, share=share,
    )  # fmt: skip


def pixels_of(
    preprocessing: Preprocessing, colours: int = 0
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from pixels (1, C, H, W) as they are read to the network's input (1, C, H, W); no resizing.

    colours: how many of the channels are colours, where the image says so; others are left out, as `predict` does.
    """

    def preprocess(raw: torch.Tensor) -> torch.Tensor:
        seen = torch.from_numpy(preprocessing.colours(as_read(raw, colours)))
        return preprocessing.normalise(seen[None])

    return preprocess


def as_read(raw: torch.Tensor, colours: int) -> np.ndarray:
    """Pixels (1, C, H, W) as tiles are read, as the decoder gives them: (H, W, C) of the colour channels."""
    part = raw[0, : colours or raw.shape[1]].permute(1, 2, 0).cpu().numpy()
    return part.astype(np.uint16) if raw.dtype == torch.int32 else part


def refuse_foreign(preprocessing: Preprocessing, opened: Image, path: Path) -> None:
    """Raise DataError, as `predict` does, for a depth or values that are not those of the training; by some crops."""
    channels, height, width = opened.shape
    channels = getattr(opened, "colours", 0) or channels
    if channels not in (1, 3):
        raise DataError(
            f"cannot use {path}: it has {channels} channels; 1 (grey), 3 (RGB) or 4 (RGB and alpha) are read"
        )
    rows, columns = (
        np.unique(np.linspace(0, max(n - CROP, 0), CROPS).astype(int)) for n in (height, width)
    )
    parts = [
        as_read(
            opened.read(0, ((r, min(r + CROP, height)), (c, min(c + CROP, width)))),
            getattr(opened, "colours", 0),
        ).reshape(-1)
        for r in rows.tolist()
        for c in columns.tolist()
    ]
    values = np.concatenate(parts)
    try:
        refuse_depth(values, preprocessing)
        preprocessing.eight_bits(values[:1, None, None])  # says so where nothing relates the depths
    except DataError as error:
        raise DataError(f"cannot use {path}: {error}") from error


def page_note_of(opened: Image, page: int | None) -> str:
    """Which of several pages is read, in a sentence; nothing where there is one."""
    pages = getattr(opened, "pages", 1)
    if pages == 1:
        return ""
    if getattr(opened, "pictures", "") != "TIFF":
        return "The file holds several pictures, of which the first is read. "
    chosen = f"page {page} is read" if page else "the first is read; take another with --page"
    return f"The file has {pages:,} pages, of which {chosen}. "


@contextmanager
def saved_report(path: Path) -> Iterator[None]:
    """Write what a maintainer needs to know of a result that differs from the module's, and say where it is."""
    try:
        yield
    except ExactnessError as error:
        write_atomically(path, to_json(error.report).encode())
        sentence = f"{error.sentence}; the report is {path}"
        raise ExactnessError(sentence, error.report, error.below) from error
