"""The path that data are read from: a folder, a file, or a volume, which is mounted."""

from __future__ import annotations

from pathlib import Path

from striate.volumes import is_volume, mount, name_of


def data_path(data: str | Path) -> Path:
    """The path of what a person gives as data. Raises UsageError or DataError for a volume that cannot be mounted."""
    return mount(data) if is_volume(data) else Path(data).expanduser()


def name_of_place(root: Path) -> str:
    """What a source is called after the path that it was read from."""
    if is_volume(root):
        return name_of(str(root))
    return root.resolve().name or str(root)
