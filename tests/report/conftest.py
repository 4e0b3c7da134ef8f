"""A report on tiny experiments, made once for all tests."""

import pytest

from mnistlin.report.page import make_page
from mnistlin.report.plan import load_report
from mnistlin.report.runner import train_all

BINARY = """\
name: "<script>alert('name')</script>"
model: logistic
data: {classes: [7, 2]}
training: {epochs: 60, batch_size: 8, learning_rate: 0.1, shuffle: false}
"""

TEN = """\
name: ten
model: softmax
training: {epochs: 3, batch_size: 8, learning_rate: 0.1}
sweep: {l2_lambdas: [1, 0.1, 0]}
"""

REPORT = """\
title: Tiny & small
introduction: A <b>report</b> on almost nothing.
dataset: published-data
elsewhere: {training.dtype: float64}
experiments:
  - {name: plain, config: binary.yaml}
  - {name: shuffled, config: binary.yaml, set: {training.shuffle: true}, seeds: [0, 1]}
  - {name: sweep, config: ten.yaml, seeds: [0, 1]}
parts:
  - {id: 1a, title: Gradient, question: How steep, derivation: logistic}
  - {id: 1b, title: Gradient, question: How steep, derivation: softmax}
  - id: 2a
    title: Curves
    question: What | happens?
    experiments: [plain, shuffled]
    figures: [loss]
    overlays: [accuracy]
    measures: [last_val_loss, last_val_accuracy]
    numbers:
      - claim: accuracy
        experiment: plain
        measure: last_val_accuracy
        published: 97.5
        tolerance: 100
        percent: true
    statements:
      - {claim: dips, experiments: [plain, shuffled], holds: dips-only-without-shuffle,
         published: "yes"}
      - {claim: cause, experiments: [plain], holds: local-optima, published: local optima,
         note: It is convex.}
  - {id: 4a, title: L2, question: And λ, derivation: l2}
  - id: 4b
    title: λ
    question: Which λ?
    experiments: [sweep]
    figures: [val-accuracy]
    statements:
      - {claim: cost, experiments: [sweep], holds: lambda-costs-accuracy, published: "yes",
         l2_lambda: 1}
      - {claim: order, experiments: [sweep], holds: accuracy-falls-with-lambda, published: "yes"}
      - {claim: norm, experiments: [sweep], holds: weight-norm-falls-with-lambda,
         published: "yes"}
"""


@pytest.fixture(scope="session")
def report_file(tmp_path_factory):
    """Write a report file, with its configs beside it."""
    folder = tmp_path_factory.mktemp("assignment")
    for name, text in {"binary": BINARY, "ten": TEN, "report": REPORT}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "report.yaml"


@pytest.fixture(scope="session")
def report(report_file, dataset):
    """Return the report on data that nothing was published about."""
    return load_report(report_file, str(dataset))


@pytest.fixture(scope="session")
def tiny_runs_dir(tmp_path_factory):
    """Return the folder of its runs."""
    return tmp_path_factory.mktemp("runs-of-report")


@pytest.fixture(scope="session")
def experiments(report, tiny_runs_dir):
    """Train its experiments."""
    return train_all(report.configs, tiny_runs_dir)


@pytest.fixture(scope="session")
def kept_in(tmp_path_factory):
    """Return the folder of its page."""
    return tmp_path_factory.mktemp("page")


LAYOUT = "matplotlib.layout_engine.ConstrainedLayoutEngine.execute"


@pytest.fixture(autouse=True)
def _sketchy_figures(monkeypatch):
    """Spare the layout of figures, which takes longest."""
    monkeypatch.setattr(LAYOUT, lambda *_: None)


@pytest.fixture(scope="session")
def sketched():
    """Return a function that makes a page as tests do: without the layout of its figures."""

    def make(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LAYOUT, lambda *_: None)
            return make_page(*arguments)

    return make


@pytest.fixture(scope="session")
def page(report, experiments, kept_in, sketched):
    """Return its page."""
    return sketched(report, experiments, kept_in)
