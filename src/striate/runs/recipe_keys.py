"""Recipe keys: which entry of a run's recipe an error speaks of, so that its message names the file and the key.

A recipe is checked when a run is opened, but some of its values are refused only by what uses them: a model that does not
exist, data that are gone, a size that the network cannot take. Whoever reads the message did not type that value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from striate.errors import RunError, StriateError, TrainingError, WriteError
from striate.schema import shortened


@contextmanager
def from_recipe(path: Path, recipe: Mapping[str, Any], *keys: str) -> Iterator[None]:
    """Errors within the block become a RunError that names `run.toml` and the key.

    path: the run's folder. recipe: as it stands in the file. keys: those that the block uses first; the error is put down to
    the first of them that is in the recipe where its message names no key and no value.
    """
    try:
        yield
    except (RunError, TrainingError, WriteError):  # of another file
        raise
    except StriateError as error:
        known = flat(recipe)
        key = named_in(error.sentence, known) or next((k for k in keys if k in known), "")
        got = f".{key} = {shortened(known[key])}" if key else ""
        raise RunError(
            f"{path / 'run.toml'} cannot be followed: recipe{got}: {error.sentence}; restore the file or train again"
        ) from error


def flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's entries by key, those of nested tables as `table.key`."""
    found: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": inner for key, inner in flat(value).items()}
        else:
            found[name] = value
    return found


def named_in(sentence: str, known: Mapping[str, Any]) -> str:
    """The key that a sentence begins with, has as a text in it, or holds the value of; "" where there is none."""
    begins = [k for k in known if re.match(rf"(--)?{re.escape(k.split('.')[-1])}\b", sentence)]
    texts = [
        k
        for k, value in known.items()
        if isinstance(value, str) and value and shortened(value)[1:-1] in sentence
    ]
    texts.sort(key=lambda k: -len(str(known[k])))  # "x" is in many a sentence by chance
    return next(iter((*begins, *texts)), "")
