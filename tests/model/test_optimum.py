"""The minimum of the objective: found, proven, and agreed on by scikit-learn."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from heads import all_heads, cross_entropy_heads
from sklearn.linear_model import LogisticRegression

from mnistlin.model import linear
from mnistlin.model.heads import HEADS
from mnistlin.model.objective import Objective
from mnistlin.model.optimum import minimise
from mnistlin.model.samples import Block, Samples
from model.objectives import (
    dense_hessian,
    inputs,
    objective_of,
    pixels,
    random_weights,
    samples_of,
    zeros,
)


@all_heads
class TestBlocks:
    """J of a full set, put together from blocks that leave out their black pixels."""

    def test_value_and_gradient_are_those_of_the_whole_set(self, head):
        """Incomplete last block and penalty included."""
        objective, P, targets = objective_of(head)
        W = random_weights(objective)
        Y = head.one_hot(targets, objective.samples.n_classes, "float64")
        l2_lambdas = np.array([objective.l2_lambda])
        stacked, X = linear.stack(W), inputs(P)
        Z = linear.logits(stacked, X)
        point = objective.at(W)
        expected = linear.objective(head, stacked, X, Y, l2_lambdas)[0]
        assert point.value == pytest.approx(expected, rel=1e-13)
        G = linear.gradient(head.residual(Z, Y), stacked, X, l2_lambdas)[0]
        np.testing.assert_allclose(point.gradient, G.T, rtol=1e-10, atol=1e-14)
        assert point.largest_loss == pytest.approx(head.losses(Z, Y).max(), rel=1e-13)

    def test_several_weights_have_the_value_of_each(self, head):
        """`values` is `at` for many."""
        objective, _, _ = objective_of(head)
        weights = random_weights(objective, n_models=(4,))
        expected = [objective.at(W).value for W in weights]
        np.testing.assert_allclose(objective.values(weights), expected, rtol=1e-13)

    def test_blocks_may_have_several_classes(self, head):
        """The value, the gradient and products with the Hessian are the same."""
        objective, P, targets = objective_of(head)
        samples, W = objective.samples, random_weights(objective)
        images = P[:, :-1].astype(np.uint8)
        parts = np.array_split(np.arange(len(P)), 3)
        blocks = [Block(targets[part], images, part, columns=None) for part in parts]
        mixed = replace(
            objective,
            samples=Samples(blocks, samples.n_features, samples.n_classes, samples.scaling, 1),
        )
        for of in (
            lambda each: each.at(W).value,
            lambda each: each.at(W).gradient,
            lambda each: each.hessian(W)(W + 1),
            lambda each: each.values(W[None]),
        ):
            np.testing.assert_allclose(of(mixed), of(objective), rtol=1e-10, atol=1e-14)

    def test_float32_agrees_to_its_rounding(self, head):
        """It reads blocks of float32, and sums in float64."""
        objective, _, _ = objective_of(head)
        W = random_weights(objective)
        precise, quick = objective.at(W), objective.at(W, "float32")
        assert quick.value == pytest.approx(precise.value, rel=1e-5)
        np.testing.assert_allclose(quick.gradient, precise.gradient, rtol=1e-4, atol=1e-5)

    def test_the_number_of_threads_changes_no_bit(self, head):
        """Sums are added in the order of the blocks."""
        objective, P, targets = objective_of(head)
        W = random_weights(objective)
        alone = replace(objective, samples=samples_of(P, targets, 3, n_helpers=0))
        many = replace(objective, samples=samples_of(P, targets, 3, n_helpers=4))
        np.testing.assert_array_equal(alone.at(W).gradient, many.at(W).gradient)
        assert alone.at(W).value == many.at(W).value
        np.testing.assert_array_equal(alone.curvatures(W), many.curvatures(W))

    def test_curvatures_are_weighted_moments_of_the_inputs(self, head):
        """Xᵀ diag(m) X / n + 2 λ, black pixels included, to the rounding of float32."""
        objective, P, _ = objective_of(head)
        W, X = random_weights(objective), inputs(P).to_array()
        M = head.curvature_of_outputs(W.T @ X.T)
        expected = np.einsum("ni,kn,nj->kij", X, M, X) / len(X)
        expected += 2 * objective.l2_lambda * np.eye(X.shape[1])
        np.testing.assert_allclose(objective.curvatures(W), expected, atol=1e-5)

    def test_curvatures_are_the_hessian_at_zero(self, head):
        """For all changes that the loss sees, if all classes are equally likely."""
        objective, _, _ = objective_of(head)
        D = head.centre(random_weights(objective).T)
        found = np.einsum("kij,kj->ki", objective.curvatures(0 * D.T), D)
        hessian = dense_hessian(objective, zeros(objective))
        np.testing.assert_allclose(head.centre(found).T.ravel(), hessian @ D.T.ravel(), atol=1e-4)


THREADS_OF_A_SEARCH = """
from threadpoolctl import threadpool_info
from mnistlin.model.heads import HEADS
from mnistlin.model.optimum import minimise
from model.objectives import objective_of, zeros

