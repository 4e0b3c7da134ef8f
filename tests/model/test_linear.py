"""The linear model and its heads."""

import numpy as np
import pytest
from heads import all_heads, cross_entropy_heads
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import log_loss

from mnistlin.model import linear
from mnistlin.model.heads import HEADS
from mnistlin.model.products import SYMMETRIC, Pixels

LOGISTIC, SOFTMAX = HEADS["logistic"], HEADS["softmax"]
LAMBDAS = np.array([0.0, 0.3, 2.0])


def case(head, n_models=3, n_samples=9, n_features=5, n_classes=4, dtype="float64", seed=0):
    """Return random weights W, inputs X as pixels, and one-hot targets Y."""
    rng = np.random.default_rng(seed)
    n_classes = head.max_classes or n_classes
    W = rng.standard_normal((n_models, head.n_outputs(n_classes), n_features + 1)).astype(dtype)
    P = np.full((n_samples, n_features + 1), 255, dtype)
    P[:, :-1] = rng.integers(0, 256, (n_samples, n_features))
    return (
        W,
        Pixels(P, SYMMETRIC),
        head.one_hot(rng.integers(0, n_classes, n_samples), n_classes, dtype),
    )


def numeric_gradient(head, W, X, Y, l2_lambdas):
    """Return dJ/dW by central differences, a coordinate at a time."""
    G = np.zeros_like(W)
    for at in np.ndindex(W.shape):
        nudge = np.zeros_like(W)
        nudge[at] = 1e-5
        above, below = (
            linear.objective(head, W + sign * nudge, X, Y, l2_lambdas)[at[0]] for sign in (1, -1)
        )
        G[at] = (above - below) / 2e-5
    return G


@all_heads
class TestObjective:
    """Objective and gradient of a stack with three λ."""

    def test_logits_are_weights_times_inputs(self, head):
        W, X, _ = case(head)
        expected = W @ X.to_array().T
        np.testing.assert_allclose(linear.logits(W, X), expected, rtol=1e-12, atol=1e-12)

    def test_float32_logits_are_near(self, head):
        """Within single precision, of 784 pixels too."""
        W, X, _ = case(head, 1, n_samples=300, n_features=784, n_classes=10, dtype="float32")
        expected = W.astype("float64") @ Pixels(X.P.astype("float64"), SYMMETRIC).to_array().T
        found = linear.logits(W, X)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)

    def test_the_objective_is_the_mean_loss_plus_the_penalty(self, head):
        """J = C + λ Σ W², without ½ and with the bias."""
        W, X, Y = case(head)
        for i, l2_lambda in enumerate(LAMBDAS):
            cost = head.losses(W[i] @ X.to_array().T, Y).mean()
            expected = cost + l2_lambda * sum(w**2 for w in W[i].ravel())
            found = linear.objective(head, W, X, Y, LAMBDAS)[i]
            assert found == pytest.approx(expected, rel=1e-12)

    def test_the_gradient_is_the_slope_of_the_objective(self, head):
        """In every coordinate of every model, bias and penalty included."""
        W, X, Y = case(head)
        R = head.residual(linear.logits(W, X), Y)
        analytic = linear.gradient(R, W, X, LAMBDAS)
        numeric = numeric_gradient(head, W, X, Y, LAMBDAS)
        np.testing.assert_allclose(analytic, numeric, rtol=1e-7, atol=1e-9)

    def test_the_gradient_leaves_its_arguments_alone(self, head):
        """The trainer uses residuals, weights and pixels again."""
        W, X, Y = case(head)
        R = head.residual(linear.logits(W, X), Y)
        arrays = (R, W, X.P, LAMBDAS)
        before = [array.copy() for array in arrays]
        linear.gradient(R, W, X, LAMBDAS)
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)

    def test_float32_stays_float32(self, head):
        """Also beside λ of the same precision."""
        W, X, Y = case(head, dtype="float32")
        R = head.residual(linear.logits(W, X), Y)
        assert linear.gradient(R, W, X, LAMBDAS.astype("float32")).dtype == np.float32


def test_squared_norms_are_summed_in_float64():
    """Each square of 1e30 overflows float32, and so would the sum."""
    W = np.full((2, 3, 4), 1e30, dtype="float32")
    W[1] = 2
    squares = linear.squared_norm(W)
    assert squares.dtype == np.float64
    np.testing.assert_allclose(squares, [12e60, 48], rtol=1e-6)


