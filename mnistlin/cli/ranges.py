"""Lists of numbers as they are typed on a command line: `1,0.1,0`, `1e-4:1:9log`, `0-4`."""

import re
from collections.abc import Callable, Iterator

from mnistlin.errors import ConfigError

MAX_VALUES = 1000
"""More than so many values of a range are a slip of the finger."""

_NUMBER = r"[+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_LOG_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):([0-9]{{1,9}})log")
_SEED_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")

LAMBDAS_FORM = "numbers such as 1,0.1,0, or 9 values from 1e-4 to 1 on a log scale: 1e-4:1:9log"
PATIENCES_FORM = "whole numbers such as 5,10,20, or a range such as 1-50"
SEEDS_FORM = "whole numbers such as 0,1,7, or a range such as 0-4"


def lambdas_of(text: str) -> list[str]:
    """Return the λ that a text names, as texts of numbers; whether they may be λ is not checked.

    Raises
    ------
    ConfigError
        If a part is neither a number nor a range.
    """
    return _values(text, "--lambdas", LAMBDAS_FORM, _lambdas)


def seeds_of(text: str) -> list[str]:
    """Return the seeds that a text names; otherwise as `lambdas_of`."""
    return _values(text, "--seeds", SEEDS_FORM, _seeds)


def patiences_of(text: str) -> list[int]:
    """Return the patiences that a text names, each once, in increasing order.

    Raises
    ------
    ConfigError
        If a part is neither a whole number from 1 on nor a range.
    """
    values = sorted({int(value) for value in _values(text, "--patience", PATIENCES_FORM, _seeds)})
    if values[0] < 1:
        raise ConfigError(f"--patience {text}: found {values[0]}; a patience is 1 check or more")
    return values


def _values(
    text: str, option: str, form: str, values_of: Callable[[str], Iterator[str]]
) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        try:
            found += values_of(part.strip())
        except ValueError as error:
            reason = str(error) or f"{part.strip()!r} is not among what it takes: {form}"
            raise ConfigError(f"{option} {text}: {reason}") from None
    return found


def _lambdas(part: str) -> Iterator[str]:
    """Yield the values of one part; those of a range with six digits, which is what files show."""
    if re.fullmatch(rf"-?{_NUMBER}", part):
        yield part
        return
    match = _LOG_RANGE.fullmatch(part)
    if match is None:
        raise ValueError
    start, stop, n = float(match[1]), float(match[2]), int(match[3])
    if start == 0 or stop == 0:
        raise ValueError("a range on a log scale cannot reach 0; name 0 beside it: 0,1e-4:1:9log")
    if not 2 <= n <= MAX_VALUES:
        raise ValueError(f"a range has 2 to {MAX_VALUES} values, not {n}")
    for i in range(n):
        yield f"{start ** (1 - i / (n - 1)) * stop ** (i / (n - 1)):.6g}"


def _seeds(part: str) -> Iterator[str]:
    if re.fullmatch(r"-?[0-9]{1,18}", part):
        yield part
        return
    match = _SEED_RANGE.fullmatch(part)
    if match is None:
        raise ValueError
    seeds = range(int(match[1]), int(match[2]) + 1)
    if not 1 <= len(seeds) <= MAX_VALUES:
        raise ValueError(f"a range goes up, over at most {MAX_VALUES} numbers, as 0-4 does")
    yield from map(str, seeds)
