"""The figures of sweeps over any keys, for few and many values, seeds and members."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mnistlin.config import load_config
from mnistlin.figures.grids import Grid, grid_figure
from mnistlin.runs.sweep_folder import keys_of
from mnistlin.sweep import run_sweep

RATE, LAMBDA, SIZE = "training.learning_rate", "training.l2_lambda", "data.train_size"
NUMBERS = [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5]


@pytest.fixture(scope="session")
def sweep_over(tmp_path_factory, make_config):
    """Return a function that returns the folder of a sweep, of which one member is trained."""
    whole = tmp_path_factory.mktemp("grids")
    trained = run_sweep(
        load_config(make_config(epochs=1), {"sweep": {"over": {LAMBDA: [0.001]}}}), whole
    )

    def make(over, n_seeds):
        config = load_config(
            trained.config, {"sweep": {"over": over, "seeds": list(range(n_seeds))}}
        )
        sweep = replace(trained, config=config, settings=config.sweep)
        (run,) = trained.members.values()
        vars(sweep)["members"] = {keys_of(config.sweep)[0]: run}  # for the words of the page
        return sweep

    return make


def drawn(sweep, without=(), similar=0, excluded=None, what="validation accuracy"):
    """Draw made-up scores of a sweep; `without` are the positions of settings without one."""
    rng = np.random.default_rng(0)
    keys = list(product(*sweep.settings.swept.values()))
    means = {key: 0.9 + 0.05 * rng.random() for i, key in enumerate(keys) if i not in without}
    best = max(means, key=means.get)
    several = len(sweep.settings.seeds) > 1
    return grid_figure(
        sweep,
        Grid(
            what=what,
            means=means,
            sds=dict.fromkeys(means, 0.002) if several else {},
            train={key: mean + 0.01 for key, mean in means.items()} if len(keys[0]) == 1 else {},
            best=best,
            similar=[key for key in means if key != best][:similar],
            excluded=excluded or {},
        ),
    )


def texts_outside(figure):
    """Return the visible texts that leave the page."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    texts = [t for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text().strip()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts if t.get_visible()]
    return [
        text
        for text, box in boxes
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]


@pytest.mark.parametrize(("n_values", "n_seeds"), [(1, 5), (2, 1), (12, 5)])
@pytest.mark.parametrize("n_keys", [1, 2, 3])
def test_any_number_of_keys_and_values_fits_on_the_page(n_keys, n_values, n_seeds, sweep_over):
    keys = {RATE: NUMBERS[:n_values], LAMBDA: NUMBERS[:n_values], "training.batch_size": [4, 8]}
    over = dict(list(keys.items())[:n_keys])
    figure = drawn(sweep_over(over, n_seeds), similar=2 if n_seeds > 1 else 0)
    assert texts_outside(figure) == []


def test_long_values_are_shortened(sweep_over):
    classes = [[0, 1], list(range(9)), [0, 1, 2]]
    over = {"data.classes": classes, RATE: NUMBERS[:3]}
    figure = drawn(sweep_over(over, 5), similar=1)
    assert texts_outside(figure) == []
    labels = [t.get_text() for axes in figure.axes for t in axes.get_xticklabels()]
    labels += [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert any("…" in label for label in labels)


@pytest.mark.parametrize("over", [{RATE: NUMBERS[:4]}, {RATE: NUMBERS[:4], LAMBDA: [0.0, 0.1]}])
def test_a_diverged_setting_is_shown_as_such(over, sweep_over):
    sweep = sweep_over(over, 5)
    key = next(iter(product(*sweep.settings.swept.values())))
    figure = drawn(sweep, without=[0], excluded={key: "diverged"})
    words = " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))
    assert "diverged" in words
    assert texts_outside(figure) == []


def test_a_learning_curve_has_the_best_value_for_each_size(sweep_over):
    """The largest of all curves, or the smallest if the score is a loss."""
    sweep = sweep_over({SIZE: [20, 40, 60], LAMBDA: [0.0, 0.1]}, 5)
    for what, best_of in (("validation accuracy", max), ("validation loss", min)):
        (axes,) = drawn(sweep, what=what).axes
        curves = [np.array(each.lines[0].get_ydata()) for each in axes.containers]
        (dashed,) = [line for line in axes.lines if line.get_linestyle() == "--"]
        expected = [best_of(values) for values in zip(*curves, strict=True)]
        np.testing.assert_allclose(dashed.get_ydata(), expected)


@pytest.mark.parametrize(("n_rates", "shows_spread"), [(3, True), (12, False)])
def test_a_spread_is_announced_only_where_it_is_shown(n_rates, shows_spread, sweep_over):
    """Many cells have no space for it."""
    figure = drawn(sweep_over({RATE: NUMBERS[:n_rates], LAMBDA: [0.0, 0.1]}, 3))
    on_page = [text.get_text() for text in figure.texts]
    in_cells = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any("mean of 3 seeds" in words for words in on_page) != shows_spread
    assert any("mean ± sd of 3 seeds" in words for words in on_page) == shows_spread
    assert any("±" in words for words in in_cells) == shows_spread
