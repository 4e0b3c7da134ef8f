"""From run folders to files."""

import subprocess
import sys
import weakref

import pytest

from mnistlin.errors import RunError
from mnistlin.figures.draw import RUN_FIGURES, draw_all, draw_overlay, draw_run
from mnistlin.figures.style import FORMATS, save
from mnistlin.runs.folder import load_run

DATE_MARKS = (b"<dc:date>", b"/CreationDate", b"/ModDate")


@pytest.fixture(scope="module", params=FORMATS)
def drawn(request, softmax_run, tmp_path_factory):
    """Draw a run in each format; return the format and the files."""
    folder = tmp_path_factory.mktemp("drawn") / "plots"
    return request.param, draw_run(softmax_run, folder, request.param)


def test_a_run_has_its_figures(drawn):
    """The folder is made, the files are named by what they show, and nothing else is written."""
    fmt, paths = drawn
    assert [path.name for path in paths] == [f"{name}.{fmt}" for name in RUN_FIGURES]
    assert sorted(paths) == sorted(paths[0].parent.iterdir())


def test_the_same_run_gives_the_same_bytes(drawn, softmax_run, tmp_path):
    """No dates and no random ids: figures are a function of the run folder."""
    fmt, paths = drawn
    figure = RUN_FIGURES["weights"](load_run(softmax_run.path))
    again = save(figure, tmp_path, "weights", fmt)
    assert again.read_bytes() == (paths[0].parent / again.name).read_bytes()


def test_files_hold_no_date(drawn):
    """Two figures drawn within a second would have the same."""
    _, paths = drawn
    assert not any(mark in path.read_bytes() for path in paths for mark in DATE_MARKS)


@pytest.mark.parametrize("drawn", ["pdf"], indirect=True)
def test_a_font_is_embedded_once(drawn):
    """In a PDF: regular type, its ligatures, and bold type; each takes a tenth of a second."""
    _, paths = drawn
    assert all(path.read_bytes().count(b"/FontFile2") <= 3 for path in paths)


def test_a_run_without_a_check_has_all_figures(diverged_run, tmp_path):
    assert len(draw_run(diverged_run, tmp_path)) == len(RUN_FIGURES)


def test_an_overlay_has_two_figures(softmax_run, stopped_run, tmp_path):
    """Weights and confusion are of one run only."""
    paths = draw_overlay([softmax_run, stopped_run], tmp_path)
    assert paths == [tmp_path / "loss.png", tmp_path / "accuracy.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_a_figure_is_freed_before_the_next_one_is_drawn(softmax_run, tmp_path):
    """Those of a long run take 50 MB each."""
    drawn = []

    def draw():
        assert not any(figure() for figure in drawn)
        figure = RUN_FIGURES["accuracy"](softmax_run)
        drawn.append(weakref.ref(figure))
        return figure

    assert len(draw_all({"a": draw, "b": draw}, tmp_path, "png")) == len(drawn) == 2


def test_no_runs_cannot_be_overlaid(tmp_path):
    """The message says what to do."""
    with pytest.raises(RunError, match="name at least one run folder"):
        draw_overlay([], tmp_path)


def test_a_figure_that_fails_does_not_stop_the_others(make_run, tmp_path):
    """What can be drawn is drawn; the error says what could not, and why."""
    run = make_run(epochs=1)
    (run.path / "weights.npz").write_bytes(b"damaged")
    with pytest.raises(
        RunError, match=rf"1 of {len(RUN_FIGURES)} figures could not be drawn: .*weights\.npz"
    ):
        draw_run(load_run(run.path), tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(
        set(RUN_FIGURES) - {"weights"}
    )


def test_one_cause_is_told_once(softmax_run, tmp_path):
    """Figures that fail alike need one explanation."""
    with pytest.raises(RunError) as raised:
        draw_run(softmax_run, tmp_path, "gif")
    assert str(raised.value).count("gif") == 1


def test_matplotlib_is_not_imported_before_something_is_drawn():
    """Neither is pyplot ever, with its state and its windows."""
    program = (
        "import sys, mnistlin, mnistlin.cli; mnistlin.run_experiment;"
        "assert 'matplotlib' not in sys.modules;"
        "import mnistlin.figures;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
