"""What stands among images and is not used: by kind, with names and a count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.wording import one_line

NAMED = 3  # examples in a sentence
LISTED = 100  # names in JSON

# Kind -> (one, many, what to do).
KINDS: dict[str, tuple[str, str, str]] = {
    "system": (
        "hidden or system folder or file",
        "hidden or system folders and files",
        "Leave thumbnails and copies where they are; a folder with images of yours needs another name.",
    ),
    "thumbnails": (
        "folder of thumbnails of images that are here",
        "folders of thumbnails of images that are here",
        "Rename the folder if it holds other images.",
    ),
    "run": (
        "folder that Striate wrote",
        "folders that Striate wrote",
        "Write runs elsewhere with --out, or leave them: they are never read as images.",
    ),
    "loop": (
        "link to a folder that holds it",
        "links to folders that hold them",
        "Delete the link.",
    ),
    "cloud": (
        "image that is only in iCloud",
        "images that are only in iCloud",
        "Download them in the Finder; what stands here is a placeholder.",
    ),
    "backup": (
        "backup copy of an image that is here",
        "backup copies of images that are here",
        "Delete them, or move them to another folder if they are images of their own.",
    ),
    "sidecar": (
        "mask or overview of an image that is here (GDAL)",
        "masks and overviews of images that are here (GDAL)",
        "A mask beside an image is not applied; write it into the image (GDAL_TIFF_INTERNAL_MASK=YES), where it is.",
    ),
    "special": (
        "pipe, socket or device",
        "pipes, sockets and devices",
        "Delete them.",
    ),
    "broken": (
        "link that leads nowhere",
        "links that lead nowhere",
        "Delete them, or bring back what they point to.",
    ),
    "closed": (
        "folder that cannot be listed",
        "folders that cannot be listed",
        "Check their rights.",
    ),
    "unsupported": (
        "file of a format that is not read",
        "files of formats that are not read",
        "Save them as PNG.",
    ),
    "other": (
        "file that is no image",
        "files that are no images",
        "",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Files or folders of one kind that are not used.

    kind: a key of KINDS. paths: relative to the folder that was read. images: image files in them, where they are folders.
    """

    kind: str
    paths: tuple[str, ...]
    images: int = 0

    @property
    def sentence(self) -> str:
        """`2 hidden or system folders and files are left out, with 49 images in them: @eaDir, cat/@eaDir.`"""
        one, many, _ = KINDS[self.kind]
        n = len(self.paths)
        held = f", with {self.images:,} {'image' if self.images == 1 else 'images'} in {'it' if n == 1 else 'them'}"
        verb = f"1 {one} is" if n == 1 else f"{n:,} {many} are"
        return f"{verb} left out{held if self.images else ''}: {named(self.paths)}."

    @property
    def advice(self) -> str:
        """What a person can do."""
        return KINDS[self.kind][2]

    @property
    def weighty(self) -> bool:
        """Whether a person may miss something: an image, or what could be one."""
        return self.images > 0 or self.kind not in ("system", "other", "run")

    def to_dict(self) -> dict[str, Any]:
        """As plain data; of many paths the first."""
        return {
            "kind": self.kind,
            "count": len(self.paths),
            "images": self.images,
            "paths": list(self.paths[:LISTED]),
        }


def named(paths: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return ", ".join(one_line(p) for p in paths[:NAMED]) + more