def test_squared_norms_keep_leading_axes():
    """Of snapshots (n_checks, n_models, ...) there is one a check and model."""
    W = np.random.default_rng(0).standard_normal((4, 2, 3, 5))
    expected = np.linalg.norm(W.reshape(4, 2, 15), axis=-1) ** 2
    np.testing.assert_allclose(linear.squared_norm(W), expected, rtol=1e-12)


def test_weights_of_files_become_a_stack_and_come_back():
    weights = np.arange(12.0).reshape(2, 3, 2)
    W = linear.stack(*weights)
    assert W.shape == (2, 2, 3)
    for one, member in zip(weights, W, strict=True):
        np.testing.assert_array_equal(linear.unstack(member), one)
        assert not np.shares_memory(linear.unstack(member), W)


DTYPES = ("float32", "float64")
PRECISION = {"float32": 1e-6, "float64": 1e-14}


def some_logits(head, n_samples=50, n_classes=4, scale=3.0, dtype="float64"):
    """Return logits (n_outputs, n_samples) and class indices (n_samples,)."""
    rng = np.random.default_rng(1)
    n_classes = head.max_classes or n_classes
    Z = scale * rng.standard_normal((head.n_outputs(n_classes), n_samples))
    return Z.astype(dtype), rng.integers(0, n_classes, n_samples)


def all_probabilities(head, Z):
    """Return the probability of every class, (n_samples, n_classes)."""
    return head.probabilities(Z).T


