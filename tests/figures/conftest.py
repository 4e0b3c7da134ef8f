"""Real, tiny runs to draw, each trained once for all tests."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from mnistlin.config import ExperimentConfig
from mnistlin.experiment import run_experiment
from mnistlin.figures.style import drawn_for_paper, figure_style, save
from mnistlin.runs.folder import load_run
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS, csv_text

IMAGE_SHAPE = (4, 6)


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory, write_dataset):
    """Return a function that writes a folder of IDX files with images of some classes."""

    def make(n_classes, shape=IMAGE_SHAPE):
        rng = np.random.default_rng(n_classes)
        prototypes = rng.integers(0, 256, (n_classes, *shape))

        def part(n):
            labels = np.arange(n) % n_classes
            images = prototypes[labels] // 4 + rng.integers(0, 192, (n, *shape))
            return images, labels

        return write_dataset(tmp_path_factory.mktemp("dataset"), part(60), part(30))

    return make


@pytest.fixture(scope="session")
def make_run(tmp_path_factory, make_dataset):
    """Return a function that trains a tiny run; its keywords are those of TrainingConfig."""
    runs_dir = tmp_path_factory.mktemp("runs")
    datasets = {n_classes: make_dataset(n_classes) for n_classes in (2, 3)}

    def make(model="softmax", name="tiny", dataset=None, stopping=None, data=None, **training):
        n_classes = 2 if model == "logistic" else 3
        how = {"epochs": 12, "batch_size": 4, "learning_rate": 0.02, **training}
        config = ExperimentConfig.model_validate(
            {
                "name": name,
                "model": model,
                "data": {
                    "dataset": str(dataset or datasets[n_classes]),
                    "classes": (1, 0) if model == "logistic" else None,
                    **(data or {}),
                },
                "training": how,
                "early_stopping": stopping,
            }
        )
        return run_experiment(config, runs_dir)

    return make


@pytest.fixture(scope="session")
def softmax_run(make_run):
    """Return a finished run with 3 classes, 180 steps and 60 checks."""
    return make_run()


@pytest.fixture(scope="session")
def stopped_run(make_run):
    """Return a logistic run of 1 against 0 that early stopping ended."""
    run = make_run("logistic", epochs=200, learning_rate=0.5, stopping={"patience": 3})
    assert run.status == "early_stopped"
    return run


@pytest.fixture(scope="session")
def diverged_run(make_run):
    """Return a run that diverged before its first check."""
    run = make_run(learning_rate=1e9)
    assert run.status == "diverged"
    assert not len(run.metrics["step"])
    return run


@pytest.fixture
def with_info():
    """Return a function that gives a run other values in its run.json."""

    def change(run, **values):
        return replace(run, info=run.info.updated(**values))

    return change


@pytest.fixture(scope="session")
def words_of():
    """Return a function that returns all text of a figure outside its panels."""
    return lambda figure: [text.get_text() for text in figure.texts]


@pytest.fixture(scope="session")
def legend_of():
    """Return a function that gives the labels in a panel's legend, each on one line."""
    return lambda axes: [
        " ".join(text.get_text().split("\n")) for text in axes.get_legend().get_texts()
    ]


@pytest.fixture(scope="session")
def constant_run(make_run):
    """Return a run whose weights hardly move, with a long name."""
    return make_run(name=("a_very_long_name_without_any_space_" * 4)[:100], learning_rate=1e-12)


@pytest.fixture(scope="session")
def long_run(tmp_path_factory, softmax_run):
    """Return a run of 20,001 steps and checks, which are far apart: it ends at step 1,000,000."""
    folder = shutil.copytree(softmax_run.path, tmp_path_factory.mktemp("long") / "long")
    rng = np.random.default_rng(0)
    for name, columns in [("metrics.csv", METRICS_COLUMNS), ("steps.csv", STEPS_COLUMNS)]:
        steps = 50 * np.arange(20_001)
        table = {column: rng.random(len(steps)) for column in columns}
        counts = {"step": steps, "epoch": steps // 100}
        if name == "metrics.csv":
            counts["checks_without_improvement"] = np.zeros_like(steps)
        rows = zip(*(column.tolist() for column in (table | counts).values()), strict=True)
        (folder / name).write_text(csv_text([columns, *rows]))
    return load_run(folder)


@pytest.fixture
def assert_readable(monkeypatch, tmp_path):
    """Return a function that checks all texts of a figure as they are drawn."""
    drawn, draw = [], Text.draw

    def remember(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            drawn.append((text, Text.get_window_extent(text)))  # without an arrow
        draw(text, renderer, *args, **kwargs)

    def check(figure, smallest):
        with monkeypatch.context() as patched:
            patched.setattr(FigureCanvasAgg, "print_png", lambda *_, **__: None)
            save(figure, tmp_path, "figure")  # finds fonts and fixes the layout
        drawn.clear()
        with monkeypatch.context() as patched, figure_style():
            patched.setattr(Text, "draw", remember)
            figure.draw_without_rendering()  # pixels would take half of the time
        assert drawn
        for i, (text, extent) in enumerate(drawn):
            words, canvas = text.get_text(), figure.bbox.padded(2)
            assert text.get_fontsize() >= smallest, words
            assert canvas.x0 <= extent.x0 <= extent.x1 <= canvas.x1, words
            assert canvas.y0 <= extent.y0 <= extent.y1 <= canvas.y1, words
            for other, beside in drawn[:i]:
                if text.get_rotation() % 90 or other.get_rotation() % 90:
                    continue  # the box around slanted words is larger than they are
                assert not extent.padded(-2).overlaps(beside.padded(-2)), (words, other.get_text())

    return check


@pytest.fixture(params=["page", "paper"])
def smallest(request):
    """Return the smallest type of a style, which is in use during the test."""
    if request.param == "page":
        yield 6.0
        return
    with drawn_for_paper():
        yield 7.0
