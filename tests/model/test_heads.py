"""The two heads: probabilities, losses, and which class they name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import log_loss

from mnistlin.model.linear import HEADS, LOGISTIC, SOFTMAX

DTYPES = ("float32", "float64")
PRECISION = {"float32": 1e-6, "float64": 1e-14}


def some_logits(head, n_samples=50, n_classes=4, scale=3.0, dtype="float64"):
    """Return logits (n_outputs, n_samples) and class indices (n_samples,)."""
    rng = np.random.default_rng(1)
    n_classes = 2 if head is LOGISTIC else n_classes
    Z = scale * rng.standard_normal((head.n_outputs(n_classes), n_samples))
    return Z.astype(dtype), rng.integers(0, n_classes, n_samples)


def all_probabilities(head, Z):
    """Return the probability of every class, (n_samples, n_classes)."""
    Y = head.predict(Z)
    return (np.vstack([Y, 1 - Y]) if head is LOGISTIC else Y).T


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
class TestBothHeads:
    """What holds for logistic and softmax alike."""

    def test_losses_agree_with_scikit_learn(self, head):
        """The mean cross entropy in nats."""
        Z, targets = some_logits(head)
        n_classes = 2 if head is LOGISTIC else 4
        expected = log_loss(targets, all_probabilities(head, Z), labels=range(n_classes))
        losses = head.losses(Z, head.one_hot(targets, n_classes, "float64"))
        assert losses.shape == targets.shape
        assert losses.mean() == pytest.approx(expected, rel=1e-12)

    def test_the_prediction_is_the_derivative_of_the_log_partition(self, head):
        """On which it rests that dC/dz = ŷ - y."""
        Z, _ = some_logits(head)
        for k in range(len(Z)):
            nudge = np.zeros_like(Z)
            nudge[k] = 1e-6
            slope = (head.log_partition(Z + nudge) - head.log_partition(Z - nudge)) / 2e-6
            np.testing.assert_allclose(slope, head.predict(Z)[k], atol=1e-9)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_logits_of_ten_thousand_are_no_trouble(self, head, dtype):
        """Losses stay exact, probabilities in [0, 1], and no warning is given."""
        Z, targets = some_logits(head, scale=1e4, dtype=dtype)
        n_classes = 2 if head is LOGISTIC else 4
        probabilities = all_probabilities(head, Z)
        assert np.all((probabilities >= 0) & (probabilities <= 1))
        losses = head.losses(Z, head.one_hot(targets, n_classes, dtype))
        full = np.vstack([Z, np.zeros_like(Z)]) if head is LOGISTIC else Z
        # Of logits that far apart only the largest counts.
        expected = full.max(axis=0) - full[targets, np.arange(len(targets))]
        np.testing.assert_allclose(losses, expected, rtol=PRECISION[dtype], atol=0.1)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_precision_is_kept(self, head, dtype):
        """float32 in, float32 out: nothing is widened on the way."""
        Z, targets = some_logits(head, dtype=dtype)
        Y = head.one_hot(targets, 4, dtype)
        assert head.predict(Z).dtype == Y.dtype == head.losses(Z, Y).dtype == dtype

    def test_models_of_a_stack_do_not_mix(self, head):
        """Each gives what it gives alone."""
        stack = np.stack([some_logits(head)[0], -some_logits(head)[0]])
        targets = some_logits(head)[1]
        Y = head.one_hot(targets, 2 if head is LOGISTIC else 4, "float64")
        for Z, predicted, losses, right in zip(
            stack, head.predict(stack), head.losses(stack, Y), head.is_right(stack, 1), strict=True
        ):
            np.testing.assert_array_equal(predicted, head.predict(Z))
            np.testing.assert_array_equal(losses, head.losses(Z, Y))
            np.testing.assert_array_equal(right, head.is_right(Z, 1))

    def test_logits_are_left_as_they_are(self, head):
        """Training uses them again, for the batch loss."""
        Z, targets = some_logits(head)
        before = Z.copy()
        head.predict(Z)
        head.losses(Z, head.one_hot(targets, 4, "float64"))
        head.is_right(Z, 1)
        np.testing.assert_array_equal(Z, before)

    def test_zero_logits_name_the_lowest_class(self, head):
        """A model at zero weights, for which all classes are equally likely."""
        Z = np.zeros((head.n_outputs(2), 3))
        assert head.is_right(Z, 0).all()
        assert not head.is_right(Z, 1).any()


@given(arrays("float64", array_shapes(min_dims=2, max_dims=3), elements=st.floats(-50, 50)))
def test_softmax_probabilities_sum_to_one(Z):
    """For every sample, over the outputs."""
    np.testing.assert_allclose(SOFTMAX.predict(Z).sum(axis=-2), 1, rtol=1e-14)


@given(arrays("float64", (1, 20), elements=st.floats(-700, 700)))
def test_softmax_of_two_classes_is_logistic(Z):
    """With the logit 0 for the second class: same probabilities, losses and named classes."""
    both = np.vstack([Z, np.zeros_like(Z)])
    np.testing.assert_allclose(SOFTMAX.predict(both)[:1], LOGISTIC.predict(Z), atol=1e-15)
    for k in (0, 1):
        one, two = (head.one_hot(np.full(20, k), 2, "float64") for head in (LOGISTIC, SOFTMAX))
        np.testing.assert_allclose(
            SOFTMAX.losses(both, two), LOGISTIC.losses(Z, one), rtol=1e-12, atol=1e-12
        )
        np.testing.assert_array_equal(SOFTMAX.is_right(both, k), LOGISTIC.is_right(Z, k))


@given(
    arrays("float64", (4, 12), elements=st.floats(-5, 5)), st.floats(-1000, 1000), st.integers(0, 3)
)
def test_a_number_added_to_all_logits_changes_nothing(Z, shift, k):
    """Softmax knows differences of logits only."""
    Y = SOFTMAX.one_hot(np.full(12, k), 4, "float64")
    np.testing.assert_allclose(SOFTMAX.predict(Z + shift), SOFTMAX.predict(Z), atol=1e-12)
    np.testing.assert_allclose(SOFTMAX.losses(Z + shift, Y), SOFTMAX.losses(Z, Y), atol=1e-11)


@given(
    arrays(
        "float32",
        st.tuples(st.integers(1, 5), st.integers(1, 20)),
        elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
    )
)
def test_a_softmax_names_the_class_of_argmax_ties_included(Z):
    """With few distinct values most samples are ties; the lowest of the equal classes counts."""
    named = Z.argmax(axis=0)
    for k in range(len(Z)):
        np.testing.assert_array_equal(SOFTMAX.is_right(Z, k), named == k)


@given(
    arrays("float32", (1, 20), elements=st.sampled_from([-1.0, -(2.0**-100), -0.0, 0.0, 2.0**-100]))
)
def test_a_logistic_model_names_its_first_class_from_even_odds_on(Z):
    """Class 0 is target y = 1, named where ŷ ≥ 1/2."""
    np.testing.assert_array_equal(LOGISTIC.is_right(Z, 0), Z[0] >= 0)
    np.testing.assert_array_equal(LOGISTIC.is_right(Z, 1), Z[0] < 0)


def test_the_first_class_of_a_logistic_model_is_target_one():
    """A large logit speaks for class 0."""
    Y = LOGISTIC.one_hot(np.array([0, 1]), 2, "float64")
    np.testing.assert_array_equal(Y, [[1, 0]])
    right, wrong = LOGISTIC.losses(np.array([[5.0, 5.0]]), Y)
    assert right < 0.01
    assert wrong > 5


def test_one_hot_has_a_one_in_the_row_of_the_class():
    """And zeros elsewhere."""
    Y = SOFTMAX.one_hot(np.array([2, 0]), 3, "float32")
    np.testing.assert_array_equal(Y, [[0, 1], [0, 0], [1, 0]])


@pytest.mark.parametrize("n_classes", [2, 10])
def test_losses_at_zero_are_the_logarithm_of_the_number_of_classes(n_classes):
    """Training starts at ln 2 and ln K."""
    targets = np.arange(n_classes)
    Z = np.zeros((n_classes, n_classes))
    Y = SOFTMAX.one_hot(targets, n_classes, "float64")
    np.testing.assert_allclose(SOFTMAX.losses(Z, Y), np.log(n_classes), rtol=1e-15)
    one = LOGISTIC.one_hot(targets[:2], 2, "float64")
    np.testing.assert_allclose(LOGISTIC.losses(np.zeros((1, 2)), one), np.log(2), rtol=1e-15)
