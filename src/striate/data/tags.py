"""Tags as people write them: several in a cell, or a column each with yes and no."""

from __future__ import annotations

from collections.abc import Sequence

from striate.data.kinds import MISSING
from striate.data.naming import normal
from striate.data.several import WORDS, lists_of, separator_of
from striate.errors import DataError

YES = frozenset({"1", "1.0", "true", "t", "yes", "y", "x", "✓", "✔"})
NO = frozenset({"0", "0.0", "false", "f", "no", "n"})
MINUS = frozenset({"-1", "-1.0"})  # no beside 1 alone; "uncertain" where 0 stands there too
EMPTY = frozenset({"", *(text.casefold() for text in MISSING)})
NONE = frozenset({"none", "no tags", "[]", "()", "{}", "-"})  # what says that an image has no tag


def is_flag(texts: Sequence[str]) -> bool:
    """Whether a column says yes or no of each image, with yes at least once or no throughout."""
    values = {text.casefold() for text in texts} - EMPTY
    return bool(values) and values <= YES | NO | MINUS


def flags_of(texts: Sequence[str]) -> list[bool | None]:
    """Yes, no, or None where that is not known, for each cell of a column.

    An empty cell is no where the column never says no otherwise, and unknown where it does; so is -1 beside 0.
    """
    values = {text.casefold() for text in texts}
    says_no = bool(values & NO)
    unclear = says_no and bool(values & MINUS)
    flags: list[bool | None] = []
    for text in (text.casefold() for text in texts):
        if text in YES:
            flags.append(True)
        elif (text in EMPTY and says_no) or (text in MINUS and unclear):
            flags.append(None)
        else:
            flags.append(False)
    return flags


def tags_of(texts: Sequence[str], where: str) -> tuple[list[tuple[str, ...] | None], str]:
    """The tags of each cell, each once, None for a cell that is empty, and how they are separated, in words.

    "none" and "[]" say that an image has no tag. where: the table and the column, for messages. Raises DataError where no
    cell holds a tag.
    """
    values = {text for text in texts if text.casefold() not in EMPTY | NONE}
    if not values:
        raise DataError(f"{where} holds no tag; write the tags of each image, such as cat; dog")
    lists = lists_of(sorted(values))
    sign = None if lists else separator_of(sorted(values))
    tags: list[tuple[str, ...] | None] = []
    for text in texts:
        if text.casefold() in EMPTY:
            tags.append(None)
        elif text.casefold() in NONE:
            tags.append(())
        else:
            parts = lists[text] if lists else _cut(text, sign)
            tags.append(tuple(dict.fromkeys(normal(p) for p in parts if p)))
    how = "as lists" if lists else f"separated by {WORDS[sign]}" if sign else "one a line"
    return tags, how


def _cut(text: str, sign: str | None) -> Sequence[str]:
    if sign is None:
        return (text,)
    return text.split() if sign == " " else [part.strip() for part in text.split(sign)]
