"""What a folder says of a run or a sweep that ends because something was raised."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from mnistlin.errors import RunError


@contextmanager
def marks_failure(end: Callable[[Literal["interrupted", "failed"]], None]) -> Iterator[None]:
    """If something raises inside, end with the status that fits, then let it go on its way.

    Parameters
    ----------
    end : callable
        Writes the status; if that fails too, nothing is said of it, for what went wrong first is
        what must be told.
    """
    try:
        yield
    except BaseException as error:
        with suppress(RunError):
            end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
