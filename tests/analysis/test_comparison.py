"""Runs are compared image by image, on the same images or not at all."""

import numpy as np
import pytest

from mnistlin import DataError, RunError
from mnistlin.analysis.compare import Pair, compare
from mnistlin.analysis.statistics import PairedCounts, holm, holm_levels


@pytest.fixture(scope="module")
def runs(train_tiny):
    """Three runs that differ in λ."""
    return [train_tiny(l2_lambda=value, epochs=10) for value in (0.0, 0.1, 5.0)]


def test_a_run_compared_with_itself_shows_no_difference(runs):
    """The two agree on every image."""
    (pair,) = compare([runs[0], runs[0]]).pairs
    assert (pair.counts.only_a, pair.counts.only_b, pair.p_value) == (0, 0, 1.0)
    assert not pair.is_significant
    assert pair.verdict().startswith("no: ")
    assert pair.config_differences == {}


def test_counts_and_images_are_those_on_which_only_one_is_correct(runs):
    """Told apart by the predictions of both."""
    (pair,) = compare([runs[0], runs[2]]).pairs
    a, b = pair.a.is_correct, pair.b.is_correct
    assert pair.counts.only_a == (a & ~b).sum() > 0
    np.testing.assert_array_equal(np.sort(pair.only_correct("a")), np.flatnonzero(a & ~b))
    np.testing.assert_array_equal(np.sort(pair.only_correct("b")), np.flatnonzero(b & ~a))
    confidence = pair.b.predictions.probability[pair.only_correct("a")].max(axis=1)
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
    """The error has both numbers and hashes; the training images may still be compared."""
    other = train_tiny(data={"val_size": 20})
    with pytest.raises(DataError, match=r"the val images of .* not the same: 30 .* against 20 "):
        compare([runs[0], other])
    assert compare([runs[0], other], split_name="train").pairs[0].counts.n == 60


def test_one_run_is_no_comparison(runs):
    """The message asks for another."""
    with pytest.raises(RunError, match="two runs or more"):
        compare(runs[:1])


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        (PairedCounts(8000, 700, 500, 800), "yes: with 12.0 % of them classified correctly by one"),
        (
            PairedCounts(1990, 1, 2, 49),
            "no: with 0.1 % of them classified correctly by one run",
        ),
        (PairedCounts(1974, 25, 9, 34), "only just: "),
        (PairedCounts(0, 3, 0, 0), "no: 3 images are too few for any gap"),
    ],
)
def test_whether_the_images_resolve_a_gap(runs, counts, verdict):
    """Significant and resolved, neither, the one without the other, and hopeless."""
    (pair,) = compare([runs[0]] * 2).pairs
    assert Pair(pair.a, pair.b, counts, counts.p_value).verdict().startswith(verdict)


def test_with_more_pairs_a_gap_must_be_larger_to_be_detected(runs):
    """Holm's method tests each pair at a lower level, and the smallest gap follows it."""
    (alone,) = compare([runs[0], runs[2]]).pairs
    among_three = compare([runs[0], runs[2], runs[1]]).pairs[0]
    assert among_three.counts == alone.counts
    assert among_three.level < alone.level == pytest.approx(0.05)
    assert among_three.smallest_gap > alone.smallest_gap


def test_the_levels_of_holms_method():
    """The smallest of three p-values is tested at 0.05 / 3, the next at 0.05 / 2."""
    assert holm_levels([0.2, 0.001, 0.01]) == pytest.approx([0.05, 0.05 / 3, 0.05 / 2])


def test_runs_that_share_their_images_load_them_once(runs, monkeypatch):
    loaded = []
    load = compare.__globals__["load_own_splits"]
    monkeypatch.setitem(
        compare.__globals__, "load_own_splits", lambda run: loaded.append(run) or load(run)
    )
    compare(runs)
    assert len(loaded) == 1


def test_the_paragraph_says_undecided_and_never_equal(finished_run, train_tiny):
    """What is not significant is no evidence of equality; what is names the better run."""
    other = train_tiny(seed=1)
    assert "no evidence that they are equally good" in compare([finished_run, other]).explanation()
    weak = train_tiny(l2_lambda=100.0, learning_rate=1e-9)
    both = compare([weak, finished_run])
    assert ("So B is better" in both.explanation()) == both.pairs[0].is_significant
    several = compare([finished_run, other, weak]).explanation()
    assert "of 3 pairs differ" in several
    assert "is undecided." in several