def note():
    libraries = [each for each in threadpool_info() if each["user_api"] == "blas"]
    n_threads.extend(each["num_threads"] for each in libraries)

n_threads = []
objective = objective_of(HEADS["softmax"])[0]
minimise(objective, zeros(objective), on_pass=note)
print(len(n_threads), max(n_threads))
"""


def test_no_blas_has_more_than_one_thread(monkeypatch):
    """Neither NumPy's nor SciPy's, which is another library, in the first search of a process."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    command = [sys.executable, "-c", THREADS_OF_A_SEARCH]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_seen, most = map(int, done.stdout.split())
    assert n_seen > 1
    assert most == 1


@cross_entropy_heads
@pytest.mark.parametrize("l2_lambda", [1.0, 0.1, 0.01])
class TestMinimum:
    """With a penalty there is one minimum."""

    def test_scikit_learn_finds_the_same_weights(self, head, l2_lambda):
        """LogisticRegression at C = 1 / (2 n λ), with the bias as one of the columns."""
        objective, P, targets = objective_of(head, l2_lambda)
        found = minimise(objective, zeros(objective))
        judge = LogisticRegression(
            C=1 / (2 * objective.samples.n_samples * l2_lambda),
            fit_intercept=False,
            tol=1e-10,
            max_iter=10_000,
        )
        y = targets == 0 if head.name == "logistic" else targets
        judge.fit(inputs(P).to_array(), y)
        np.testing.assert_allclose(found.point.weights, judge.coef_.T, atol=1e-4)
        excess = found.point.value - objective.at(judge.coef_.T).value
        bound = found.point.gradient_norm**2 / (4 * l2_lambda)  # by strong convexity
        assert excess <= bound + 1e-13  # and rounding

    def test_the_gradient_vanishes(self, head, l2_lambda):
        """To a norm below 1e-6."""
        objective, _, _ = objective_of(head, l2_lambda)
        found = minimise(objective, zeros(objective))
        assert found.has_converged
        assert np.linalg.norm(objective.at(found.point.weights).gradient) < 1e-6

    def test_it_does_not_matter_where_one_starts(self, head, l2_lambda):
        """There is no other bottom to be caught in."""
        objective, _, _ = objective_of(head, l2_lambda)
        from_zero = minimise(objective, zeros(objective)).point
        from_afar = minimise(objective, 5 * random_weights(objective)).point
        assert from_afar.value == pytest.approx(from_zero.value, abs=1e-10)
        np.testing.assert_allclose(from_afar.weights, from_zero.weights, atol=1e-4)


def separable_objective(head):
    """Return an objective without a penalty on images whose bright pixel gives the class away."""
    n_classes = head.max_classes or 3
    targets = np.arange(30) % n_classes
    P = pixels(30, seed=5)
    P[:, :3] = 0
    P[np.arange(30), targets] = 255
    return Objective(head, samples_of(P, targets, n_classes), 0.0), P, targets


