"""The style that all figures share: colours, fonts, layout and saving.

matplotlib, which is slow to import, is imported when something is drawn, so that the modules of
questions can use the names of this module.
"""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlin.errors import RunError
from mnistlin.runs.files import write_into

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.transforms import Bbox

FORMATS = ("png", "svg", "pdf")
DPI = 150

WIDTH, HEIGHT = 9.0, 5.2
PAPER_WIDTH = 3.4
"""Inches: a column of a journal with two."""

SMALLEST, SMALLEST_ON_PAPER, LARGEST_ON_PAPER = 6.0, 7.0, 8.0
"""Font sizes in points."""

MARGIN = 0.4
HEADER, FOOTER, NOTE = 0.80, 0.45, 0.30
"""Heights of title and settings, of the footer, and of a note above the footer, if there is one."""

PART_TITLE = 0.3
"""Height of the title of a part of a page."""

LABEL_LINES = (0, 1, 2, 3, 4, 5, -2, -3, -4, -5)
"""Offsets, in lines up or down, at which the label of a point may be placed."""

LETTERS_ON_PAPER = 56
"""Characters of a title that fit in a column of a paper."""

LETTERS_PER_INCH = 13.0
"""Characters per inch of text in a legend."""

LEGEND_BELOW = 36
"""Points between a panel and a legend below it, for the tick labels and the title of x."""

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
"""Colours for unordered things (Okabe and Ito 2008), without yellow: it is too pale for lines."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)))
"""Line styles, in order, for more lines than colours can distinguish."""

_RC: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so all machines draw the same text
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
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "ps.fonttype": 42,  # matplotlib 3.11 uses it for the number of characters in a PDF font
    "axes.formatter.useoffset": False,  # "+1" in a corner is easily overlooked
}

_FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "PingFang SC",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)
"""Fonts for characters that DejaVu Sans lacks, used if installed; DejaVu is always first."""

_log = logging.getLogger("mnistlin.figures")

# No dates, so that the same run gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


_PAPER_RC: Any = {"font.size": 7.5, "lines.linewidth": 1.2}
_is_for_paper: ContextVar[bool] = ContextVar("is_for_paper", default=False)


@contextmanager
def drawn_for_paper() -> Iterator[None]:
    """In the block, draw for one column of a paper: PAPER_WIDTH wide, large type, panels alone."""
    token = _is_for_paper.set(True)
    try:
        yield
    finally:
        _is_for_paper.reset(token)


def is_for_paper() -> bool:
    """Return whether figures are drawn for a column of a paper."""
    return _is_for_paper.get()


def smallest_type() -> float:
    """Return the smallest font size, in points."""
    return SMALLEST_ON_PAPER if is_for_paper() else SMALLEST


@contextmanager
def figure_style() -> Iterator[None]:
    """In the block, draw in this style, whatever the user's matplotlibrc says; also a decorator.

    There are no warnings: an untrusted run may hold numbers that overflow, which no axis can show,
    and names in a script for which no font is installed, which `save` reports.
    """
    import matplotlib as mpl

    with mpl.rc_context(), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        mpl.rcdefaults()
        mpl.rcParams.update(_RC | _PAPER_RC if is_for_paper() else _RC)
        yield


@contextmanager
def page(words: tuple[str, str, str], note: str = "", height: float = HEIGHT) -> "Iterator[Figure]":
    """Yield a page to draw on in this style; its axes stay between the header and the footer.

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

    with figure_style():
        figure = Figure(figsize=(WIDTH, height), dpi=DPI)
        FigureCanvasAgg(figure)
        figure.set_label(words[0])
        if is_for_paper():
            body = height - HEADER - FOOTER - (NOTE if note else 0)
            figure.set_size_inches(PAPER_WIDTH, 0.6 * body)
            figure.set_dpi(2 * DPI)
            figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
            yield figure
            _set_type_for_paper(figure)
            figure.set_figheight(figure.get_figheight() + _height_of_legends(figure))
        else:
            _write_around(figure, words, note)
            yield figure


