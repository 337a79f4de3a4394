"""Striate trains a convolutional network on your images, shows what each part of it sees, proves where it breaks,
and runs it on images of any size.

The public names are imported when first used, so that `import striate` and `striate --help` stay instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the room that it lives in.
_ROOMS = {
    "StriateError": "striate.errors",
    "Finding": "striate.findings",
    "build": "striate.models",
}

__all__ = [*sorted(_ROOMS), "__version__"]

if TYPE_CHECKING:
    from striate.errors import StriateError as StriateError
    from striate.findings import Finding as Finding
    from striate.models import build as build


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(
            f"module 'striate' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    return getattr(importlib.import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
