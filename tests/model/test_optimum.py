"""The minimum of the objective: found, proven, and agreed on by scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mnistlin.model import linear, optimum
from mnistlin.model.linear import HEADS
from mnistlin.model.optimum import Objective, minimise
from mnistlin.model.products import SYMMETRIC, Pixels

heads = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)


def pixels(n_samples, n_features=6, seed=0):
    """Return random pixels P, (n_samples, n_features + 1), the white one last."""
    P = np.full((n_samples, n_features + 1), 255.0)
    P[:, :-1] = np.random.default_rng(seed).integers(0, 256, (n_samples, n_features))
    return P


def inputs(P):
    """Return pixels as inputs."""
    return Pixels(P, SYMMETRIC)


def reader_of(P):
    """Return what reads inputs of some samples."""
    return lambda samples: inputs(P[samples])


def objective_of(head, l2_lambda=0.1, n_samples=80, seed=0):
    """Return an objective on random images with random labels, and its pixels."""
    P, n_classes = pixels(n_samples, seed=seed), 2 if head.name == "logistic" else 3
    targets = np.random.default_rng(seed + 1).integers(0, n_classes, n_samples)
    return Objective(head, reader_of(P), targets, n_classes, l2_lambda), P


def zeros(objective, P):
    """Return weights that are all zero."""
    return np.zeros((P.shape[1], objective.head.n_outputs(objective.n_classes)))


def random_weights(objective, P, n_models=(), seed=3):
    """Return random weights, or a stack of them."""
    shape = (*n_models, *zeros(objective, P).shape)
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def small_blocks(monkeypatch):
    """Make blocks so small that the set has many, and the last one is incomplete."""
    monkeypatch.setattr(optimum, "BLOCK_ROWS", 7)


@heads
@pytest.mark.usefixtures("small_blocks")
class TestBlocks:
    """J of a whole set, put together from J of its blocks."""

    def test_value_and_gradient_are_those_of_the_whole_set(self, head):
        """Incomplete last block and penalty included."""
        objective, P = objective_of(head)
        W = random_weights(objective, P)
        Y = head.one_hot(objective.targets, objective.n_classes, "float64")
        l2_lambdas = np.array([objective.l2_lambda])
        stacked, X = linear.stack(W), inputs(P)
        Z = linear.logits(stacked, X)
        place = objective.at(W)
        expected = linear.objective(head, stacked, X, Y, l2_lambdas)[0]
        assert place.value == pytest.approx(expected, rel=1e-13)
        G = linear.gradient(head.residual(Z, Y), stacked, X, l2_lambdas)[0]
        np.testing.assert_allclose(place.gradient, G.T, rtol=1e-10, atol=1e-14)
        assert place.largest_loss == pytest.approx(head.losses(Z, Y).max(), rel=1e-13)

    def test_a_stack_has_the_value_of_each_of_its_members(self, head):
        """`values` is `at` for many."""
        objective, P = objective_of(head)
        stack = random_weights(objective, P, n_models=(4,))
        expected = [objective.at(W).value for W in stack]
        np.testing.assert_allclose(objective.values(stack), expected, rtol=1e-13)

    def test_never_more_than_a_block_is_read(self, head):
        """So memory does not grow with the number of images."""
        objective, P = objective_of(head)
        sizes = []

        def read(samples):
            sizes.append(len(samples))
            return inputs(P[samples])

        watched = Objective(head, read, objective.targets, objective.n_classes, 0.1)
        minimise(watched, zeros(objective, P))
        assert max(sizes) == optimum.BLOCK_ROWS

    def test_the_curvature_is_the_slope_of_the_gradient_at_zero(self, head):
        """Of the first output's gradient, as that output's weights move."""
        objective, P = objective_of(head)
        h = 1e-5
        numeric = np.empty((P.shape[1], P.shape[1]))
        for j in range(P.shape[1]):
            nudge = zeros(objective, P)
            nudge[j, 0] = h
            above, below = (objective.at(sign * nudge).gradient[:, 0] for sign in (1, -1))
            numeric[j] = (above - below) / (2 * h)
        np.testing.assert_allclose(objective.curvature(), numeric, rtol=1e-6, atol=1e-8)


@heads
@pytest.mark.parametrize("l2_lambda", [1.0, 0.1, 0.01])
class TestMinimum:
    """With a penalty there is one minimum."""

    def test_scikit_learn_finds_the_same_weights(self, head, l2_lambda):
        """LogisticRegression at C = 1 / (2 n λ), with the bias as one of the columns."""
        objective, P = objective_of(head, l2_lambda)
        found = minimise(objective, zeros(objective, P))
        judge = LogisticRegression(
            C=1 / (2 * objective.n_samples * l2_lambda),
            fit_intercept=False,
            tol=1e-10,
            max_iter=10_000,
        )
        is_logistic = head.name == "logistic"
        y = objective.targets == 0 if is_logistic else objective.targets
        judge.fit(inputs(P).to_array(), y)
        np.testing.assert_allclose(found.place.weights, judge.coef_.T, atol=1e-4)
        excess = found.place.value - objective.at(judge.coef_.T).value
        bound = found.place.gradient_norm**2 / (4 * l2_lambda)  # by strong convexity
        assert excess <= bound + 1e-13  # and rounding

    def test_the_gradient_vanishes(self, head, l2_lambda):
        """To a norm below 1e-6."""
        objective, P = objective_of(head, l2_lambda)
        found = minimise(objective, zeros(objective, P))
        assert found.has_converged
        assert np.linalg.norm(objective.at(found.place.weights).gradient) < 1e-6

    def test_it_does_not_matter_where_one_starts(self, head, l2_lambda):
        """There is no other bottom to be caught in."""
        objective, P = objective_of(head, l2_lambda)
        from_zero = minimise(objective, zeros(objective, P)).place
        from_afar = minimise(objective, 5 * random_weights(objective, P)).place
        assert from_afar.value == pytest.approx(from_zero.value, abs=1e-10)
        np.testing.assert_allclose(from_afar.weights, from_zero.weights, atol=1e-4)


def separable_objective(head):
    """Return an objective without penalty on images whose class is the place of a bright pixel."""
    n_classes = 2 if head.name == "logistic" else 3
    targets = np.arange(30) % n_classes
    P = pixels(30, seed=5)
    P[:, :3] = 0
    P[np.arange(30), targets] = 255
    return Objective(head, reader_of(P), targets, n_classes, 0.0), P


@heads
class TestWithoutPenalty:
    """Then it depends on the images whether there is a minimum."""

    def test_separating_weights_are_found_and_prove_that_there_is_none(self, head):
        """All images are right, and multiples of these weights bring J as low as one likes."""
        objective, P = separable_objective(head)
        found = minimise(objective, zeros(objective, P)).place
        assert found.separates
        Z = linear.logits(linear.stack(found.weights), inputs(P))
        np.testing.assert_array_equal(head.predicted_class(Z)[0], objective.targets)
        values = objective.values(np.array([1, 2, 4, 8, 1000])[:, None, None] * found.weights)
        assert (np.diff(values) < 0).all()
        assert values[-1] < 1e-9

    def test_one_image_with_two_labels_cannot_be_separated(self, head):
        """The search then ends at the vanishing gradient and claims nothing."""
        objective, P = separable_objective(head)
        P[1] = P[0]
        found = minimise(objective, zeros(objective, P))
        assert found.place.value > 0
        assert not found.place.separates


@heads
def test_a_spent_budget_is_told(head):
    """One iteration is not enough, and nobody claims that it was."""
    objective, P = objective_of(head, 0.01)
    found = minimise(objective, zeros(objective, P), max_iterations=1)
    assert (found.n_iterations, found.has_converged) == (1, False)
    assert found.place.value < objective.at(zeros(objective, P)).value


@pytest.mark.parametrize("l2_lambda", [1e3, 1e-4])
def test_extreme_penalties_have_a_minimum_too(l2_lambda):
    """Where J hardly changes any more to its last digit, or only a little."""
    objective, P = objective_of(HEADS["softmax"], l2_lambda)
    assert minimise(objective, random_weights(objective, P)).has_converged
