"""Reasons: what a decoder's exception says, in a sentence that helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from striate.errors import DataError
from striate.files import SpecialFileError, TooLargeError

CUT = ("truncated", "too small", "unexpected end", "eof", "not enough")


def reason(error: Exception) -> str:
    """Why a file cannot be decoded, from whatever its decoder raised."""
    text = str(error).strip().rstrip(".")
    text = text.splitlines()[0] if text else type(error).__name__
    if any(word in text.lower() for word in CUT):
        return "it is cut short; copy it again from where it came"
    # A decoder that stumbles (TypeError, KeyError, ...) says nothing that helps.
    spoken = (
        isinstance(error, (OSError, ValueError, SyntaxError, RuntimeError)) and "0x" not in text
    )
    detail = f" ({text})" if spoken else ""
    return f"it is broken{detail}; copy it again from where it came"


@contextmanager
def reasons() -> Iterator[None]:
    """Whatever is raised inside becomes a DataError that holds the bare reason."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError("there is no such file") from None
    except IsADirectoryError:
        raise DataError("it is a folder, not an image") from None
    except (SpecialFileError, TooLargeError) as error:
        raise DataError(str(error.strerror)) from None
    except PermissionError:
        raise DataError("it may not be read (permission denied)") from None
    except MemoryError:
        raise DataError("it needs more memory than there is; make it smaller") from None
    except Exception as error:  # decoders raise a dozen kinds on broken files, none documented
        raise DataError(reason(error)) from error
