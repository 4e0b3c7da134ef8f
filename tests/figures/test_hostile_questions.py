"""The figures of all questions stay readable with long names, few and many curves, no change."""

import numpy as np
import pytest
from PIL import Image

from mnistlin.analysis.batch_noise import BatchNoise, batch_classes
from mnistlin.analysis.choice import explain_choice
from mnistlin.analysis.compare import compare
from mnistlin.analysis.dips import explain_dips
from mnistlin.analysis.early_stopping import explain_early_stopping
from mnistlin.analysis.evaluate import evaluate
from mnistlin.analysis.l2_benefit import l2_benefit
from mnistlin.analysis.lambda_path import explain_lambda
from mnistlin.analysis.norm_law import norm_law
from mnistlin.analysis.optimum import find_optimum
from mnistlin.analysis.over_fitting import find_over_fitting
from mnistlin.analysis.predict import predict
from mnistlin.analysis.seeds import explain_seeds
from mnistlin.analysis.stability import explain_stability
from mnistlin.analysis.weight_shape import weight_shape
from mnistlin.config import ExperimentConfig, SweepConfig
from mnistlin.figures.draw import SWEEP_FIGURES
from mnistlin.sweep import run_sweep

NAMES = ["Stiefelette mit Absatz", "手袋 und noch mehr Wörter", "T-shirt/top"]


@pytest.fixture(scope="session")
def named_run(make_run, make_dataset):
    """Return a run on classes with long names, which has a long name itself."""
    folder = make_dataset(3)
    (folder / "classes.txt").write_text("\n".join(NAMES), encoding="utf-8")
    return make_run(
        "softmax", "a_very_long_name_without_any_space_" * 2, folder, shuffle=False, epochs=60
    )


def predicted(run, folder):
    """Return the prediction of two images, one with a long name."""
    rng, files = np.random.default_rng(0), [folder / "a.png", folder / f"{'long_name_' * 9}.png"]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (30, 30), np.uint8)).save(file)
    return predict(run, files)


OF_RUN = {
    "evaluate": lambda run: evaluate(run, dataset=run.config.data.dataset),
    "optimum": find_optimum,
    "stability": explain_stability,
    "over_fitting": find_over_fitting,
    "batch_classes": batch_classes,
    "l2_benefit": lambda run: l2_benefit(run, [1, 0.1, 0.001]),
    "early_stopping_of_one": lambda run: explain_early_stopping(run, [3]),
    "early_stopping": lambda run: explain_early_stopping(
        run, range(1, 9), np.linspace(0, 0.01, 12)
    ),
    "compare": lambda run: compare([run, run]),
}
OF_NAMED_RUN = {
    "compare_twelve": lambda run: compare([run] * 12),
    "dips": explain_dips,
    "batch_noise": lambda run: BatchNoise(((run,), (run,)), np.array([[0.1], [0.0]])),
}


@pytest.fixture(scope="session")
def ask():
    """Return a function that answers a question, once for all styles."""
    answers = {}

    def answer(question, about):
        key = question, id(about)
        if key not in answers:
            answers[key] = question(about)
        return answers[key]

    return answer


@pytest.mark.parametrize("question", OF_RUN | OF_NAMED_RUN)
def test_the_figures_about_long_names_are_readable(
    question, named_run, smallest, ask, assert_readable
):
    """Of one run and of several, of its own images and others, with hundreds of checks."""
    for figure in ask((OF_RUN | OF_NAMED_RUN)[question], named_run).figures().values():
        assert_readable(figure, smallest)


def test_a_log_scale_of_less_than_a_decade_has_numbers(named_run):
    """Such as the noise of batches of 16 to 256 images."""
    figure = BatchNoise(((named_run,), (named_run,)), np.array([[0.0052], [0.0018]])).figure()
    figure.draw_without_rendering()
    low, high = figure.axes[1].get_ylim()
    shown = [tick.get_text() for tick in figure.axes[1].get_yticklabels()]
    assert sum(low <= float(text) <= high for text in shown if text) >= 2


@pytest.mark.parametrize("smallest", ["page"], indirect=True)
@pytest.mark.parametrize("question", OF_RUN)
def test_the_figures_about_values_that_do_not_change_are_readable(
    question, constant_run, smallest, assert_readable
):
    for figure in OF_RUN[question](constant_run).figures().values():
        assert_readable(figure, smallest)


def test_the_figure_of_predictions_is_readable(named_run, smallest, assert_readable, tmp_path):
    """One row of panels for each image; on paper, two."""
    for figure in predicted(named_run, tmp_path).figures().values():
        assert_readable(figure, smallest)


@pytest.fixture(scope="session")
def make_sweep(tmp_path_factory, named_run):
    """Return a function that trains a sweep of the run with long names over some values."""

    def make(seeds=(0,), **over):
        config = named_run.config.model_dump(mode="json")
        config["training"] |= {"shuffle": True, "epochs": 2}
        over = {f"training.{key}": list(values) for key, values in over.items()}
        sweep = SweepConfig.model_validate({"over": over, "seeds": list(seeds)})
        config = ExperimentConfig.model_validate(config).model_copy(update={"sweep": sweep})
        return run_sweep(config, tmp_path_factory.mktemp("sweeps"))

    return make


@pytest.fixture(scope="session")
def sweeps(make_sweep):
    """Return sweeps over one and twelve λ, over two to four keys, and over seeds alone."""
    return {
        "one": make_sweep(l2_lambda=[0.1]),
        "twelve": make_sweep(l2_lambda=[*np.geomspace(1e-6, 1, 11), 0]),
        "three_keys": make_sweep(
            l2_lambda=[1, 0.1, 0.01, 0], learning_rate=[0.1, 0.01], batch_size=[4, 8]
        ),
        "four_keys": make_sweep(
            l2_lambda=[0.1, 0],
            learning_rate=[0.1, 0.01, 0.001],
            batch_size=[4, 8],
            epochs=[1, 2],
        ),
        "two_keys": make_sweep(l2_lambda=[1, 0.1, 0], learning_rate=[0.1, 0.01, 0.001]),
        "seeds": make_sweep(seeds=range(5)),
    }


@pytest.mark.parametrize("name", SWEEP_FIGURES)
@pytest.mark.parametrize(
    ("n", "smallest"),
    [("one", "paper"), ("twelve", "page"), ("twelve", "paper")],
    indirect=["smallest"],
)
def test_the_figures_of_a_sweep_are_readable(name, n, sweeps, smallest, assert_readable):
    """With one curve and with twelve, whose values hardly differ."""
    assert_readable(SWEEP_FIGURES[name](sweeps[n]), smallest)


OF_SWEEP = [
    (explain_choice, "one"),
    (explain_choice, "twelve"),
    (explain_choice, "two_keys"),
    (explain_choice, "three_keys"),
    (explain_choice, "four_keys"),
    (explain_lambda, "one"),
    (explain_lambda, "twelve"),
    (weight_shape, "twelve"),
    (norm_law, "twelve"),
    (explain_seeds, "seeds"),
]


@pytest.mark.parametrize(("question", "n"), OF_SWEEP)
def test_the_figures_about_a_sweep_are_readable(
    question, n, sweeps, smallest, ask, assert_readable
):
    """Of one setting, of many, of a grid of settings, and of seeds."""
    for figure in ask(question, sweeps[n]).figures().values():
        assert_readable(figure, smallest)
