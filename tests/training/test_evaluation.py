"""Loss and accuracy on a whole split, and predictions."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from heads import HINGE, all_heads, cross_entropy_heads
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from threadpoolctl import threadpool_info

from mnistlin.errors import RunError
from mnistlin.model.heads import HEADS, Softmax
from mnistlin.training import batches, evaluation
from mnistlin.training.evaluation import Evaluator, Score, confusion_counts, predict


def weights_for(split, head, n_weights=4):
    """Return random weights (n_weights, n_outputs, n_features + 1)."""
    shape = (n_weights, head.n_outputs(len(split.classes)), split.n_features + 1)
    return np.random.default_rng(3).standard_normal(shape) / 2


def score(split, head, weights, n_helpers=0, dtype="float64", keep_blocks=True):
    """Evaluate on one split, with the help of so many threads."""
    with ThreadPoolExecutor(n_helpers + 1) as pool:
        evaluator = Evaluator([split], head, dtype, n_helpers, keep_blocks=keep_blocks)
        found = evaluator.start(weights, pool)()
    return Score(found.loss[0], found.accuracy[0])


def score_by_scikit_learn(split, head, W):
    """Return mean cross entropy and accuracy of one model."""
    X = np.hstack([split.images[split.rows] / 127.5 - 1, np.ones((split.n_samples, 1))])
    Z = X @ W.T
    Z = np.hstack([Z, np.zeros_like(Z)]) if head.max_classes == 2 else Z
    probability = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    labels = range(len(split.classes))
    loss = log_loss(split.targets, probability, labels=labels)
    return loss, accuracy_score(split.targets, Z.argmax(axis=1))


@cross_entropy_heads
def test_scores_agree_with_scikit_learn(head, make_split):
    """For all weights that are evaluated together."""
    split = make_split(50, head.max_classes or 5)
    weights = weights_for(split, head)
    found = score(split, head, weights)
    expected = [score_by_scikit_learn(split, head, W) for W in weights]
    np.testing.assert_allclose(np.transpose([found.loss, found.accuracy]), expected, rtol=1e-12)


def test_each_of_several_splits_has_a_score_of_its_own(make_split, monkeypatch):
    """Whatever the number of its blocks, the same as if it were evaluated alone."""
    monkeypatch.setattr(batches, "BLOCK_ROWS", 7)
    head, splits = HEADS["softmax"], [make_split(n, 3, seed=n) for n in (50, 4, 20)]
    weights = weights_for(splits[0], head)
    with ThreadPoolExecutor(1) as pool:
        found = Evaluator(splits, head, "float64", 1, keep_blocks=True).start(weights, pool)()
    expected = [score(split, head, weights) for split in splits]
    np.testing.assert_array_equal(found.loss, [each.loss for each in expected])
    np.testing.assert_array_equal(found.accuracy, [each.accuracy for each in expected])


@given(
    st.sampled_from([*HEADS.values(), HINGE]),
    st.integers(5, 40),
    st.integers(1, 9),
    st.integers(0, 4),
    st.booleans(),
)
def test_blocks_and_helpers_change_nothing(
    make_split, head, n_samples, block_rows, n_helpers, keep_blocks
):
    """Every sample counts once, wherever blocks end; and the bits do not depend on the threads."""
    split = make_split(n_samples, head.max_classes or 4)
    weights = weights_for(split, head)
    whole = score(split, head, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BLOCK_ROWS", block_rows)
        alone = score(split, head, weights, keep_blocks=keep_blocks)
        beside = score(split, head, weights, n_helpers, keep_blocks=keep_blocks)
    np.testing.assert_allclose(alone.loss, whole.loss, rtol=1e-12)
    np.testing.assert_array_equal(alone.accuracy, whole.accuracy)
    np.testing.assert_array_equal(beside.loss, alone.loss)
    np.testing.assert_array_equal(beside.accuracy, alone.accuracy)


@all_heads
def test_float32_scores_are_near(head, make_split):
    """The losses are summed in float64, so that only single logits are inexact."""
    split = make_split(2000, head.max_classes or 5)
    weights = weights_for(split, head)
    expected = score(split, head, weights)
    found = score(split, head, weights.astype("float32"), dtype="float32")
    assert found.loss.dtype == np.float64
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)
    np.testing.assert_allclose(found.accuracy, expected.accuracy, atol=2 / 2000)


def test_losses_of_float32_are_summed_in_float64(make_split):
    """A mean of equal numbers is that number; summed in float32 it would not be."""
    split, head = make_split(2000, 3), HEADS["softmax"]
    weights = np.zeros_like(weights_for(split, head), dtype="float32")
    loss = score(split, head, weights, dtype="float32").loss
    np.testing.assert_allclose(loss, float(np.log(np.float32(3))), rtol=1e-12)


def test_a_class_without_samples_is_no_trouble(make_split):
    """As in the first rows of a file, where a rare class may not yet occur."""
    head, split = HEADS["softmax"], make_split(30, 4)
    kept = np.flatnonzero(split.targets != 2)
    part = type(split)(
        split.images, split.rows[kept], split.targets[kept], split.classes, split.image_shape
    )
    weights = weights_for(part, head)
    loss, accuracy = score_by_scikit_learn(part, head, weights[0])
    found = score(part, head, weights)
    assert (found.loss[0], found.accuracy[0]) == pytest.approx((loss, accuracy), rel=1e-12)


@all_heads
def test_at_zero_weights_the_first_class_is_right(head, make_split):
    """Ties go to the lowest class, in scores as in predictions."""
    split = make_split(30, 2)
    weights = np.zeros_like(weights_for(split, head, n_weights=1))
    share = (split.targets == 0).mean()
    assert score(split, head, weights).accuracy[0] == pytest.approx(share, rel=1e-15)
    assert not predict(split, weights[0].T, head).class_index.any()


@cross_entropy_heads
def test_predictions_agree_with_the_scores(head, make_split, monkeypatch):
    """Sample by sample, in the order of the split, over several blocks."""
    for module in (batches, evaluation):
        monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    split = make_split(50, head.max_classes or 5)
    weights = weights_for(split, head, n_weights=1)
    predictions = predict(split, weights[0].T, head)
    whole = score(split, head, weights)
    assert predictions.loss.mean() == pytest.approx(whole.loss[0], rel=1e-12)
    assert (predictions.class_index == split.targets).mean() == whole.accuracy[0]
    assert predictions.probability.shape == (50, len(split.classes))
    np.testing.assert_allclose(predictions.probability.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(predictions.probability.argmax(axis=1), predictions.class_index)
    true_probability = predictions.probability[np.arange(50), split.targets]
    np.testing.assert_allclose(predictions.loss, -np.log(true_probability), rtol=1e-9)


def test_a_head_without_probabilities_predicts_classes_and_refuses_the_rest(make_split):
    split = make_split(50, 3)
    predictions = predict(split, weights_for(split, HINGE, n_weights=1)[0].T, HINGE)
    np.testing.assert_array_equal(predictions.class_index, predictions.logits.argmax(axis=0))
    with pytest.raises(RunError, match=r"model: hinge gives no probabilities.*use model: softmax"):
        predictions.probability  # noqa: B018 (a property)


def test_predictions_of_float32_weights_are_float64(make_split):
    """Whatever the run was trained in, what is published is computed in full."""
    split, head = make_split(10), HEADS["softmax"]
    W = weights_for(split, head)[0].T.astype("float32")
    predictions = predict(split, W, head)
    assert predictions.loss.dtype == predictions.probability.dtype == np.float64
    exact = predict(split, W.astype("float64"), head)
    np.testing.assert_array_equal(predictions.loss, exact.loss)


@pytest.mark.parametrize("keep_blocks", [False, True])
class TestBlackPixels:
    """Left out of the product or not, they count as the inputs of -1 that they are."""

    def test_scores_agree_with_scikit_learn(self, dark_split, keep_blocks):
        """Where single pixels are black, and where all are."""
        head = HEADS["softmax"]
        dark = replace(dark_split, images=np.zeros_like(dark_split.images))
        for split in (dark_split, dark):
            weights = weights_for(split, head)
            found = score(split, head, weights, keep_blocks=keep_blocks)
            expected = [score_by_scikit_learn(split, head, W) for W in weights]
            figures = np.transpose([found.loss, found.accuracy])
            np.testing.assert_allclose(figures, expected, rtol=1e-12)

    @pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan])
    def test_a_weight_that_is_no_number_is_seen(self, dark_split, keep_blocks, weight):
        """Although nothing is multiplied with it, for that is divergence."""
        head = HEADS["softmax"]
        weights = weights_for(dark_split, head)
        weights[:, 0, 5] = weight
        assert not np.isfinite(score(dark_split, head, weights, keep_blocks=keep_blocks).loss).any()


def test_losses_whose_sum_overflows_raise_no_warning(make_split, monkeypatch):
    """The trainer sees an infinite loss, and calls that divergence."""
    monkeypatch.setattr(batches, "BLOCK_ROWS", 1)
    split, head = make_split(40), HEADS["logistic"]
    weights = np.zeros_like(weights_for(split, head, n_weights=1))
    weights[..., -1] = 1.7e307
    assert score(split, head, weights).loss[0] == np.inf


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=50))
def test_confusion_counts_agree_with_scikit_learn(pairs):
    """True classes are rows, predicted ones columns."""
    true, predicted = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    expected = confusion_matrix(true, predicted, labels=range(5)) if pairs else np.zeros((5, 5))
    np.testing.assert_array_equal(confusion_counts(true, predicted, 5), expected)


@pytest.mark.parametrize("n_helpers", [0, 1])
def test_what_is_raised_reaches_the_caller(make_split, n_helpers):
    """It is not lost in the pool, whose threads have all ended when the caller asks."""
    split = make_split(20)

    class Failing(Softmax):
        def is_correct(self, Z, k):
            if threading.current_thread() is not threading.main_thread():
                raise ZeroDivisionError("in a thread")
            return super().is_correct(Z, k)

    with ThreadPoolExecutor(1) as pool:
        evaluator = Evaluator([split], Failing(), "float64", n_helpers, keep_blocks=True)
        wait = evaluator.start(weights_for(split, Failing()), pool)
    if n_helpers:
        with pytest.raises(ZeroDivisionError, match="in a thread"):
            wait()
    else:
        assert np.isfinite(wait().loss).all()


def test_predictions_leave_blas_one_thread(make_split, monkeypatch):
    """So that their bits do not depend on the number of cores."""
    logits, found = evaluation.logits, []

    def watched(*arguments):
        libraries = [each for each in threadpool_info() if each["user_api"] == "blas"]
        found.extend(each["num_threads"] for each in libraries)
        return logits(*arguments)

    monkeypatch.setattr(evaluation, "logits", watched)
    split = make_split(20)
    predict(split, np.zeros((split.n_features + 1, len(split.classes))), Softmax())
    assert set(found) == {1}
