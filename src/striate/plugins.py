"""Plug-ins: rows that other installed packages add to a table, by entry points.

    [project.entry-points."striate.models"]
    tiny = "tiny_nets:build"

The groups are `striate.tasks`, `striate.models`, `striate.sources`, `striate.attributions` and `striate.probes`; what each
takes stands in docs/extend.md.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from striate.errors import PluginWarning

T = TypeVar("T")


class Later(Mapping[str, T]):
    """Rows by name, each made when it is first looked at by a class or function that is imported then.

    paths: name -> "module:name" of what is called without arguments. A run of one task does not wait for all others.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.paths = dict(paths)
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            module, _, made = self.paths[name].partition(":")
            row: T = getattr(importlib.import_module(module), made)()
            self._made.setdefault(name, row)  # two threads get the same
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


class Table(Mapping[str, T]):
    """Rows by name: Striate's own, then those of plug-ins (before them with `first`), imported when first looked at.

    group: of the entry points. make: (name, what the entry point leads to) -> a row; raises for what is none. A plug-in that
    cannot be used is named by a PluginWarning and left out, as is one whose name Striate uses itself.
    """

    def __init__(
        self,
        group: str,
        rows: Mapping[str, T],
        make: Callable[[str, Any], T] = lambda name, value: value,
        *,
        first: bool = False,
    ) -> None:
        self.group, self.own, self.make, self.first = group, rows, make, first
        self.failed: dict[str, str] = {}  # names of plug-ins that cannot be used, and why
        self._all: dict[str, T] | None = None

    def __getitem__(self, name: str) -> T:
        if name in self.own:  # without a look at what is installed
            return self.own[name]
        return self._rows()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())

    def _rows(self) -> dict[str, T]:
        if self._all is None:
            more = dict(self._plugged())
            self._all = {**more, **self.own} if self.first else {**self.own, **more}
        return self._all

    def _plugged(self) -> Iterator[tuple[str, T]]:
        seen: set[str] = set()
        for entry in entry_points(group=self.group):
            if entry.name in seen:  # the same package, installed twice
                continue
            seen.add(entry.name)
            if entry.name in self.own:
                self._leave_out(entry, f"Striate has a {entry.name} of its own; call it something else")  # fmt: skip
                continue
            try:
                yield entry.name, self.make(entry.name, entry.load())
            except Exception as error:  # whatever a package of somebody else raises
                self._leave_out(entry, f"{type(error).__name__}: {error}; update or uninstall it")

    def _leave_out(self, entry: EntryPoint, why: str) -> None:
        package = f" of the package {entry.dist.name}" if entry.dist is not None else ""
        text = f"the plug-in {entry.name}{package} ({self.group}: {entry.value}) is left out: {why}"
        self.failed[entry.name] = text
        warnings.warn(text, PluginWarning, stacklevel=6)
