"""The look that all figures share."""

import matplotlib as mpl
import pytest
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from mnistlin.errors import RunError
from mnistlin.figures.style import (
    DPI,
    MARGIN,
    OKABE_ITO,
    WIDTH,
    drawn_for_paper,
    figure_style,
    is_dark,
    name_axes,
    page,
    save,
    sequential_colors,
)


def empty():
    """Return a page without words."""
    with page(("", "", "")) as figure:
        return figure


def test_the_users_settings_neither_change_a_figure_nor_are_changed():
    """Whatever a matplotlibrc says."""
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 40}):
        with figure_style():
            assert mpl.rcParams["axes.facecolor"] == mpl.rcParamsDefault["axes.facecolor"]
            assert mpl.rcParams["font.size"] < 12
        assert mpl.rcParams["axes.facecolor"] == "black"
        assert mpl.rcParams["font.size"] == 40


def test_a_long_line_is_set_smaller():
    """Nothing runs over the edge of the page."""
    with page(("short", "a long line of settings, " * 12, "")) as figure:
        pass
    short, long, *_ = figure.texts
    right_edge = (WIDTH - MARGIN) * DPI
    assert long.get_window_extent().x1 <= right_edge
    assert short.get_fontsize() == 14


def test_axes_stay_between_the_settings_and_the_note():
    """With their titles and labels, whatever the height of the page."""
    for height in (4.0, 9.0):
        with page(("title", "settings", "footer"), "note", height) as figure:
            axes = figure.subplots()
            name_axes(axes, "accuracy", "step")
            figure.canvas.draw()
        _, settings, _, note = (text.get_window_extent() for text in figure.texts)
        panel = axes.get_tightbbox()
        assert note.y1 < panel.y0 < panel.y1 < settings.y0


@pytest.mark.parametrize("n", [1, 2, 9])
def test_sequential_colours_go_from_dark_to_light(n):
    """Lightness alone shows their order, in print and to the colour-blind."""
    lightness = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in sequential_colors(n)]
    assert len(set(lightness)) == n
    assert lightness == sorted(lightness)


def test_colours_of_things_without_order_are_distinct():
    """All seven."""
    assert len(set(OKABE_ITO)) == len(OKABE_ITO)


@pytest.mark.parametrize(("color", "expected"), [((0, 0, 0.4), True), ((1, 1, 0.6), False)])
def test_dark_and_light_are_told_apart(color, expected):
    """Navy wants white text, pale yellow black."""
    assert is_dark(color) is expected


def test_an_unknown_format_is_refused(tmp_path):
    """The message names those that there are."""
    with pytest.raises(RunError, match="'gif'; it may be png, svg, pdf"):
        save(empty(), tmp_path, "loss", "gif")


def test_a_folder_that_cannot_be_made_is_a_run_error(tmp_path):
    """A file is in its place."""
    (tmp_path / "plots").write_text("")
    with pytest.raises(RunError, match="plots"):
        save(empty(), tmp_path / "plots", "loss")


def test_characters_that_no_font_has_are_reported_where_the_figure_is_written(tmp_path, caplog):
    """They are drawn as boxes; the message names them, and what to install."""
    with page(("softmax", "", "")) as figure:
        figure.text(0.5, 0.5, "\U00012000")
    assert save(figure, tmp_path, "loss").stat().st_size
    assert "the characters \U00012000" in caplog.text


def test_characters_that_the_font_has_cause_no_warning(tmp_path, caplog):
    """The names of λ and of the norm are in the font that comes with matplotlib."""
    with page(("‖W‖ at λ = 0.1", "", "")) as figure:
        pass
    save(figure, tmp_path, "loss")
    assert not caplog.text


def test_a_japanese_name_is_set_in_a_font_that_has_it_or_is_reported(tmp_path, caplog):
    """Which of the two depends on the machine."""
    with page(("日本", "", "")) as figure:
        pass
    save(figure, tmp_path, "loss")
    has_font = "Noto Sans CJK JP" in fontManager.get_font_names()
    assert not (has_font and caplog.text)


def test_a_figure_for_a_paper_has_neither_title_nor_footer_and_large_type():
    """It is as wide as one of two columns; the caption is the author's."""
    with drawn_for_paper(), page(("title", "settings", "footer"), "note") as figure:
        axes = figure.subplots()
        axes.set_title("cross entropy", fontsize=5)
    assert figure.get_figwidth() == 3.4
    assert not figure.texts
    assert all(7 <= text.get_fontsize() <= 8 for text in figure.findobj(Text))
