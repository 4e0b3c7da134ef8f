"""What a command shows while it works and at its end: lines, bars, and requests to stop.

Nothing here that fails reaches training: a bar or a log line that cannot be written is dropped.
"""

import os
import re
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import click

from mnistlin.text import printable

if TYPE_CHECKING:
    from tqdm import tqdm

    from mnistlin.data.splits import SplitLoader
    from mnistlin.experiment import Progress


def table_width() -> int | None:
    """Return the width of the terminal, which limits tables; None if there is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


_NOT_WRAPPED = re.compile(r"`[^`]*`|(?<=: )mnistlin .*| %")
"""Parts of a line that are not wrapped: commands, which are copied, and the sign after a number."""


def wrapped(text: str, width: int, hanging: str = "") -> str:
    """Wrap each line between words, but not in commands; `hanging` begins what continues a line."""
    lines = []
    for line in text.split("\n"):
        words = line.lstrip(" ")
        margin = " " * (len(line) - len(words))
        lines += textwrap.wrap(
            _NOT_WRAPPED.sub(lambda match: match[0].replace(" ", "\0"), words),
            width,
            initial_indent=margin,
            subsequent_indent=margin + hanging,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines).replace("\0", " ")


def echo(text: object = "", *, nl: bool = True) -> None:
    """Print a result; control characters are escaped.

    If the reader of a pipe has exited, output stops and the command continues.
    """
    try:
        click.echo(printable(str(text)), nl=nl)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def echo_wrapped(text: str, hanging: str = "  ") -> None:
    """Print lines, on a terminal wrapped at its width; `hanging` begins what continues a line."""
    width = table_width()
    echo(text if width is None else wrapped(text, width, hanging))


def echo_value(key: str, value: object) -> None:
    """Print a `key: value` line: one line whatever the value is, but wrapped on a terminal."""
    line = f"{key}: {printable(str(value), kept='')}"
    if isinstance(value, Path):
        echo(line)
    else:
        echo_wrapped(line)


def log(text: object) -> None:
    """Print a message to standard error, escaped; it is dropped if that cannot be written."""
    words = printable(str(text))
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            words = wrapped(words, shutil.get_terminal_size().columns, "  ")
        click.echo(words, err=True)


def open_closed_streams() -> None:
    """Connect closed standard streams to the null device, so that no file gets their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


class _Unfailing:
    """Standard error, without the errors of writing to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
"""Without the rate, so that the name of a run and its accuracy fit in 80 columns."""


@contextmanager
def bar(total: int | None, unit: str, *, quiet: bool, **options: Any) -> "Iterator[tqdm[Any]]":
    """Show a bar on standard error while inside, unless quiet, and only on a terminal.

    What is done sooner than a bar can be read, such as an error, shows none. Callers never refresh
    the bar themselves: it would then be shown before its delay, and its line not be ended.
    """
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty()
    with tqdm(
        total=total,
        unit=unit,
        disable=hidden,
        dynamic_ncols=True,
        delay=0.3,
        bar_format=_BAR if total else None,
        file=_Unfailing(sys.stderr),
        **options,
    ) as shown:
        yield shown


@contextmanager
def download_bar(dataset: str, *, quiet: bool) -> "Iterator[tqdm[Any]]":
    """Show a bar of bytes while inside, once anything is downloaded."""
    with bar(0, "B", quiet=quiet, desc=f"fetching {dataset}", unit_scale=True) as shown:
        yield shown


def fetch_data(dataset: str, *, quiet: bool, recorded: Path | None = None) -> "SplitLoader":
    """Find a dataset, with a bar if it must be downloaded; return the loader of this command.

    For the dataset of a run, the folder that it recorded is tried second.
    """
    from mnistlin.data.splits import SplitLoader, shared_loader, sharing

    loader = shared_loader()
    if loader is None:
        loader = SplitLoader()
        click.get_current_context().with_resource(sharing(loader))
    with download_bar(dataset, quiet=quiet) as shown:
        loader.locate(dataset, recorded, shown)
    return loader


def show_epoch(shown: "tqdm[Any]", progress: "Progress") -> None:
    """Move a bar of epochs."""
    shown.set_postfix_str(f"val_accuracy={progress.check.val_accuracy:.4f}", refresh=False)
    shown.update(progress.epoch + 1 - shown.n)


class StopRequest:
    """The signal that asked to stop, if any; the same signal again ends the process at once."""

    def __init__(self, announcer: int) -> None:
        self.signal: int | None = None
        self._announcer = announcer

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as in a shell."""
        return 128 + self.signal if self.signal else 0

    def _take(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
        os.write(self._announcer, b"!")  # only now, when a second signal has its effect


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM as requests to stop while inside.

    The handler only sets a flag and wakes another thread, which reports the request.
    """
    reader, writer = os.pipe()
    request = StopRequest(writer)
    numbers = (signal.SIGINT, signal.SIGTERM)
    threading.Thread(target=_announce, args=(reader,), daemon=True).start()
    before = [signal.signal(number, request._take) for number in numbers]  # noqa: SLF001
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        os.close(writer)  # ends the thread


def _announce(reader: int) -> None:
    """Report once that a signal has come; end when the pipe is closed."""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        if pipe.read(1):
            log("\nstopping; interrupt again to end at once")
