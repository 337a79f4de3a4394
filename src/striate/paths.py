"""Paths as people give them, checked in one place before anything is opened or made."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from striate.errors import AssumedWarning, UsageError


def given_path(path: Any, what: str) -> Path:
    """The path with `~` in it expanded. what: what it is called in a message, such as an option.

    Raises UsageError for one that is empty, holds a zero byte, or begins with the home of somebody who has none here.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        raise UsageError(f"{what} must be a path, got {type(path).__name__}") from None
    text = os.fsdecode(text)
    if not text.strip():
        raise UsageError(f"{what} is empty, {text!r}; give a path")
    if "\0" in text:
        raise UsageError(f"{what} holds a zero byte, {text!r}; no path does")
    if text.startswith("~"):
        home = os.path.expanduser(text)
        # A file may be called ~x; a home that cannot be found is somebody's all the same.
        if home == text and not os.path.lexists(text):
            whose = text.split("/")[0][1:]
            raise UsageError(f"{what} is {text}, and {whose!r} has no home here; write the folder out")  # fmt: skip
        text = home
    return Path(text)


def user_cache(name: str) -> Path | None:
    """The folder `name` of what can be made again, which need not be there: in `STRIATE_CACHE`, or the user's own cache.

    None where `STRIATE_CACHE` is "off", or there is no home.
    """
    given = os.environ.get("STRIATE_CACHE", "")
    if given.strip().lower() == "off":
        return None
    try:
        home = Path(given or os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache")
    except (OSError, RuntimeError):
        return None
    return (home if given else home / "striate") / name


def given_folder(path: Any, what: str) -> Path:
    """The path of a folder that is to be made. Raises UsageError where it can have no name: `.`, `..`, `/`."""
    found = given_path(path, what)
    if found.name in ("", "..") or not os.path.normpath(found).strip("./"):
        raise UsageError(
            f"{what} names the folder that is made, and {str(path)!r} is one that stands; give a name, such as runs/first"
        )
    return found


def warn_of_folder(name: str) -> None:
    """Say which is taken where a named source and a folder of the working directory have one name."""
    if Path(name).is_dir():
        warnings.warn(
            f"{name} is taken for the named source, and the folder {name} here is not read; write ./{name} for the folder",
            AssumedWarning,
            stacklevel=3,
        )