def _write_around(figure: "Figure", words: tuple[str, str, str], note: str) -> None:
    """Write the texts of a page above and below its axes, and keep the axes between them."""
    height, (title, settings, footer) = figure.get_figheight(), words
    _write_line(figure, title, height - 0.40, fontsize=14, fontweight="bold")
    _write_line(figure, settings, height - 0.65, fontsize=9.5, color=MUTED)
    _write_line(figure, footer, 0.16, fontsize=7.5, color=MUTED)
    _write_line(figure, note, FOOTER, fontsize=8.5, color=MUTED)
    left, bottom = MARGIN / WIDTH, (FOOTER + (NOTE if note else 0)) / height
    rect = (left, bottom, 1 - 2 * left, 1 - HEADER / height - bottom)
    figure.set_layout_engine("constrained", rect=rect)


def _set_type_for_paper(figure: "Figure") -> None:
    """Keep all font sizes between the smallest and the largest on paper."""
    from matplotlib.text import Text

    figure.draw_without_rendering()  # creates the tick labels
    texts: list[Any] = figure.findobj(Text)
    for text in texts:
        text.set_fontsize(np.clip(text.get_fontsize(), SMALLEST_ON_PAPER, LARGEST_ON_PAPER))


def _height_of_legends(figure: "Figure") -> float:
    """Return the height in inches of the legends below the panels."""
    of_panels = [legend for axes in figure.axes if (legend := axes.get_legend())]
    legends = [*figure.legends, *of_panels]
    return sum(legend.get_window_extent().height for legend in legends) / figure.dpi


def stacked(figure: "Figure", heights: Sequence[float]) -> "list[SubFigure]":
    """Divide a page into parts of these relative heights, the top one first."""
    parts: Any = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    return list(parts.ravel())


def side_by_side(figure: "Figure | SubFigure", *widths: float) -> "list[Axes]":
    """Divide a page into panels of these relative widths; on paper they are below each other."""
    if not is_for_paper():
        return list(figure.subplots(1, len(widths), width_ratios=widths))
    page: Any = figure.figure
    page.set_figheight(len(widths) * page.get_figheight())
    return list(figure.subplots(len(widths), 1))


def space(axes: "Axes") -> tuple[float, float]:
    """Return about how many inches a panel has, before the page is laid out: width and height."""
    figure: Any = axes.get_figure(root=False)
    place: Any = axes.get_subplotspec()
    grid = place.get_gridspec()
    widths, heights = grid.get_width_ratios(), grid.get_height_ratios()
    part = widths[place.colspan.start] / sum(widths), heights[place.rowspan.start] / sum(heights)
    page = figure.get_layout_engine().get()["rect"][2:]
    width, height = page * figure.bbox.size / figure.dpi
    if figure is not axes.get_figure(root=True):  # a part, which has a title
        height -= PART_TITLE
    return float(part[0] * width), float(part[1] * height)


def in_lines(words: str) -> str:
    """Return text wrapped to the width of a column of a paper."""
    if not is_for_paper():
        return words
    return "\n".join(fill(line, LETTERS_ON_PAPER) for line in words.split("\n"))


def name_axes(axes: "Axes", y_title: str, x_title: str = "") -> None:
    """Name the y axis above the upper left corner, where it is read first, and x below."""
    # With y given, matplotlib does not search for tick labels above the panel, which is slow.
    axes.set_title(in_lines(y_title), loc="left", y=1.0, fontsize="medium")
    axes.set_xlabel(in_lines(x_title))


def end_at_one(axes: "Axes", axis: str = "y") -> None:
    """Let an axis of fractions end just above 1, which none of them exceeds."""
    low, high = getattr(axes, f"get_{axis}lim")()
    getattr(axes, f"set_{axis}lim")(low, min(high, 1 + 0.01 * (1 - low)))


