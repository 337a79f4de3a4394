"""People, or parts, or plants: which image is of which name, by folders or by a table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from striate.data.by_folder import by_folder, descend
from striate.data.columns import LABEL, cell
from striate.data.files import find_files
from striate.data.layout import Layout
from striate.data.listing_table import column_of, open_listing, the_listing
from striate.data.naming import alike, normal
from striate.data.table import SUFFIXES
from striate.data.tree import grow
from striate.errors import DataError, UsageError
from striate.gallery.align import points_of
from striate.gallery.faces import Places
from striate.wording import as_text, in_quotes, listed

NAME = ("identity", "person", "subject", "individual", "name", *LABEL)
LONGEST = 1000  # characters of a name
RESERVED = "unknown"


@dataclass(frozen=True, kw_only=True, eq=False)
class People:
    """Images with their names. root: where the keys are relative to. keys, names, groups: of each image; a group may be
    empty.

    faces: the five points (5, 2) or the box (4,) of a face by key. left_out: what was not taken, a sentence each.
    """

    root: Path
    keys: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    faces: Places = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.root / key


def find_people(
    data: Path, *, name: str | None = None, group: str | None = None, points: Path | None = None
) -> People:
    """The images of a folder with a folder a name, of a table of files and names, or of one name.

    data: a folder, a table, or with `name` also an image. name: of all of them. group: a column of the table. points: a
    table of the five points of each face, see `striate.gallery.align`. Raises UsageError, DataError.
    """
    if not data.exists():
        raise UsageError(
            f"there is nothing at {data}; give a folder with a folder of images for each name, or a table of files and names"
        )
    if name is not None and data.suffix.lower() in SUFFIXES and not data.is_dir():
        raise UsageError(
            f"{data} is a table, which names each of its files, and --name gives all of them one name; leave --name out, or "
            "give the folder of that one name"
        )
    if name is not None:
        people = _of_one(data, name)
    elif data.is_dir():
        people = _of_folder(data)
    elif data.suffix.lower() in SUFFIXES:
        people = _of_table(data, None)
    else:
        raise UsageError(
            f"whose image {data} is is not said; add --name NAME, or give a folder with a folder a name"
        )
    if group is not None:
        people = _with_groups(people, data, group)
    if points is not None:
        known = points_of(points, people.root, people.keys)
        people = replace(people, faces=known)
    for known_name in dict.fromkeys(people.names):
        refuse_name(known_name)
    return people


def refuse_name(name: str) -> None:
    """Raise UsageError for a name that nobody can have."""
    if not name.strip():
        raise UsageError("a name is empty; give one with letters")
    if len(name) > LONGEST:
        raise UsageError(
            f"a name of {len(name):,} characters is too long ({in_quotes(name[:40])}...); at most {LONGEST}"
        )
    if alike(name) == RESERVED:
        raise UsageError(
            f"the name {in_quotes(name)} is what strangers are called; give those images another name, or leave them out"
        )


def alike_names(names: tuple[str, ...]) -> str:
    """In a sentence, the names that differ by case or blanks alone; empty where none do."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(alike(name), []).append(name)
    like = [several for several in groups.values() if len(several) > 1]
    if not like:
        return ""
    return f"{listed(like[0])} look like one name; they are kept apart"


def _of_one(data: Path, name: str) -> People:
    refuse_name(name)
    if data.is_dir():
        found = find_files(data)
        keys = tuple(str(Path(f).relative_to(data)) for f in found.files)
        root, left = data, tuple(found.sentences)
    else:
        root, keys, left = data.parent, (data.name,), ()
    return People(
        root=root,
        keys=keys,
        names=(normal(as_text(name)),) * len(keys),
        groups=("",) * len(keys),
        left_out=left,
    )


def _of_folder(data: Path) -> People:
    tree = grow(data)
    if tree.images:
        base = descend(tree.images)
        tables = [t for t in tree.tables if t[:-1] in ((), base)]
        below = [p for p in tree.images if len(p) > len(base) + 1]
        if tables and not below:
            return _of_table(data.joinpath(*tables[0]), data)
        layout: Layout = by_folder(data, tree, base)
    else:
        left = " ".join(left.sentence for left in tree.left_out("closed", "unsupported", "other"))
        raise DataError(
            f"{data} holds no image that can be read; give a folder with a folder of images for each name"
            + (f". {left.rstrip('.')}" if left else "")
        )
    left_out = [left.sentence for left in tree.left_out("closed", "unsupported") if left.weighty]
    if layout.outside:
        left_out.append(
            f"{len(layout.outside):,} images lie in no folder of a name and are left out ({layout.outside[0]})"
        )
    if layout.empty:
        left_out.append(f"the folders {listed(layout.empty)} hold no image")
    keys = tuple(layout.keys)
    return People(
        root=data,
        keys=keys,
        names=tuple(layout.classes),
        groups=("",) * len(keys),
        left_out=(*left_out, *layout.notes),
    )


def _of_table(path: Path, root: Path | None) -> People:
    root = root or path.parent
    table, file, finder = open_listing(path, root)
    heading = [text.casefold() for text in table.rows[0]]
    at = next((heading.index(word) for word in NAME if word in heading and heading.index(word) != file), None)  # fmt: skip
    if at is None:
        raise DataError(
            f"{path} has no column of names: its first line reads {', '.join(table.rows[0])}; call it name, person or label"
        )
    names: dict[str, str] = {}
    left = []
    for row, line in zip(table.rows[1:], table.lines[1:], strict=True):
        text, name = cell(row, file), cell(row, at)
        parts = finder.find(text)
        if isinstance(parts, str):
            left.append(f"{path.name}, line {line}: {text} is left out, {parts}")
        elif not name:
            left.append(f"{path.name}, line {line}: {text} has no name and is left out")
        else:
            key, name = "/".join(parts), normal(as_text(name))
            if names.setdefault(key, name) != name:
                raise DataError(
                    f"{path}, line {line}: {text} is given the names {in_quotes(names[key])} and {in_quotes(name)}; "
                    "one image is of one name, so keep one of the lines"
                )
    if not names:
        raise DataError(
            f"none of the files that {path} lists can be read: {(left or ['it has no line'])[0]}"
        )
    keys = tuple(names)
    return People(
        root=root,
        keys=keys,
        names=tuple(names.values()),
        groups=("",) * len(keys),
        left_out=tuple(left),
    )


def _with_groups(people: People, data: Path, group: str) -> People:
    known = column_of(the_listing(data, "--group"), people.root, group)
    return replace(people, groups=tuple(known.get(key, "") for key in people.keys))
