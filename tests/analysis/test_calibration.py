"""Whether probabilities can be trusted."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from mnistlin.analysis.calibration import N_BINS, calibration, calibration_figure


def outcomes_of(probabilities, rng):
    """Return class indices drawn by the probabilities."""
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)).sum(axis=1)


@pytest.fixture
def probabilities():
    """Return probabilities of four classes for 3,000 samples, from vague to sure."""
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.full(4, 0.6), 3000)


def sharpened(probabilities, power):
    """Return the probabilities of a model that is too sure of itself, or not sure enough."""
    raised = probabilities**power
    return raised / raised.sum(axis=1, keepdims=True)


def test_a_calibrated_model_is_found_to_be_calibrated(probabilities):
    """Its error is what chance gives, and the interval of its over-confidence holds 0."""
    found = calibration(probabilities, outcomes_of(probabilities, np.random.default_rng(1)))
    low, high = found.over_confidence_interval
    assert found.ece < found.ece_if_calibrated < 0.05
    assert found.ece_interval[0] <= found.ece <= found.ece_interval[1]
    assert low < 0 < high
    assert "no miscalibration was detected" in found.explanation()
    assert "Neither over- nor under-confidence" in found.explanation()


@pytest.mark.parametrize(("power", "word"), [(2, "over-confident"), (0.5, "under-confident")])
def test_a_model_that_is_too_sure_or_too_shy_is_found(probabilities, power, word):
    """The direction is named, and the error is above that of chance."""
    targets = outcomes_of(probabilities, np.random.default_rng(1))
    found = calibration(sharpened(probabilities, power), targets)
    assert f"The model is {word}" in found.explanation()
    assert "not calibrated" in found.explanation()
    assert found.ece_interval[0] <= found.ece <= found.ece_interval[1]


def test_the_error_is_the_mean_gap_of_the_bins(probabilities):
    """Bins have equal numbers of images, to one."""
    targets = outcomes_of(probabilities, np.random.default_rng(1))
    found = calibration(sharpened(probabilities, 2), targets)
    sizes = np.array([each.n_samples for each in found.bins])
    gaps = np.array([abs(each.accuracy - each.confidence) for each in found.bins])
    assert len(sizes) == N_BINS
    assert np.ptp(sizes) <= 1
    assert found.ece == pytest.approx((sizes * gaps).sum() / sizes.sum())


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_brier_score_is_that_of_scikit_learn(probabilities, n_classes):
    """With two classes it is halved."""
    shares = probabilities[:, :n_classes] / probabilities[:, :n_classes].sum(axis=1, keepdims=True)
    targets = outcomes_of(shares, np.random.default_rng(1))
    expected = brier_score_loss(targets, shares[:, 1] if n_classes == 2 else shares)
    assert calibration(shares, targets).brier_score == pytest.approx(expected)


def test_the_roc_curve_is_that_of_scikit_learn():
    """Also with many equal scores; its area has an interval."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 11, 500) / 10
    shares = np.stack([first, 1 - first], axis=1)
    targets = outcomes_of(shares, rng)
    roc = calibration(shares, targets).roc
    false, true, _ = roc_curve(targets == 0, first, drop_intermediate=False)
    np.testing.assert_allclose(roc.false_positive_rate, false)
    np.testing.assert_allclose(roc.true_positive_rate, true)
    assert roc.auc == pytest.approx(roc_auc_score(targets == 0, first))
    assert roc.auc_interval[0] < roc.auc < roc.auc_interval[1]


def test_few_images_and_one_class_are_no_error():
    """Fewer images than bins, all of one class: there is no ROC curve then."""
    found = calibration(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 0]))
    assert found.roc is None
    assert [each.n_samples for each in found.bins] == [1, 1]
    assert "auc" not in found.values()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_figure_has_two_panels(probabilities, n_classes):
    """Reliability, and with two classes the ROC curve, else the gap of each bin."""
    shares = probabilities[:, :n_classes] / probabilities[:, :n_classes].sum(axis=1, keepdims=True)
    found = calibration(shares, outcomes_of(shares, np.random.default_rng(1)))
    figure = calibration_figure(found, ("Calibration", "", ""), "3")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(titles) == 2
    assert any("true positive rate" in title for title in titles) == (n_classes == 2)