def legend_beside(axes: "Axes", **look: Any) -> None:
    """Put a legend of everything with a label to the right of a panel; on paper, below all panels.

    On paper, the first legend of a figure is its only one.
    """
    if not is_for_paper():
        _let_reach_down(
            axes,
            axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), labelspacing=0.8, **look),
        )
        return
    figure: Any = axes.get_figure(root=True)
    if figure.legends:
        return
    handles, labels = axes.get_legend_handles_labels()
    look.pop("ncols", None)
    look |= {"columnspacing": 1.2, "fontsize": SMALLEST_ON_PAPER}
    look = {"handles": handles, "labels": labels} | look
    for n_columns in (2, 1):
        legend = figure.legend(loc="outside lower left", ncols=n_columns, **look)
        if n_columns == 1 or legend.get_window_extent().width <= 0.97 * figure.bbox.width:
            return
        legend.remove()


def _let_reach_down(axes: "Axes", legend: Any) -> None:
    """Let a legend extend beside the panels below, which the layout would squeeze otherwise."""
    from matplotlib.transforms import Bbox

    place: Any = axes.get_subplotspec()
    if place is None or place.is_last_row():
        return
    whole = legend.get_tightbbox

    def without_height(renderer: Any = None) -> Bbox:
        box = whole(renderer)
        return Bbox.from_extents(box.x0, box.y1 - 1, box.x1, box.y1)

    legend.get_tightbbox = without_height


def legend_below(axes: "Axes") -> None:
    """Put a legend of everything with a label below a panel, where it covers no curve."""
    from matplotlib.transforms import ScaledTranslation

    figure: Any = axes.get_figure(root=True)
    below = ScaledTranslation(0, -LEGEND_BELOW / 72, figure.dpi_scale_trans)
    look: Any = {"bbox_to_anchor": (0, 0), "bbox_transform": axes.transAxes + below}
    handles, labels = axes.get_legend_handles_labels()
    n_letters = int(axes.get_window_extent().width / figure.dpi * LETTERS_PER_INCH)
    labels = [fill(label, max(12, n_letters), replace_whitespace=False) for label in labels]
    axes.legend(handles, labels, loc="upper left", fontsize=8.5, **look)


def _write_line(figure: "Figure", words: str, y: float, fontsize: float, **look: Any) -> None:
    """Write a line at the left margin, smaller than asked for if it would exceed the right one."""
    width, height = figure.get_size_inches()
    line = figure.text(MARGIN / width, y / height, words, fontsize=fontsize, **look)
    available = (width - 2 * MARGIN) * DPI
    while words and (taken := line.get_window_extent().width) > available:
        if fontsize > SMALLEST:  # small type is a little wider than in proportion to its size
            fontsize = max(SMALLEST, 0.99 * fontsize * available / taken)
            line.set_fontsize(fontsize)
        else:
            words = words[: int(len(words) * available / taken) - 2].rstrip("\\") + "…"
            line.set_text(words)


def say_instead(figure: "Figure", *lines: str) -> None:
    """Write in the middle of the page why nothing is drawn there; empty lines are left out."""
    words = "\n".join(filter(None, lines))
    figure.text(0.5, 0.5, words, ha="center", va="center", fontsize=12, color=MUTED)


def sequential_colors(n: int) -> list[tuple[float, float, float, float]]:
    """Return n colours, from dark to light, for values in increasing order."""
    import matplotlib as mpl

    viridis = mpl.colormaps["viridis"]
    return [viridis(0.88 * i / max(1, n - 1)) for i in range(n)]  # the end is too pale for lines


def is_dark(color: tuple[float, ...]) -> bool:
    """Return whether white text is more legible than black on a colour, given as RGB in [0, 1]."""
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in color[:3]
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return luminance < 0.179  # where both have the same contrast (WCAG 2)


def save(figure: "Figure", out_dir: Path, name: str, fmt: str = "png") -> Path:
    """Write a figure to <out_dir>/<name>.<fmt>, making the folder if needed.

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
        If there is no such format, or the file cannot be written.
    """
    if fmt not in FORMATS:
        raise RunError(f"cannot draw figures as {fmt!r}; it may be {', '.join(FORMATS)}")
    return write_into(out_dir, f"{name}.{fmt}", _rendered(figure, fmt))


