"""Figures of a sweep: what is drawn of each λ, and where λ = 0 is."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnistlin.config import ExperimentConfig, SweepConfig
from mnistlin.errors import RunError
from mnistlin.figures.draw import draw_sweep
from mnistlin.figures.panel import label_ends
from mnistlin.figures.style import page, save
from mnistlin.figures.sweeps import (
    final_accuracy_figure,
    lambda_axis,
    lambda_weights_figure,
    over_seeds,
    root_scale,
    val_accuracy_figure,
    weight_norm_figure,
)
from mnistlin.sweep import run_sweep

L2_LAMBDAS = (1.0, 0.1, 0.0)
FIGURES = ["val-accuracy", "final-accuracy", "weight-norm", "weights"]
STOPPING = {"patience": 3, "min_delta": 0.01}


@pytest.fixture(scope="session")
def make_sweep(tmp_path_factory, make_dataset):
    """Return a function that runs a tiny sweep."""
    datasets = {n_classes: make_dataset(n_classes) for n_classes in (2, 3)}

    def make(l2_lambdas=L2_LAMBDAS, seeds=(0, 1), model="softmax", stopping=None):
        config = ExperimentConfig.model_validate(
            {
                "model": model,
                "data": {
                    "dataset": str(datasets[2 if model == "logistic" else 3]),
                    "classes": (1, 0) if model == "logistic" else None,
                },
                "training": {"epochs": 12, "batch_size": 4, "learning_rate": 0.02},
                "early_stopping": stopping,
                "sweep": SweepConfig(l2_lambdas=l2_lambdas, seeds=seeds),
            }
        )
        return run_sweep(config, tmp_path_factory.mktemp("sweeps"))

    return make


@pytest.fixture(scope="session")
def sweep(make_sweep):
    """Return a sweep of three λ and two seeds."""
    return make_sweep()


def lines_of(axes):
    """Return the named curves of a panel by their labels' first lines."""
    return {
        line.get_label().split("\n")[0]: line
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def lambda_panel(l2_lambdas):
    """Return an axis of these λ."""
    axes = Figure().subplots()
    lambda_axis(axes, l2_lambdas)
    return axes


def places(axes, values):
    """Return the positions of values of λ, as fractions of the axis."""
    points = axes.transData.transform([(value, 0) for value in values])
    return axes.transAxes.inverted().transform(points)[:, 0]


class TestAxis:
    """The axis of λ."""

    def test_lambda_0_stands_left_of_a_logarithmic_scale(self):
        """Equal ratios are equally far apart."""
        l2_lambdas = [0.0, 1e-3, 1e-1, 1e1, 1e3]
        zero, *others = places(lambda_panel(l2_lambdas), l2_lambdas)
        assert 0 < zero < others[0]
        np.testing.assert_allclose(np.diff(others), np.diff(others)[0])

    def test_the_break_is_marked_between_0_and_the_smallest_other_lambda(self):
        axes = lambda_panel([0.0, 0.01, 1.0])
        marks = {float(line.get_xdata()[0]) for line in axes.lines}
        assert len(marks) == 1
        assert 0 < marks.pop() < 0.01
        assert not lambda_panel([0.01, 1.0]).lines

    @pytest.mark.parametrize("l2_lambdas", [[0.0], [0.5], [0.0, 0.5]])
    def test_one_or_two_values_are_enough(self, l2_lambdas):
        """They are apart, within the limits."""
        x = places(lambda_panel(l2_lambdas), l2_lambdas)
        assert (x > 0.01).all()
        assert (x < 0.99).all()
        assert (np.diff(x) > 0.05).all()

    def test_a_few_lambdas_are_written_below(self):
        """Each at its position."""
        l2_lambdas = [0.0, 0.003, 0.1, 1.0]
        axes = lambda_panel(l2_lambdas)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.003", "0.1", "1"]
        assert axes.get_xticks().tolist() == l2_lambdas

    def test_of_many_lambdas_powers_of_ten_are_written(self):
        """And 0, if it is among them."""
        axes = lambda_panel([0.0, *np.geomspace(1e-4, 1, 12)])
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["0", "0.0001", "0.001", "0.01", "0.1", "1"]

    def test_many_lambdas_within_a_power_of_ten_have_their_ends_written(self):
        """No power of ten is between them."""
        axes = lambda_panel(list(np.geomspace(0.2, 0.8, 12)))
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0.2", "0.8"]


class TestCurves:
    """Validation accuracy over steps."""

    def test_there_is_a_curve_for_each_lambda_from_the_smallest_on(self, sweep):
        """It is the mean over the seeds, in colours that grow lighter with λ."""
        (axes, *_) = val_accuracy_figure(sweep).axes
        lines = lines_of(axes)
        assert list(lines) == ["λ = 0", "λ = 0.1", "λ = 1"]
        for l2_lambda, line in zip((0.0, 0.1, 1.0), lines.values(), strict=True):
            runs = sweep.by_lambda[l2_lambda].values()
            mean = np.mean([run.metrics["val_accuracy"] for run in runs], axis=0)
            np.testing.assert_allclose(line.get_ydata(), mean)
        lightness = [sum(line.get_color()[:3]) for line in lines.values()]
        assert lightness == sorted(lightness)

    def test_the_band_is_one_standard_deviation_over_the_seeds(self, sweep):
        """Of a sample, on both sides."""
        steps, mean, sd = over_seeds(list(sweep.by_lambda[0.1].values()), "val_accuracy")
        a, b = (run.metrics["val_accuracy"] for run in sweep.by_lambda[0.1].values())
        np.testing.assert_allclose(sd, np.abs(a - b) / np.sqrt(2))
        (axes, *_) = val_accuracy_figure(sweep).axes
        outline = axes.collections[1].get_paths()[0].vertices
        for step, low, high in zip(steps, mean - sd, mean + sd, strict=True):
            at_step = outline[outline[:, 0] == step][:, 1]
            assert at_step.min() == pytest.approx(low)
            assert at_step.max() == pytest.approx(high)

    def test_one_seed_has_no_band(self, make_sweep):
        """There is no spread to show."""
        (axes, *_) = val_accuracy_figure(make_sweep(seeds=(3,))).axes
        assert not axes.collections

    def test_the_mean_ends_where_the_first_seed_stops(self, make_sweep):
        """After that it would be one of fewer seeds."""
        sweep = make_sweep(seeds=(0, 1, 2, 3), stopping=STOPPING)
        runs = list(sweep.by_lambda[0.0].values())
        ends = {run.metrics["step"][-1] for run in runs}
        assert len(ends) > 1
        steps, _, _ = over_seeds(runs, "val_accuracy")
        assert steps[-1] == min(ends)

    def test_many_lambdas_are_named_at_the_ends_of_their_curves(self, make_sweep):
        """In a legend they could hardly be distinguished."""
        sweep = make_sweep([0.0, *np.geomspace(1e-4, 1, 8).tolist()], seeds=(0,))
        (axes, *_) = val_accuracy_figure(sweep).axes
        labels = [text.get_text() for text in axes.texts if text.get_text().startswith("λ")]
        assert labels[:2] == ["λ = 0", "λ = 0.0001"]
        assert len(labels) == 9
        assert axes.get_legend() is None

    def test_ends_below_the_panel_are_named_within_the_figure(self, assert_readable, smallest):
        """The one furthest below has the lowest label."""
        curves = [(np.arange(10), np.full(10, level)) for level in (-90.0, 0.9, 0.91, 0.92, -9.0)]
        with page(("Title", "settings", "run")) as figure:
            axes = figure.subplots()
            for steps, values in curves:
                axes.plot(steps, values)
            axes.set_ylim(0.89, 0.93)
            label_ends(axes, curves, [*"abcde"])
        assert_readable(figure, smallest)
        heights = {text.get_text(): text.xyann[1] for text in axes.texts}
        assert sorted(heights, key=heights.__getitem__) == ["a, below", "e, below", "b", "c", "d"]


class TestPoints:
    """Numbers at the end, against λ."""

    def test_both_accuracies_are_shown_with_their_means(self, sweep, legend_of):
        """A point a λ for each set."""
        (axes,) = final_accuracy_figure(sweep).axes
        assert legend_of(axes) == ["training set", "validation set"]
        for container, column in zip(
            axes.containers, ("train_accuracy", "val_accuracy"), strict=True
        ):
            expected = [
                np.mean([run.metrics[column][-1] for run in sweep.by_lambda[l2_lambda].values()])
                for l2_lambda in (0.0, 0.1, 1.0)
            ]
            np.testing.assert_allclose(container.lines[0].get_ydata(), expected)

    @pytest.mark.parametrize(("n_panels", "max_ticks"), [(1, 6), (2, 6), (3, 2)])
    def test_the_labels_of_lambdas_do_not_overlap(self, n_panels, max_ticks):
        """With a λ at each power of ten from 1e-5 on, in wide panels and narrow ones."""
        with page(("", "", "")) as figure:
            for axes in np.atleast_1d(figure.subplots(1, n_panels)):
                lambda_axis(axes, [0, 1e-5, 1e-4, 1e-3, 1e-2], max_ticks)
        figure.canvas.draw()
        for axes in figure.axes:
            boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
            assert all(a.x1 < b.x0 for a, b in pairwise(boxes))

    def test_weight_norms_are_shown_from_0_on(self, sweep):
        """Each with its number beside it, and their squares, which the course's solution plots."""
        for power, axes in zip((1, 2), weight_norm_figure(sweep).axes, strict=True):
            assert axes.get_ylim()[0] == 0
            norms = axes.containers[0].lines[0].get_ydata()
            assert [text.get_text() for text in axes.texts] == [f"{norm:#.3g}" for norm in norms]
            runs = sweep.by_lambda[1.0].values()
            expected = np.mean([run.metrics["weight_norm"][-1] ** power for run in runs])
            assert norms[-1] == pytest.approx(expected)
            assert list(norms) == sorted(norms, reverse=True)

    @pytest.mark.parametrize("l2_lambdas", [(0.0,), (0.5, 0.1)])
    def test_any_lambdas_will_do(self, l2_lambdas, make_sweep, tmp_path):
        """λ = 0 alone, and λ without 0; one other than 0 is in test_hostile_questions."""
        assert len(draw_sweep(make_sweep(l2_lambdas, seeds=(0,)), tmp_path)) == len(FIGURES)


def images_of(figure):
    """Return the tiles of a figure."""
    return [image for axes in figure.axes for image in axes.images]


class TestWeights:
    """Weights as images."""

    def test_a_row_is_a_lambda_and_a_tile_an_output(self, sweep):
        """Of the first seed; the smallest λ is on top, the first class at the left."""
        tiles = images_of(lambda_weights_figure(sweep))
        tiles.sort(key=lambda image: (image.get_extent()[3], image.get_extent()[0]))
        shown = iter(tiles)
        for l2_lambda in (0.0, 0.1, 1.0):
            weights = sweep.members[l2_lambda, 0].weights["last"][:-1]
            for column in weights.T:
                np.testing.assert_array_equal(next(shown).get_array().ravel(), column)
        assert next(shown, None) is None

    def test_rows_and_columns_are_named(self, sweep):
        """By λ with the norm of its weights, and by class."""
        axes = images_of(lambda_weights_figure(sweep))[0].axes
        rows = [label.get_text().split("\n") for label in axes.get_yticklabels()]
        assert [name for name, _ in rows] == ["λ = 0", "λ = 0.1", "λ = 1"]
        run = sweep.members[1.0, 0]
        assert rows[-1][1] == f"‖W‖ = {run.metrics['weight_norm'][-1]:#.3g}"
        columns = [label.get_text() for label in axes.get_xticklabels()]
        assert columns == [str(label) for label in run.classes]

    def test_all_tiles_share_one_scale(self, sweep):
        """Its ends are the largest weight of all λ."""
        (scale,) = {image.norm for image in images_of(lambda_weights_figure(sweep))}
        shown = [sweep.members[l2_lambda, 0].weights["last"][:-1] for l2_lambda in L2_LAMBDAS]
        assert -scale.vmin == scale.vmax == pytest.approx(np.abs(shown).max())

    def test_colours_follow_the_square_root(self):
        """A quarter of the largest weight has half of its colour; 0 is in the middle."""
        scale = root_scale(np.array([-0.8, 0.1]))
        np.testing.assert_allclose(
            scale(np.array([-0.8, -0.2, 0, 0.2, 0.8])), [0, 0.25, 0.5, 0.75, 1]
        )

    @pytest.mark.parametrize("n_lambdas", [1, 2, 9])
    def test_logistic_has_a_tile_for_each_lambda(self, n_lambdas, make_sweep):
        """With its name above, and all on the page."""
        l2_lambdas = [0.0, *np.geomspace(1e-3, 1, 8).tolist()][:n_lambdas]
        figure = lambda_weights_figure(make_sweep(l2_lambdas, seeds=(0,), model="logistic"))
        tiles = images_of(figure)
        assert len(tiles) == n_lambdas
        names = [text.get_text().split("\n")[0] for text in tiles[0].axes.texts]
        assert names == [f"λ = {value:.3g}" for value in sorted(l2_lambdas)]
        figure.canvas.draw()
        for shown in (*tiles, *tiles[0].axes.texts):
            box = shown.get_window_extent()
            assert 0 < box.x0 < box.x1 < figure.bbox.x1
            assert 0 < box.y0 < box.y1 < figure.bbox.y1


def test_of_very_many_lambdas_some_are_shown_from_the_first_to_the_last(make_sweep, words_of):
    """As curves and as images, which the pages say; the other figures show all."""
    l2_lambdas = [0.0, *np.geomspace(1e-3, 1, 29).tolist()]
    sweep = make_sweep(l2_lambdas, seeds=(0,), model="logistic")
    curves, images = val_accuracy_figure(sweep), lambda_weights_figure(sweep)
    for figure in (curves, images):
        assert any("12 of 30 λ are shown." in line for line in words_of(figure))
    (axes,) = curves.axes
    labels = [line.get_label() for line in axes.lines if "λ" in str(line.get_label())]
    assert len(labels) == len(images_of(images)) == 12
    assert (labels[0], labels[-1]) == ("λ = 0", "λ = 1")
    words = [text.get_text() for text in images_of(images)[0].axes.texts]
    assert words[0].startswith("λ = 0\n")
    assert words[-1].startswith("λ = 1\n")
    assert len(final_accuracy_figure(sweep).axes[0].containers[0].lines[0].get_xdata()) == 30


class TestFiles:
    """All figures of a sweep."""

    def test_the_same_sweep_gives_the_same_bytes(self, sweep, tmp_path):
        """Four files, named by what they show."""
        files = draw_sweep(sweep, tmp_path, "svg")
        assert files == [tmp_path / f"{name}.svg" for name in FIGURES]
        again = save(weight_norm_figure(sweep), tmp_path / "again", "weight-norm", "svg")
        assert again.read_bytes() == (tmp_path / again.name).read_bytes()

    def test_a_lambda_that_diverged_is_left_out(self, make_sweep):
        """Its numbers mean nothing."""
        (axes, *_) = val_accuracy_figure(make_sweep((1e9, 0.0))).axes
        assert list(lines_of(axes)) == ["λ = 0"]

    def test_a_sweep_without_a_sound_run_is_refused(self, make_sweep, tmp_path):
        """The message names it."""
        sweep = make_sweep((1e9,))
        with pytest.raises(RunError, match=sweep.path.name):
            draw_sweep(sweep, tmp_path)

    def test_damaged_weights_do_not_stop_the_other_figures(self, make_sweep, tmp_path):
        """The error says which file is damaged."""
        sweep = make_sweep(seeds=(5,))
        (sweep.members[0.1, 5].path / "weights.npz").write_bytes(b"nonsense")
        with pytest.raises(RunError, match=r"1 of 4 figures.*weights\.npz"):
            draw_sweep(sweep, tmp_path)
        assert len(list(tmp_path.iterdir())) == 3

    def test_the_footer_names_the_sweep_and_the_warnings(self, sweep, words_of):
        """Not one of its members; the settings say how many seeds there are."""
        words = words_of(val_accuracy_figure(sweep))
        assert any(
            sweep.path.name in line and "model selection used the test set" in line
            for line in words
        )
        assert any("mean ± sd of 2 seeds" in line for line in words)
