"""Finding the image that a table means: by path, by the end of it, by name, and by what spreadsheets make of names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

from striate.data.naming import SPLIT_NAMES, normal
from striate.data.reading import SUFFIXES
from striate.files import is_regular

Parts = tuple[str, ...]

# How a name is compared, from strict to lenient, and how a note calls that. The first has no note.
_KEYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("", lambda name: name),
    ("", lambda name: _stem(name)),
    ("by another case", lambda name: name.casefold()),
    ("by another suffix", lambda name: _stem(name).casefold()),
    ("without the leading zeros", lambda name: _number(_stem(name))),
)


OUTSIDE = "lies outside the folder of the data; to read it all the same, add --set outside=true (outside=True in Python)"


class Finder:
    """The images below `root`, for a table in it, of which `table` are the parts: train.csv means files in train/ first.

    outside: whether the table may name files that do not lie below `root`, which is a person's to say: a table that came
    with a data set could name any file of the disk. refused: those that it named all the same.
    """

    def __init__(
        self, root: Path, table: Parts, images: Iterable[Parts], *, outside: bool = False
    ) -> None:
        self.outside, self.refused = outside, list[str]()
        self.root, self.folder = root, table[:-1]
        self.split = SPLIT_NAMES.get(table[-1].rsplit(".", 1)[0].casefold())
        self.paths = {tuple(map(normal, parts)): parts for parts in images}
        folders = {path[:-1] for path in self.paths}
        self.folders = {folder[i:] for folder in folders for i in range(len(folder))}
        self.deepest = max(map(len, folders), default=0)
        self._indices: dict[int, dict[str, list[Parts]]] = {}
        self.lenient: Counter[str] = Counter()  # how often a name was found only in another form

    def holds(self, value: str) -> bool:
        """Whether `value` is the path or the name of an image, letter by letter."""
        parts = _parts(value)
        return bool(parts) and (
            (*self.folder, *parts) in self.paths
            or parts in self.paths
            or parts[-1] in self._index(0)
        )

    def may_find(self, value: str) -> bool:
        """Whether `find` could find an image: quick, and True rather than False where only a closer look would tell."""
        parts = _parts(value)
        if not parts or value.startswith(("/", "\\")) or ".." in parts or value[1:2] == ":":
            return bool(parts)
        name, stem = parts[-1], _stem(parts[-1])
        alike = self._index(3)
        number = _number(stem)
        return (
            stem.casefold() in alike
            or name.casefold() in alike
            or (bool(number) and number in self._index(4))
            or is_regular(os.path.join(self.root, *self.folder, value.strip().replace("\\", "/")))
        )

    def find(self, value: str) -> Parts | str:
        """The path's parts as the disk has them, or in words why there is none."""
        parts = _parts(value)
        if not parts:
            return "it names no file"
        for candidate in ((*self.folder, *parts), parts):
            if candidate in self.paths:
                return self.paths[candidate]
        # A path that leads outside means that file; one inside that is no image of the tree is asked for last.
        outside = value.startswith(("/", "\\")) or ".." in parts or value[1:2] == ":"
        refused = len(self.refused)
        found = self._on_disk(value) if outside else None
        if len(self.refused) > refused:  # another file of that name is no substitute
            return f"it {OUTSIDE}"
        return (
            found
            or self._by_name(parts)
            or (not outside and self._on_disk(value))
            or "it is not there"
        )

    def _on_disk(self, value: str) -> Parts | None:
        target = os.path.join(self.root, *self.folder, value.strip().replace("\\", "/"))
        if not is_regular(target):
            return None
        parts = tuple(os.path.relpath(target, self.root).replace(os.sep, "/").split("/"))
        if parts[0] == ".." and not self.outside:
            self.refused.append(value)
            return None
        return parts

    def _index(self, level: int) -> dict[str, list[Parts]]:
        """The images by their names as level `level` of _KEYS compares them."""
        if level not in self._indices:
            index = self._indices[level] = {}
            for path in self.paths:
                if name := _KEYS[level][1](path[-1]):
                    index.setdefault(name, []).append(path)
        return self._indices[level]

    def _by_name(self, parts: Parts) -> Parts | str | None:
        for level, (words, key) in enumerate(_KEYS):
            # A name with an image's suffix is no stem: 1.5.png and 1.png differ.
            name = key(parts[-1]) if words or key is _KEYS[0][1] else parts[-1]
            matches = self._index(level).get(name, []) if name else []
            matches = self._nearest(parts[:-1], matches, fold=bool(words))
            if len(matches) > 1 and self.split:
                matches = [m for m in matches if self._in_split(m)] or matches
            if len(matches) == 1:
                self.lenient[words] += 1
                return self.paths[matches[0]]
            if matches:
                return f"{len(matches)} files have that name; write its path"
        return None

    def _in_split(self, path: Parts) -> bool:
        words = (re.split(r"[_\- ]", part.casefold())[0] for part in path[:-1])
        return any(SPLIT_NAMES.get(word) == self.split for word in words)

    def _nearest(self, folders: Parts, matches: list[Parts], *, fold: bool) -> list[Parts]:
        """Of files with the right name those whose folders agree longest with `folders`, from the end.

        None where the last folder exists, but not around a match: then the file is missing, and another of its name is no
        substitute.
        """
        same: Callable[[Parts], Parts] = (
            (lambda p: tuple(s.casefold() for s in p)) if fold else lambda p: p
        )
        for start in range(
            max(0, len(folders) - self.deepest), len(folders)
        ):  # longer ones are nobody's
            tail = folders[start:]
            inside = [m for m in matches if same(m[:-1][-len(tail) :]) == same(tail)]
            if inside:
                return inside
            if tail in self.folders:
                return []
        return matches


def _parts(value: str) -> Parts:
    text = normal(value.strip()).replace("\\", "/")
    if match := re.match(r"(?i)(https?|s3|gs|file)://[^/]*/", text):
        text = unquote(text[match.end() :]).split("?")[0]
    return tuple(p for p in text.split("/") if p not in ("", "."))


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def _number(stem: str) -> str:
    # 7, 7.0 and 0007 are one number: a spreadsheet drops zeros, and pandas adds the point.
    match = re.fullmatch(r"0*(\d+)(\.0+)?", stem)
    return match[1] if match else ""
