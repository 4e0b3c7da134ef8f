"""Roughness and use of weights, on images whose shape is known."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.claims import Evidence, TrainedExperiment, judge
from mnistlin.analysis.result import TooShortError
from mnistlin.analysis.weight_shape import participation, roughness, weight_shape


def test_roughness_of_white_noise_is_nearly_4():
    rng = np.random.default_rng(0)
    assert roughness(rng.normal(size=(10, 60, 60))) == pytest.approx(4, rel=0.05)


def test_a_smooth_image_is_less_rough_than_its_pixels_in_another_order():
    x = np.linspace(0, np.pi, 28)
    smooth = np.outer(np.sin(x), np.sin(x))[None]
    shuffled = np.random.default_rng(0).permutation(smooth.ravel()).reshape(smooth.shape)
    assert roughness(smooth) < 0.1 < roughness(shuffled)


def test_roughness_does_not_depend_on_the_size_of_the_weights():
    W = np.random.default_rng(0).normal(size=(2, 5, 6))
    assert roughness(-3 * W) == pytest.approx(roughness(W))


def test_participation_is_the_fraction_of_weights_in_use():
    assert participation(np.array([[1.0, -1.0, 1.0, 1.0]])) == 1
    assert participation(np.array([[2.0, 0.0, 0.0, -2.0]])) == 0.5


def test_participation_of_normal_weights_is_one_third():
    W = np.random.default_rng(0).normal(size=(10, 2000))
    assert participation(W) == pytest.approx(1 / 3, rel=0.05)


def test_the_largest_lambda_is_compared_with_the_smallest(sweep_of_three):
    found = weight_shape(sweep_of_three)
    rows = found.tables()["lambdas"]
    assert [row["l2_lambda"] for row in rows] == [0, 0.01, 1]
    assert f"{rows[0]['roughness']:.2f}" in found.explanation()
    assert f"{rows[-1]['roughness']:.2f}" in found.explanation()


def test_one_seed_leaves_the_shape_inconclusive(sweep_of_three):
    """It has no spread to judge a difference by."""
    evidence = Evidence((TrainedExperiment("sweep", sweep=sweep_of_three),), tolerance=0.5)
    for claim in ("weights-are-smoother-with-lambda", "weights-are-used-equally"):
        assert judge(claim, evidence).verdict == "inconclusive"


def test_without_a_run_there_is_no_shape(sweep_of_three):
    """As in a sweep that is not over λ alone."""
    empty = replace(sweep_of_three)
    empty.__dict__["by_lambda"] = {}
    with pytest.raises(TooShortError, match="no run of a sweep over λ alone has ended"):
        weight_shape(empty)
