"""The errors that a person can cause or mend. Each message says what was wrong, what was got, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from striate.wording import one_line


class StriateError(Exception):
    """The work failed; the command line prints the message alone and exits with `exit_status`.

    The message is one line, whatever stands in it: a file may have a name that makes lines, moves a terminal or is no text.
    below: lines that the message itself puts under its sentence. everywhere: whether every process of a training raises it,
    so that the first one alone prints it.
    """

    exit_status = 1
    everywhere = False

    def __init__(self, message: object = "", below: Sequence[str] = ()) -> None:
        self.sentence = one_line(str(message))
        super().__init__("\n  ".join((self.sentence, *map(one_line, below))))


class UsageError(StriateError, ValueError):
    """An argument is wrong: a name that does not exist, a number out of range, a shape that does not fit."""

    exit_status = 2


class SplitError(UsageError):
    """A share was asked for of a split that the images bring themselves."""


class PatternError(UsageError):
    """A layer pattern cannot be read.

    `pattern` is the text, `position` the zero-based index of the character that does not fit.
    """

    def __init__(self, message: str, pattern: str, position: int) -> None:
        self.pattern = pattern
        self.position = position
        place = len(one_line(pattern[:position]))
        super().__init__(message, (pattern, " " * place + "^"))


class DataError(StriateError, ValueError):
    """Images, labels or masks cannot be used as they are."""


class RunError(StriateError):
    """A run folder is missing something, or something in it was altered."""


class GalleryError(StriateError):
    """A gallery is missing something, was altered, or is another network's."""


class WriteError(StriateError):
    """A file cannot be written: a disk that is full, a folder that is read-only. `errno` is the system's number for it."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        self.errno = errno
        super().__init__(message)


class TrainingError(StriateError):
    """Training cannot go on, such as with a loss that is not finite."""


class ExactnessError(StriateError):
    """A result differs from the plain module's, and is withheld.

    `report` is what a maintainer needs to know, as JSON types.
    """

    def __init__(
        self, message: object, report: dict[str, object], below: Sequence[str] = ()
    ) -> None:
        self.report = report
        self.below = tuple(below)
        super().__init__(message, below)


class GeometryError(StriateError, ValueError):
    """A module cannot be traced, or a request does not fit its geometry."""


class PluginWarning(UserWarning):
    """A plug-in of another package cannot be used and was left out."""


class WeightsWarning(UserWarning):
    """A weights file was taken in part, or one of several sets of weights in it was chosen."""


class AssumedWarning(UserWarning):
    """Something that decides results was not given, and the usual was assumed."""


class NotVerifiedWarning(UserWarning):
    """A result could neither be confirmed nor refuted by the plain module, whose own numbers are noise."""
