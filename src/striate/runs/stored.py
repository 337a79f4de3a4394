"""Stored: what `run.toml` holds, checked key by key when a run is opened, and digests of all that decides an answer.

Digests tell what was changed by accident or by hand. They keep nobody out who can write the file: whoever can, can write the
digest, too.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.errors import RunError
from striate.files import leads_out
from striate.reading import read_file
from striate.runs.migrating import migrated
from striate.schema import Key, above, each, expect, is_kind, shortened, within
from striate.training.recipe import Recipe
from striate.wording import as_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 16_000_000  # bytes of a run.toml that are read
SIDE = 8192  # pixels
# Told for the record, or brought up to date as the run goes on; nothing that is predicted depends on them.
UNSIGNED = ("format", "digests", "finished", "training", "results", "versions")
# Of the recipe: where and on what it runs may change, and images are known by their fingerprint.
UNSIGNED_RECIPE = ("data", "device", "workers", "fsdp", "checkpoint_seconds")


def read_info(path: Path) -> dict[str, Any]:
    """The contents of the run's `run.toml` in the present format, checked. Raises RunError that names what is wrong."""
    file = path / "run.toml"
    try:
        info = parsed(read_file(file, limit=LARGEST))
        written = info.get("format")
        info = migrated(info, path)
        check(info)
        if written == info["format"]:
            check_digests(info)
    except OSError as error:
        raise RunError(
            f"cannot read {file}: {error.strerror or error}; restore it or train again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise altered(file, error) from error
    return info


def altered(file: Path, error: Exception) -> RunError:
    """The error for a file of a run that does not hold what it should."""
    said = f"{error} is missing" if isinstance(error, KeyError) else error
    if leads_out(file):  # whoever made the run can put a link to any file into it
        said = "it is a link out of the run"
    return RunError(f"{file} was altered and cannot be read: {said}; restore it or train again")


def parsed(data: bytes) -> dict[str, Any]:
    """TOML. Raises ValueError, also where it lies too deep."""
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check(info: Mapping[str, Any]) -> None:
    """Raise ValueError that names the first key whose value is missing, of another kind or out of range."""
    signed = info.get("digests")
    expect(info, INFO, more=isinstance(signed, dict))
    count = len(info["classes"])
    if len(set(info["classes"])) < count:
        raise ValueError("classes must hold every name once")
    for where, name in (("preprocessing", PREPROCESSING), ("wrapped", WRAPPED), ("own", OWN)):
        if where in info:
            expect(info[where], name, where)
    expect(info["data"], DATA, "data", more=True)
    for name, images in info["data"].items():
        if name not in DATA and not (is_kind(images, (int,)) and images >= 0):
            raise ValueError(f"data.{name} must be a number of images, got {shortened(images)}")
    expect(info.get("training", {}), TRAINING, "training", more=True)
    expect(info.get("results", {}), RESULTS, "results", more=True)
    for where in ("training", "results"):
        for name, value in info.get(where, {}).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{where}.{name} must be a number, got {value}")
    expect(
        info["versions"],
        {"striate": Key(str)} | dict.fromkeys(info["versions"], Key(str)),
        "versions",
    )
    check_calibration(info.get("calibration", {}), count)


def check_calibration(calibration: Mapping[str, Any], count: int) -> None:
    """Raise ValueError unless every entry is a number, or a list of one for each of `count` classes."""
    for name, value in calibration.items():
        numbers = value if isinstance(value, list) else [value]
        if not all(is_kind(v, (float,)) for v in numbers):
            raise ValueError(f"calibration.{name} must be numbers, got {shortened(value)}")
        if isinstance(value, list) and len(value) != count:
            raise ValueError(
                f"calibration.{name} must hold a number for each of {count} classes, got {len(value)}"
            )
        if low := RANGES.get(name):
            wrong = next((said for v in numbers if (said := low(v))), "")
            if wrong:
                raise ValueError(f"calibration.{name} {wrong}, got {shortened(value)}")


def check_recipe(raw: Mapping[str, Any], own: type | None) -> None:
    """Raise ValueError where a setting is not of its type: a file holds numbers as numbers, not as texts."""
    nested = raw.get(str(raw.get("task")), {})
    if not isinstance(nested, Mapping):
        raise ValueError(f"recipe.{raw.get('task')} must be a table, got {shortened(nested)}")
    parts: list[tuple[type | None, Mapping[str, Any], str]] = [
        (Recipe, raw, "recipe"), (own, nested, f"recipe.{raw.get('task')}")
    ]  # fmt: skip
    for kind, values, where in parts:
        if kind is None:
            continue
        for name, hint in typing.get_type_hints(kind).items():
            kinds = tuple(t for t in (typing.get_args(hint) or (hint,)) if t is not types.NoneType)
            plain = all(k in (bool, int, float, str) for k in kinds)
            if name in values and plain:
                expect({name: values[name]}, {name: Key(kinds)}, where)


def signed(info: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each entry that decides an answer, as they are read back from the file."""
    found = {}
    for name in sorted(set(info) - set(UNSIGNED)):
        value = info[name]
        if name == "recipe":
            value = {k: v for k, v in value.items() if k not in UNSIGNED_RECIPE}
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
        found[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def check_digests(info: Mapping[str, Any]) -> None:
    """Raise ValueError that names the first entry that is not the one that was written."""
    known, now = info["digests"], signed(info)
    for name in sorted({*known, *now}):
        if name not in now:
            raise ValueError(f"{shortened(name)} is missing")
        if known.get(name) != now[name]:
            raise ValueError(
                f"{shortened(name)} is not what was written, got {shortened(info[name])}"
            )


def to_toml(info: dict[str, Any]) -> bytes:
    """The contents of `run.toml`, with its digests; bytes of names that are no UTF-8 are written out."""
    import tomli_w

    rest = all_text({name: value for name, value in info.items() if name != "digests"})
    back = tomllib.loads(tomli_w.dumps(rest))
    return tomli_w.dumps({**rest, "digests": signed(back)}).encode()


def all_text(value: Any) -> Any:
    """A copy of nested tables and lists in which every text, of a key too, can stand in a file."""
    if isinstance(value, Mapping):
        return {as_text(str(k)): all_text(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [all_text(v) for v in value]
    return as_text(value) if isinstance(value, str) else value


INFO = {
    "format": Key(int), "task": Key(str), "created": Key(str), "finished": Key(bool),
    "classes": Key(list, check=lambda v: "must not be empty" if not v else each(str)(v)),
    "model_sha256": Key(str, optional=True),
    "temperature": Key(float, optional=True, check=above(0)),
    "calibration": Key(dict, optional=True),
    "recipe": Key(dict), "preprocessing": Key(dict), "data": Key(dict), "versions": Key(dict),
    "wrapped": Key(dict, optional=True), "own": Key(dict, optional=True), "find_rate": Key(bool, optional=True),
    "training": Key(dict, optional=True), "results": Key(dict, optional=True), "digests": Key(dict, optional=True),
}  # fmt: skip
PREPROCESSING = {
    "channels": Key(int), "height": Key(int, check=within(1, SIDE)), "width": Key(int, check=within(1, SIDE)),
    "fit": Key(str, optional=True), "interpolation": Key(str, optional=True), "crop_fraction": Key(float, optional=True),
    "resize": Key(int, optional=True), "mean": Key(list, optional=True, check=each(float)),
    "std": Key(list, optional=True, check=each(float, above(0))), "white": Key(float, optional=True),
    "black": Key(float, optional=True), "full_scale": Key(float, optional=True),
    "nodata": Key(list, optional=True), "longest": Key(int, optional=True), "enlarge": Key(float, optional=True),
    "why": Key(list, optional=True, check=each(str)),
}  # fmt: skip
WRAPPED = {"made_of": Key(str), "factory": Key(str, optional=True)}
OWN = {
    "loss": Key(str, optional=True), "augment": Key(str, optional=True),
    "callbacks": Key(list, optional=True, check=each(str)),
}  # fmt: skip
DATA = {"where": Key(str), "fingerprint": Key(str), "train": Key(int, check=within(0, 2**62))}
TRAINING = {
    "steps": Key(int, optional=True, check=within(0, 2**62)),
    "seconds": Key(float, optional=True, check=within(0, 1e12)),
}  # fmt: skip
RESULTS = {
    "split": Key(str, optional=True),
    "images": Key(int, optional=True, check=within(0, 2**62)),
}
RANGES = {
    "thresholds": within(0, 1),
    "spread": above(0),
    "radii": within(0, 1e300),
    "level": within(0, 1),
}
