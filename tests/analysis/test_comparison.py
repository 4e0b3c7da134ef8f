"""Runs are compared image by image, on the same images or not at all."""

import numpy as np
import pytest

from mnistlin import DataError, RunError
from mnistlin.analysis.compare import compare
from mnistlin.analysis.statistics import holm


@pytest.fixture(scope="module")
def runs(train_tiny):
    """Three runs that differ in λ."""
    return [train_tiny(l2_lambda=value, epochs=10) for value in (0.0, 0.1, 5.0)]


def test_a_run_compared_with_itself_shows_no_difference(runs):
    """No image tells the two apart."""
    (pair,) = compare([runs[0], runs[0]]).pairs
    assert (pair.counts.only_a, pair.counts.only_b, pair.p_value) == (0, 0, 1.0)
    assert not pair.is_significant
    assert not pair.can_resolve
    assert pair.config_differences == {}


def test_counts_and_images_are_those_on_which_only_one_is_right(runs):
    """Told apart by the predictions of both."""
    (pair,) = compare([runs[0], runs[2]]).pairs
    a, b = pair.a.is_right, pair.b.is_right
    assert pair.counts.only_a == (a & ~b).sum() > 0
    np.testing.assert_array_equal(np.sort(pair.only_right("a")), np.flatnonzero(a & ~b))
    np.testing.assert_array_equal(np.sort(pair.only_right("b")), np.flatnonzero(b & ~a))
    confidence = pair.b.predictions.probability[pair.only_right("a")].max(axis=1)
    assert (np.diff(confidence) <= 0).all()
    assert pair.counts.difference == pytest.approx(pair.a.accuracy - pair.b.accuracy)


def test_the_keys_in_which_the_configs_differ_are_named(runs):
    """By path, with both values; names and checkpoints decide nothing."""
    (pair,) = compare([runs[0], runs[1]]).pairs
    assert pair.config_differences == {"training.l2_lambda": (0.0, 0.1)}


def test_several_runs_are_compared_pair_by_pair_with_corrected_p_values(runs):
    """In their order, by Holm."""
    found = compare(runs)
    assert [(pair.a.run, pair.b.run) for pair in found.pairs] == [
        (runs[0], runs[1]),
        (runs[0], runs[2]),
        (runs[1], runs[2]),
    ]
    raw = [pair.counts.p_value for pair in found.pairs]
    assert [pair.p_value for pair in found.pairs] == holm(raw)
    assert found.names == ["A", "B", "C"]


def test_runs_judged_on_other_images_are_refused(runs, train_tiny):
    """Both numbers and hashes are told; on the training images they may still be compared."""
    other = train_tiny(data={"val_size": 20})
    with pytest.raises(DataError, match=r"the val images of .* not the same: 30 .* against 20 "):
        compare([runs[0], other])
    assert compare([runs[0], other], split_name="train").pairs[0].counts.n == 60


def test_one_run_is_no_comparison(runs):
    """The message asks for another."""
    with pytest.raises(RunError, match="two runs or more"):
        compare(runs[:1])