@all_heads
class TestHeads:
    """What holds for every head."""

    def test_the_residual_is_the_derivative_of_the_loss(self, head):
        Z, targets = some_logits(head)
        Y = head.one_hot(targets, head.max_classes or 4, "float64")
        for k in range(len(Z)):
            nudge = np.zeros_like(Z)
            nudge[k] = 1e-6
            slope = (head.losses(Z + nudge, Y) - head.losses(Z - nudge, Y)) / 2e-6
            np.testing.assert_allclose(slope, head.residual(Z, Y)[k], atol=1e-9)

    def test_the_loss_at_zero_is_that_of_zero_logits(self, head):
        n_classes = head.max_classes or 4
        Z = np.zeros((head.n_outputs(n_classes), 1))
        Y = head.one_hot(np.array([0]), n_classes, "float64")
        assert head.loss_at_zero(n_classes) == pytest.approx(head.losses(Z, Y)[0], rel=1e-15)

    def test_what_is_centred_away_does_not_change_the_loss(self, head):
        Z, targets = some_logits(head)
        Y = head.one_hot(targets, head.max_classes or 4, "float64")
        A = np.random.default_rng(2).standard_normal(Z.shape)
        centred = head.centre(A)
        np.testing.assert_allclose(head.centre(centred), centred, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(head.losses(Z + A, Y), head.losses(Z + centred, Y), rtol=1e-12)

    def test_the_predicted_class_is_the_one_that_is_correct(self, head):
        Z, _ = some_logits(head)
        predicted = head.predicted_class(Z)
        for k in range(head.max_classes or 4):
            np.testing.assert_array_equal(head.is_correct(Z, k), predicted == k)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_precision_is_kept(self, head, dtype):
        """float32 in, float32 out: nothing is widened on the way."""
        Z, targets = some_logits(head, dtype=dtype)
        Y = head.one_hot(targets, 4, dtype)
        assert head.residual(Z, Y).dtype == Y.dtype == head.losses(Z, Y).dtype == dtype

    def test_models_of_a_stack_do_not_mix(self, head):
        """Each gives what it gives alone."""
        stack = np.stack([some_logits(head)[0], -some_logits(head)[0]])
        targets = some_logits(head)[1]
        Y = head.one_hot(targets, head.max_classes or 4, "float64")
        for Z, residual, losses, correct in zip(
            stack,
            head.residual(stack, Y),
            head.losses(stack, Y),
            head.is_correct(stack, 1),
            strict=True,
        ):
            np.testing.assert_array_equal(residual, head.residual(Z, Y))
            np.testing.assert_array_equal(losses, head.losses(Z, Y))
            np.testing.assert_array_equal(correct, head.is_correct(Z, 1))

    def test_logits_are_left_as_they_are(self, head):
        """Training uses them again, for the batch loss."""
        Z, targets = some_logits(head)
        before, Y = Z.copy(), head.one_hot(targets, 4, "float64")
        head.residual(Z, Y)
        head.losses(Z, Y)
        head.is_correct(Z, 1)
        np.testing.assert_array_equal(Z, before)

    def test_zero_logits_predict_the_lowest_class(self, head):
        """As a model at zero weights gives them."""
        Z = np.zeros((head.n_outputs(2), 3))
        assert head.is_correct(Z, 0).all()
        assert not head.is_correct(Z, 1).any()


@cross_entropy_heads
class TestCrossEntropy:
    """What holds for every head whose loss it is."""

    def test_losses_agree_with_scikit_learn(self, head):
        """The mean cross entropy in nats."""
        Z, targets = some_logits(head)
        n_classes = head.max_classes or 4
        expected = log_loss(targets, all_probabilities(head, Z), labels=range(n_classes))
        losses = head.losses(Z, head.one_hot(targets, n_classes, "float64"))
        assert losses.shape == targets.shape
        assert losses.mean() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_logits_of_ten_thousand_are_no_trouble(self, head, dtype):
        """Losses stay exact, probabilities in [0, 1], and no warning is given."""
        Z, targets = some_logits(head, scale=1e4, dtype=dtype)
        n_classes = head.max_classes or 4
        probabilities = all_probabilities(head, Z)
        assert np.all((probabilities >= 0) & (probabilities <= 1))
        losses = head.losses(Z, head.one_hot(targets, n_classes, dtype))
        full = np.vstack([Z, np.zeros_like(Z)]) if head is LOGISTIC else Z
        # Of logits that far apart only the largest counts.
        expected = full.max(axis=0) - full[targets, np.arange(len(targets))]
        np.testing.assert_allclose(losses, expected, rtol=PRECISION[dtype], atol=0.1)

    def test_the_most_probable_class_is_predicted(self, head):
        Z, _ = some_logits(head)
        most_probable = head.probabilities(Z).argmax(axis=0)
        np.testing.assert_array_equal(head.predicted_class(Z), most_probable)


@given(arrays("float64", array_shapes(min_dims=2, max_dims=3), elements=st.floats(-50, 50)))
def test_softmax_probabilities_sum_to_one(Z):
    """For every sample, over the outputs."""
    np.testing.assert_allclose(SOFTMAX.predict(Z).sum(axis=-2), 1, rtol=1e-14)


@given(arrays("float64", (1, 20), elements=st.floats(-700, 700)))
def test_softmax_of_two_classes_is_logistic(Z):
    """With the logit 0 for the second class: same probabilities, losses and predicted classes."""
    both = np.vstack([Z, np.zeros_like(Z)])
    np.testing.assert_allclose(SOFTMAX.predict(both)[:1], LOGISTIC.predict(Z), atol=1e-15)
    for k in (0, 1):
        one, two = (head.one_hot(np.full(20, k), 2, "float64") for head in (LOGISTIC, SOFTMAX))
        np.testing.assert_allclose(
            SOFTMAX.losses(both, two), LOGISTIC.losses(Z, one), rtol=1e-12, atol=1e-12
        )
        np.testing.assert_array_equal(SOFTMAX.is_correct(both, k), LOGISTIC.is_correct(Z, k))


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
def test_a_softmax_predicts_the_class_of_argmax_ties_included(Z):
    """With few distinct values most samples are ties; the lowest of the equal classes counts."""
    predicted = Z.argmax(axis=0)
    for k in range(len(Z)):
        np.testing.assert_array_equal(SOFTMAX.is_correct(Z, k), predicted == k)


@given(
    arrays("float32", (1, 20), elements=st.sampled_from([-1.0, -(2.0**-100), -0.0, 0.0, 2.0**-100]))
)
def test_a_logistic_model_predicts_its_first_class_from_even_odds_on(Z):
    """Class 0 is target y = 1, predicted where ŷ ≥ 1/2."""
    np.testing.assert_array_equal(LOGISTIC.is_correct(Z, 0), Z[0] >= 0)
    np.testing.assert_array_equal(LOGISTIC.is_correct(Z, 1), Z[0] < 0)


def test_the_first_class_of_a_logistic_model_is_target_one():
    """A large logit is evidence for class 0."""
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
