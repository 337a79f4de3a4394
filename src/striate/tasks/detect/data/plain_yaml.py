"""YAML of plain values: no tag can make an object, and nothing expands beyond what was written.

A safe loader runs no code, but raises what it likes for a tag that its value does not fit (`!!bool x`, `!!timestamp x`), and
merges (`<<: [*a, *a]`) double with each level. Aliases are references and cost nothing until somebody writes them out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.data.table import decoded
from striate.files import read_regular

MOST = (
    2_000_000  # bytes: ten thousand classes with long names; the parser takes seconds for a million
)
WRONG = (
    OSError, ValueError, RecursionError, LookupError, AttributeError, TypeError, ArithmeticError
)  # fmt: skip


def read_yaml(path: Path) -> Any:
    """The content of a file, or None where it is no YAML of plain values, too large or too deep."""
    import yaml

    class Plain(yaml.SafeLoader):
        """Without merges of mappings."""

        def flatten_mapping(self, node: Any) -> None:
            """See `yaml.constructor.SafeConstructor`; a merge key stays, and is refused as a tag that nobody knows."""

    try:
        text, _ = decoded(read_regular(path, limit=MOST))
        return yaml.load(text, Loader=Plain)  # a safe loader
    except (yaml.YAMLError, *WRONG):
        return None
