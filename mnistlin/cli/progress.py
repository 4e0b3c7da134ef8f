"""What moves while a command works: bars on a terminal, and signals that ask it to stop."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tqdm import tqdm

    from mnistlin.experiment import Progress


@contextmanager
def bar(total: int, unit: str, *, quiet: bool, **options: Any) -> "Iterator[tqdm[Any]]":
    """Show a bar on standard error while inside, if that is a terminal and nobody wants quiet."""
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty()
    with tqdm(total=total, unit=unit, disable=hidden, dynamic_ncols=True, **options) as shown:
        yield shown


def fetch_data(dataset: str, *, quiet: bool) -> Path:
    """Find a dataset, with a bar if it must be downloaded first; return its folder."""
    from mnistlin.data.locate import locate

    with bar(0, "B", quiet=quiet, desc=f"fetching {dataset}", unit_scale=True, delay=0.3) as shown:
        return locate(dataset, shown).folder


def show_epoch(shown: "tqdm[Any]", progress: "Progress") -> None:
    """Move a bar of epochs."""
    shown.update(progress.epoch + 1 - shown.n)
    shown.set_postfix_str(f"val_accuracy={progress.check.val_accuracy:.4f}")


class StopRequest:
    """Whether Ctrl-C or SIGTERM has asked to stop; a second one ends the process at once.

    Attributes
    ----------
    signal : int, optional
        The signal that came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """As the shell has it: 128 and the number of the signal."""
        return 128 + self.signal if self.signal else 0

    def _take(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
        click.echo("\nstopping after this epoch; once more to end at once", err=True)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM as requests to stop while inside."""
    request = StopRequest()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, request._take) for number in numbers]  # noqa: SLF001
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
