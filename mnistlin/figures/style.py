"""The look that all figures share: colours, type, page and saving.

matplotlib, which is slow to import, is imported when something is drawn, so that the modules of
questions can use the names of this module.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlin.errors import RunError
from mnistlin.runs.files import write_into

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FORMATS = ("png", "svg", "pdf")
DPI = 150

WIDTH, HEIGHT = 9.0, 5.2
MARGIN = 0.4
HEADER, FOOTER, NOTE = 0.80, 0.45, 0.30
"""Heights of title and settings, of the footer, and of a note above the footer, if there is one."""

INK, MUTED, FAINT = "#222222", "#6b6b6b", "#e4e4e4"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
OKABE_ITO = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Colours for things without an order (Okabe and Ito 2008); their yellow is too pale for lines."""

_RC: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so all machines set the same type
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.borderaxespad": 0.0,
    "lines.linewidth": 1.8,
    "lines.solid_joinstyle": "round",
    "svg.hashsalt": "mnistlin",  # else the ids in an SVG file are random
}

# No dates, so that the same run gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in our style inside, whatever the user's matplotlibrc says; also a decorator.

    No warnings come out of it: a run from elsewhere may hold names in a script that the font lacks,
    which are drawn as boxes, and numbers that overflow, which no axis can show.
    """
    import matplotlib as mpl

    with mpl.rc_context(), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


@contextmanager
def page(words: tuple[str, str, str], note: str = "", height: float = HEIGHT) -> "Iterator[Figure]":
    """Yield a page to draw on in our style; its axes stay between the header and the footer.

    Parameters
    ----------
    words : (str, str, str)
        Title, settings and footer, as the functions of `captions` return them.
    note : str
        A line above the footer that helps to read the figure.
    height : float
        Height in inches; the width is always WIDTH.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(WIDTH, height), dpi=DPI)
        FigureCanvasAgg(figure)
        title, settings, footer = words
        figure.set_label(title)
        _write_line(figure, title, height - 0.40, fontsize=14, fontweight="bold")
        _write_line(figure, settings, height - 0.65, fontsize=9.5, color=MUTED)
        _write_line(figure, footer, 0.16, fontsize=7.5, color=MUTED)
        _write_line(figure, note, FOOTER, fontsize=8.5, color=MUTED)
        left, bottom = MARGIN / WIDTH, (FOOTER + (NOTE if note else 0)) / height
        rect = (left, bottom, 1 - 2 * left, 1 - HEADER / height - bottom)
        figure.set_layout_engine("constrained", rect=rect)
        yield figure


def stacked(figure: "Figure", heights: Sequence[float]) -> "list[SubFigure]":
    """Divide a page into parts of these relative heights, from the top down."""
    parts: Any = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    return list(parts.ravel())


def name_axes(axes: "Axes", y_title: str, x_title: str = "") -> None:
    """Write what y is above the upper left corner, where it is read first, and x below."""
    axes.set_title(y_title, loc="left", fontsize="medium")
    axes.set_xlabel(x_title)


def legend_beside(axes: "Axes", **look: Any) -> None:
    """Put a legend of all that has a label to the right of a panel."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), labelspacing=0.8, **look)


def _write_line(figure: "Figure", words: str, y: float, fontsize: float, **look: Any) -> None:
    """Write a line at the left margin, smaller than asked for if it would pass the right one."""
    width, height = figure.get_size_inches()
    line = figure.text(MARGIN / width, y / height, words, fontsize=fontsize, **look)
    available = (width - 2 * MARGIN) * DPI
    for _ in range(4):  # small type runs a little wider than its size would have it
        taken = line.get_window_extent().width if words else 0
        if taken <= available:
            break
        fontsize *= 0.99 * available / taken
        line.set_fontsize(fontsize)


def say_instead(figure: "Figure", *lines: str) -> None:
    """Write in the middle of the page why nothing is drawn there; empty lines are left out."""
    words = "\n".join(filter(None, lines))
    figure.text(0.5, 0.5, words, ha="center", va="center", fontsize=12, color=MUTED)


def sequential_colors(n: int) -> list[tuple[float, float, float, float]]:
    """Return n colours for values in increasing order, from dark to light."""
    import matplotlib as mpl

    viridis = mpl.colormaps["viridis"]
    return [viridis(0.88 * i / max(1, n - 1)) for i in range(n)]  # its end is too pale for lines


def is_dark(color: tuple[float, ...]) -> bool:
    """Say whether white text reads better than black on a colour, given as RGB in [0, 1]."""
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in color[:3]
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return luminance < 0.179  # where both have the same contrast (WCAG 2)


def save(figure: "Figure", out_dir: Path, name: str, fmt: str = "png") -> Path:
    """Write a figure to <out_dir>/<name>.<fmt>, making the folder if need be.

    Parameters
    ----------
    figure : Figure
        What to write.
    out_dir : Path
        Where.
    name : str
        The file's name, without its ending.
    fmt : {"png", "svg", "pdf"}
        The same figure always gives the same bytes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RunError
        If the format is another one, or the file cannot be written.
    """
    if fmt not in FORMATS:
        raise RunError(f"cannot draw figures as {fmt!r}; it may be {', '.join(FORMATS)}")
    return write_into(out_dir, f"{name}.{fmt}", _rendered(figure, fmt))


def as_svg(figure: "Figure") -> str:
    """Return a figure as an <svg> element, for a page or a notebook."""
    text = _rendered(figure, "svg").decode()
    return text[text.index("<svg") :]


@house_style()
def _rendered(figure: "Figure", fmt: str) -> bytes:
    _fix_layout(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=fmt, dpi=DPI, metadata=_METADATA[fmt])
    return buffer.getvalue()


def _fix_layout(figure: "Figure") -> None:
    """Lay the page out now, to places that are rounded: the solver's last bits vary."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6).tolist())