@cross_entropy_heads
class TestWithoutPenalty:
    """Then it depends on the images whether there is a minimum."""

    def test_separating_weights_are_found_and_prove_that_there_is_none(self, head):
        """All images are right, and multiples of these weights bring J as low as desired."""
        objective, P, targets = separable_objective(head)
        found = minimise(objective, zeros(objective)).point
        assert found.separates
        Z = linear.logits(linear.stack(found.weights), inputs(P))
        np.testing.assert_array_equal(head.predicted_class(Z)[0], targets)
        values = objective.values(np.array([1, 2, 4, 8, 1000])[:, None, None] * found.weights)
        assert (np.diff(values) < 0).all()
        assert values[-1] < 1e-9

    def test_one_image_with_two_labels_cannot_be_separated(self, head):
        """The search then ends at the vanishing gradient and claims nothing."""
        objective, P, targets = separable_objective(head)
        P[1] = P[0]
        objective = replace(objective, samples=samples_of(P, targets, objective.samples.n_classes))
        found = minimise(objective, zeros(objective))
        assert found.point.value > 0
        assert not found.point.separates


@cross_entropy_heads
@pytest.mark.parametrize("n", [5, 20])
def test_steps_within_newton_steps_count_too(head, n):
    """So a search whose curvature nearly vanishes ends in time."""
    objective, _, _ = objective_of(head, 1e-9)
    found = minimise(objective, zeros(objective), tolerance=1e-14, max_iterations=n)
    assert (found.n_iterations, found.has_converged) == (n, False)


@cross_entropy_heads
def test_a_spent_budget_is_told(head):
    """One iteration is not enough, and nobody claims that it was."""
    objective, _, _ = objective_of(head, 0.01)
    found = minimise(objective, zeros(objective), max_iterations=1)
    assert (found.n_iterations, found.has_converged) == (1, False)
    assert found.point.value < objective.at(zeros(objective)).value


@pytest.mark.parametrize("l2_lambda", [1e3, 1e-4])
def test_extreme_penalties_have_a_minimum_too(l2_lambda):
    """Where J hardly changes any more to its last digit, or only a little."""
    objective, _, _ = objective_of(HEADS["softmax"], l2_lambda)
    assert minimise(objective, random_weights(objective)).has_converged


@cross_entropy_heads
def test_each_pass_over_the_samples_is_reported(head, monkeypatch):
    """So that a bar can show them; a few more are the start, the curvatures and their logits."""
    objective, _, _ = objective_of(head)
    dtypes, passes, run = [], [], Samples.map

    def run_and_count(samples, work, dtype, *others):
        dtypes.append(dtype)
        return run(samples, work, dtype, *others)

    monkeypatch.setattr(Samples, "map", run_and_count)
    minimise(objective, zeros(objective), on_pass=lambda: passes.append(1))
    assert 3 <= len(dtypes) - len(passes) <= 5
    assert len(passes) > 5
    assert set(dtypes) == {"float32", "float64"}


@cross_entropy_heads
def test_the_curvature_saves_passes(head, monkeypatch):
    """Half of them at least on these images, whose pixels differ in contrast by a factor of 32."""
    P, n_classes = pixels(200), head.max_classes or 3
    P[:, :-1] = P[:, :-1] // 2 ** np.arange(6)
    targets = np.random.default_rng(1).integers(0, n_classes, 200)
    objective = Objective(head, samples_of(P, targets, n_classes, block_rows=50), 1e-5)

    def n_passes():
        passes = []
        found = minimise(objective, zeros(objective), on_pass=lambda: passes.append(1))
        assert found.has_converged
        return len(passes)

    preconditioned = n_passes()
    identity = [np.eye(7)] * head.n_outputs(n_classes)
    monkeypatch.setattr(Objective, "curvatures", lambda *_: identity)
    assert preconditioned < 0.5 * n_passes()
