"""Lists: the models and the sources that can be named, as findings.

What Striate itself names is written down in `listed.json`, so that a list appears at once: to count multiply-adds, all
networks would be traced, which takes torch and seconds. Where plug-ins add names, everything is looked at as it is.
`python -m striate.runs.listing` writes the file again; a test holds it to what is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from striate.data.listed import table_of_sources
from striate.documents import from_json, to_json
from striate.errors import UsageError
from striate.findings import Finding, Table
from striate.writing import write_atomically

Count = Callable[[int, int], None]

LISTED = Path(__file__).with_name("listed.json")


def list_models(pattern: str | None = None, *, progress: Count | None = None) -> Finding:
    """See `striate.api.models`."""
    if pattern is not None and pattern.startswith("timm/"):
        return list_timm(pattern.removeprefix("timm/"))
    if _plugged("striate.models"):
        from striate.runs.counting import count_models

        rows = count_models(pattern, progress=progress)
    else:
        rows = [row for row in _listed("models") if pattern is None or pattern.lower() in row["model"]]  # fmt: skip
    if not rows:
        raise UsageError(f"no model's name contains {pattern!r}; see `striate models`")
    return Finding(
        name="models",
        title="Models",
        verdict=f"{len(rows)} models by name; also layer patterns, and timm/NAME.",
        tables=(Table(columns=tuple(rows[0]), rows=tuple(tuple(row.values()) for row in rows)),),
        data={"models": rows},
    )


def list_sources() -> Finding:
    """The table of sources, of all tasks."""
    if _plugged("striate.sources") or _plugged("striate.tasks"):
        from striate.tasks.table import sources

        return sources()
    known = {row["source"]: row["about"] for row in _listed("sources")}
    return table_of_sources(known)


def _plugged(group: str) -> bool:
    """Whether an installed package adds names to a table."""
    return bool(entry_points(group=group))


def _listed(what: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = from_json(LISTED.read_text(encoding="utf-8"))[what]
    return rows


def list_timm(part: str) -> Finding:
    """The names of timm's models that contain `part`; they are too many to build."""
    import timm

    names = [f"timm/{name}" for name in timm.list_models(f"*{part}*")]
    if not names:
        raise UsageError(f"no model of timm's has {part!r} in its name; see `striate models timm/`")
    return Finding(
        name="models",
        title="Models of timm",
        verdict=f"{len(names):,} models of timm's.",
        tables=(Table(columns=("model",), rows=tuple((name,) for name in names)),),
        data={"models": names},
    )


if __name__ == "__main__":
    from striate.runs.counting import own_lists

    write_atomically(LISTED, to_json(own_lists()).encode())
