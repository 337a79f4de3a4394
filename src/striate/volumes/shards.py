"""Patterns of shards: photos-{000..015}.tar, train-*.tar, several with blanks or :: between them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

from striate.errors import UsageError

MOST = 1_000_000  # files that a pattern may name
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def braces(pattern: str) -> Iterator[str]:
    """What a pattern with braces names: {000..015} counts with as many digits, {a,b} lists, as a shell does.

    >>> list(braces("{train,val}-{08..10}.tar"))[:4]
    ['train-08.tar', 'train-09.tar', 'train-10.tar', 'val-08.tar']
    """
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    before, after = pattern[: match.start()], pattern[match.end() :]
    counted = _RANGE.fullmatch(match[1])
    if counted:
        low, high = int(counted[1]), int(counted[2])
        digits = max(len(counted[1]), len(counted[2])) if counted[1].startswith("0") else 0
        if abs(high - low) >= MOST:
            raise UsageError(
                f"{pattern} names more than {MOST:,} files; give a folder or a shorter range"
            )
        step = 1 if high >= low else -1
        parts: Iterator[str] = (str(n).zfill(digits) for n in range(low, high + step, step))
    else:
        if "," not in match[1]:
            raise UsageError(
                f"{pattern}: {match[0]} is neither a range such as {{000..015}} nor a list such as {{train,val}}"
            )
        parts = iter(match[1].split(","))
    for part in parts:
        yield from braces(before + part + after)


def files_of(pattern: str, ending: str, what: str) -> list[str]:
    """The files that a pattern names, in order: braces, globs, or a folder, of which those with `ending` are meant.

    what: they are called in a message. Raises UsageError for a pattern that names nothing, or a file that is not there.
    """
    found: dict[str, None] = {}
    missing: list[str] = []
    for one in (part for several in pattern.split("::") for part in braces(several)):
        one = os.path.expanduser(one)
        if os.path.isdir(one):
            inner = sorted(glob.glob(f"{glob.escape(one)}/**/*{ending}", recursive=True))
        elif os.path.isfile(one):
            inner = [one]
        else:
            inner = sorted(path for path in glob.glob(one, recursive=True) if os.path.isfile(path))
            if not inner:
                missing.append(one)
        found.update(dict.fromkeys(inner))
    if missing and found:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise UsageError(
            f"{missing[0]}{more} of {pattern} {'are' if more else 'is'} not there, {len(found):,} others are; bring "
            f"{'them' if more else 'it'} back, or name those that are there"
        )
    if not found:
        raise UsageError(
            f"there is no {what} {pattern}; give a file, a folder of {ending} files, or a pattern such as "
            f"'photos-{{000..015}}{ending}'"
        )
    return list(found)