def as_svg(figure: "Figure") -> str:
    """Return a figure as an <svg> element, for a page or a notebook."""
    text = _rendered(figure, "svg").decode()
    return text[text.index("<svg") :]


@figure_style()
def _rendered(figure: "Figure", fmt: str) -> bytes:
    from matplotlib.backend_bases import get_registered_canvas_class

    _find_fonts(figure)
    _fix_layout(figure)
    own_canvas, own_dpi = figure.canvas, figure.dpi
    canvas, buffer = get_registered_canvas_class(fmt)(figure), io.BytesIO()
    # savefig would draw everything twice.
    getattr(canvas, f"print_{fmt}")(buffer, metadata=_METADATA[fmt])
    figure.set_canvas(own_canvas)
    figure.dpi = own_dpi
    return buffer.getvalue()


def _find_fonts(figure: "Figure") -> None:
    """Use fallback fonts for characters that DejaVu Sans lacks; warn of those that no font has.

    Texts get only the fonts that they need, since matplotlib looks up each one repeatedly.
    """
    from matplotlib.font_manager import findfont, fontManager, get_font
    from matplotlib.text import Text

    texts: list[Any] = figure.findobj(Text)
    missing = {letter for text in texts for letter in text.get_text() if letter.isprintable()}
    installed = set(fontManager.get_font_names())
    families = [_RC["font.family"], *(name for name in _FALLBACK_FONTS if name in installed)]
    needed = []
    for family in families:
        font = get_font(findfont(family))
        found = {letter for letter in missing if font.get_char_index(ord(letter))}
        missing -= found
        if found:
            needed.append(family)
        if not missing:
            break
    if len(needed) > 1:
        for text in texts:
            text.set_family(needed)
    if missing:
        _log.warning(
            "warning: no installed font has the characters %s, which are drawn as boxes; "
            "install one that has them, such as Noto Sans CJK",
            "".join(sorted(missing)),
        )


def _fix_layout(figure: "Figure") -> None:
    """Run the layout now and round the positions, since the solver's last bits vary."""
    engine = figure.get_layout_engine()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if not axis.get_label_text():
            axis.set_label_coords(0, 0)  # anywhere; else matplotlib measures all tick labels
    if engine is not None and figure.axes:
        engine.execute(figure)
        if is_for_paper():  # where an axis may get other tick labels at its new size
            engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        _hide_overlapping_tick_labels(axes)
        _place_labels_apart(axes)
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6).tolist())


def _hide_overlapping_tick_labels(axes: "Axes") -> None:
    """Hide tick labels of x that would touch the previous one or the title; their ticks stay."""
    shown = [axes.xaxis.label.get_window_extent()] if axes.get_xlabel() else []
    for label in axes.get_xticklabels():
        if label.get_text() and not label.get_rotation():
            extent = label.get_window_extent()
            label.set_visible(not extent.padded(0.1 * extent.height).count_overlaps(shown))
            shown += [extent] * label.get_visible()


def _place_labels_apart(axes: "Axes") -> None:
    """Move labels of points apart, up or down; warn of those without space."""
    from matplotlib.text import Annotation, Text

    shown: list[Bbox] = []
    for label in axes.texts:
        if not (isinstance(label, Annotation) and label.get_text()):
            continue
        (x, y), is_of_point = label.xyann, label.anncoords == "offset points"
        for line in LABEL_LINES if is_of_point else LABEL_LINES[:1]:
            label.xyann = x, y + line * 1.3 * float(label.get_fontsize())
            extent = Text.get_window_extent(label)  # without its arrow
            is_inside = axes.bbox.y0 <= extent.y0 <= extent.y1 <= axes.bbox.y1 or not line
            if is_inside and not extent.padded(0.1 * extent.height).count_overlaps(shown):
                shown.append(extent)
                break
        else:
            label.set_visible(False)
            _log.warning("note: a figure has no space for the label %r", label.get_text())
