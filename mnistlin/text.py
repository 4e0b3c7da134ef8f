"""How numbers and names are written in messages, sentences and figures."""

import difflib
from collections.abc import Iterable

MIN_PART = 4
"""Minimum length of a word that may stand for a longer one."""


def written(value: float, fmt: str) -> str:
    """Return a number in a format such as ".4f", or ".2%" for a fraction as a percentage."""
    return f"{value:{fmt}}".replace("-", "−").replace("%", " %")


def signed(value: float, fmt: str) -> str:
    """Return a number with its sign; a number that is rounded to 0 has none."""
    text = f"{value:+{fmt}}"
    return written(0, fmt) if not float(text.rstrip("%")) else text.replace("-", "−")


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is most similar to a given one, or None if none is similar."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known word, to follow an error; else nothing.

    A word that is part of a known one, such as `val_acc` of `last_val_accuracy`, may mean that one.
    """
    known = list(known)
    longer = (each for each in known if len(word) >= MIN_PART and word in each)
    close = nearest(word, known) or next(longer, None)
    return f"; did you mean {close}?" if close else ""


def shortened(text: str, limit: int) -> str:
    """Return text of at most `limit` characters: its beginning and its end, if it is longer."""
    n_last = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[: limit - 1 - n_last]}…{text[-n_last:]}"


def printable(text: str, kept: str = "\n") -> str:
    """Escape control characters, except `kept`, since quoted text may be untrusted."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in kept else ascii(letter)[1:-1] for letter in text
    )
