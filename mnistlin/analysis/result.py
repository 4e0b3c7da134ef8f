"""The result of a question: values, tables, a paragraph and figures, the same everywhere.

The command line, the report page and a notebook show the same object: `values()` as lines,
`tables()` beneath them, `explanation()` as a paragraph and `figures()` as files or images.
A question adds a subclass in its own module and needs no other registration.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from mnistlin.errors import RunError
from mnistlin.model.products import Floats
from mnistlin.runs.tables import html_table
from mnistlin.runs.writer import write_table, write_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mnistlin.runs.folder import Run
    from mnistlin.runs.sweep_folder import Sweep

Values: TypeAlias = Mapping[str, Any]
Tables: TypeAlias = Mapping[str, Sequence[Values]]
"""Rows by the name of their table; the rows of one table have the same keys."""


class TooShortError(RunError):
    """A run or sweep is too short to answer a question, but valid. `problem` has no path."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.problem = problem


class Result:
    """What a question found. A subclass is a frozen dataclass; `stem` and `values` are required."""

    title: ClassVar[str] = ""
    """What the figure and the paragraph are about, as a heading."""

    @property
    def stem(self) -> str:
        """The name of the files that this result is saved to, without an ending."""
        raise NotImplementedError

    @property
    def folder(self) -> Path | None:
        """The folder of the run or sweep that the result is about; None if there are several."""
        subject = self._subject
        return None if subject is None else subject.path

    def values(self) -> Values:
        """Return scalars, and lists or tuples of them, by key."""
        raise NotImplementedError

    def tables(self) -> Tables:
        """Return the tables that are shown beneath the values."""
        return {}

    def as_object(self) -> Values:
        """Return what `--json` prints: the values and the tables."""
        return {**self.values(), **self.tables()}

    def explanation(self) -> str:
        """Return what the values mean, as paragraphs; one that is indented is kept as it is."""
        return ""

    def warnings(self) -> Sequence[str]:
        """Return what limits the result: the warnings of its run or sweep, by default."""
        subject = self._subject
        return () if subject is None else subject.warnings

    def figure(self) -> "Figure | None":
        """Draw the result."""
        return None

    def figures(self) -> "Mapping[str, Figure]":
        """Draw all figures of the result, by the stem of their file."""
        figure = self.figure()
        return {} if figure is None else {self.stem: figure}

    def records(self) -> Tables:
        """Return the tables that are saved, by the stem of their file; those shown by default."""
        return {f"{self.stem}_{name}": rows for name, rows in self.tables().items()}

    def arrays(self) -> Mapping[str, Floats]:
        """Return weights, each (n_features + 1, n_outputs), to be saved as one .npz file."""
        return {}

    @property
    def _subject(self) -> "Run | Sweep | None":
        """The field `run` or `sweep` of a subclass."""
        subject: Run | Sweep | None = getattr(self, "run", None) or getattr(self, "sweep", None)
        return subject

    def __init_subclass__(cls) -> None:
        cls.__repr__ = Result.__repr__  # type: ignore[method-assign]  # a dataclass prints all fields

    def __repr__(self) -> str:
        words = ", ".join(f"{key}={as_text(value)}" for key, value in self.values().items())
        return f"{type(self).__name__}({words if len(words) <= 150 else words[:149] + '…'})"

    def _repr_html_(self) -> str:
        """Return the result as HTML, which notebooks show."""
        return "\n".join(_html_parts(self))


def save(result: Result, out: Path | None = None, fmt: str = "png") -> list[Path]:
    """Write the figures, tables and arrays of a result; return the files.

    Parameters
    ----------
    result : Result
        The result of a question.
    out : Path, optional
        Where all files go. Default: figures to plots/ and the rest to analysis/ in the run folder.
    fmt : {"png", "svg", "pdf"}
        Format of the figures.

    Raises
    ------
    RunError
        If a figure cannot be drawn or a file cannot be written.
    """
    from mnistlin.figures.style import save as save_figure

    folder = out or result.folder
    if folder is None:
        raise RunError(f"{result.stem} belongs to no run folder: name a folder to save it to")
    plots, analysis = (out or folder / name for name in ("plots", "analysis"))
    files = [save_figure(figure, plots, stem, fmt) for stem, figure in result.figures().items()]
    files += [write_table(analysis, stem, rows) for stem, rows in result.records().items() if rows]
    if arrays := result.arrays():
        files.append(write_weights(analysis, result.stem, **arrays))
    return files


def as_text(value: Any) -> str:
    """Return a value formatted for display."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return " to ".join(map(as_text, value))
    if isinstance(value, list):
        return ", ".join(map(as_text, value))
    return str(value)


def _html_parts(result: Result) -> list[str]:
    from mnistlin.figures.style import as_svg

    parts = [f"<h3>{escape(result.title)}</h3>"] if result.title else []
    parts.append(html_table([(key, as_text(value)) for key, value in result.values().items()]))
    parts += [
        html_table([tuple(rows[0]), *(tuple(map(as_text, row.values())) for row in rows)])
        for rows in result.tables().values()
        if rows
    ]
    paragraphs = [*(f"warning: {each}" for each in result.warnings()), result.explanation()]
    parts += [f"<p>{escape(words)}</p>" for words in paragraphs if words]
    return parts + [as_svg(figure) for figure in result.figures().values()]
