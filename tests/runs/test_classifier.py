"""A run as scikit-learn's classifiers are."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from heads import HINGE

from mnistlin.config import DataConfig, ExperimentConfig
from mnistlin.data.splits import load_splits
from mnistlin.errors import MnistlinError, RunError
from mnistlin.experiment import run_experiment

KINDS = [
    ("softmax", None),
    ("softmax", [7, 1]),
    ("softmax", [9, 4, 7]),
    ("logistic", [2, 3]),
    ("logistic", [3, 2]),
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def trained(request, tmp_path_factory):
    """Return a run on real digits, and raw pixels (n, 28, 28) with their labels."""
    model, classes = request.param
    data = {"dataset": "mnist-5k", "classes": classes}
    training = {"epochs": 3, "batch_size": 20, "learning_rate": 0.05}
    config = {"model": model, "data": data, "training": training}
    run = run_experiment(ExperimentConfig.model_validate(config), tmp_path_factory.mktemp("runs"))
    split = load_splits(DataConfig(**data)).val
    labels = np.array(split.classes)[split.targets]
    return run, split.images[split.rows].reshape(-1, 28, 28), labels


def test_predictions_are_those_of_the_run(trained):
    """The accuracy of the last check, and a row of probabilities that sums up to 1 per image."""
    run, images, labels = trained
    assert (run.predict(images) == labels).mean() == run.summary["last_val_accuracy"]
    probabilities = run.predict_proba(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(run.classes_[probabilities.argmax(axis=1)], run.predict(images))


def test_columns_and_rows_follow_the_ascending_classes(trained):
    """Images of a class get its column; two classes have one row, for the second."""
    run, images, labels = trained
    assert run.classes_.tolist() == sorted(run.classes)
    for column, label in zip(run.predict_proba(images).T, run.classes_, strict=True):
        assert column[labels == label].mean() > 2 * column[labels != label].mean()
    n_rows = 1 if len(run.classes) == 2 else len(run.classes)
    assert run.coef_.shape == (n_rows, 784)
    assert run.intercept_.shape == (n_rows,)


def test_scikit_learn_agrees(trained):
    """As a fitted LogisticRegression on raw pixels."""
    run, images, _ = trained
    X, model = images.reshape(-1, 784), run.to_sklearn()
    np.testing.assert_allclose(model.predict_proba(X), run.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), run.predict(images))
    np.testing.assert_array_equal(model.classes_, run.classes_)
    assert model.score(X, run.predict(X)) == 1


def test_five_lines_of_numpy_do_the_same(trained):
    """Coefficients act on raw pixels."""
    run, images, _ = trained
    Z = images.reshape(-1, 784) @ run.coef_.T + run.intercept_
    if Z.shape[1] == 1:
        Z = np.hstack([np.zeros_like(Z), Z])
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(P, run.predict_proba(images), atol=1e-12)


def test_a_head_without_probabilities_is_refused_where_they_are_asked_for(trained):
    """Classes are predicted as ever."""
    run, images, _ = trained
    classifier = replace(run.classifier(), head=HINGE)
    np.testing.assert_array_equal(classifier.predict(images), run.predict(images))
    with pytest.raises(RunError, match="model: hinge gives no probabilities"):
        classifier.predict_proba(images)
    with pytest.raises(MnistlinError, match="LogisticRegression cannot represent model: hinge"):
        classifier.to_sklearn()


def test_images_of_another_shape_are_refused(trained):
    """With both shapes that are allowed."""
    run, images, _ = trained
    for wrong in (images[0], images[:, :27], np.zeros(784)):
        with pytest.raises(ValueError, match=r"expected \(n, 784\) or \(n, 28, 28\)"):
            run.predict(wrong)


def test_without_scikit_learn_the_error_names_the_command(trained, monkeypatch):
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MnistlinError, match=r"pip install 'mnistlin\[sklearn\]'"):
        trained[0].to_sklearn()


def test_a_notebook_shows_a_run_as_a_table(trained):
    """And a repr says in one line which run it is, and how it ended."""
    run, _, _ = trained
    assert repr(run) == f"Run({str(run.path)!r}, finished)"
    html = run._repr_html_()
    assert html.startswith("<table>")
    assert "last_val_accuracy" in html
    assert f"{run.summary['last_val_accuracy']:.6g}" in html
