"""The errors that a user can meet, each with the exit code of the command that it ends.

Every foreseen failure is raised as one of these; the command line turns it into a message and an
exit code in one place. Independent of click, files and arrays.
"""

import difflib
from collections.abc import Iterable


class MnistlinError(Exception):
    """A foreseen failure; the message says what, where and what to do."""

    exit_code = 1


class RunError(MnistlinError):
    """A run folder cannot be made, written or read."""


class ConfigError(MnistlinError):
    """A config, or an option that overrides one, is not valid."""

    exit_code = 2


class DataError(MnistlinError):
    """A data file is missing, damaged or not what it should be."""

    exit_code = 3


class CacheError(DataError):
    """A data file is missing, and the folder for downloads cannot be written."""

    exit_code = 1


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is most similar to a given one, or None if none is similar."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known word, to follow an error; else nothing."""
    close = nearest(word, known)
    return f"; did you mean {close}?" if close else ""


def printable(text: str, kept: str = "\n") -> str:
    """Escape what would control a terminal, except `kept`: quoted text may come from a stranger."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in kept else ascii(letter)[1:-1] for letter in text
    )
