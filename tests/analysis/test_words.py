"""The paragraphs say what was found, and draw no other conclusion."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.compare import Pair, compare
from mnistlin.analysis.optimum import find_optimum
from mnistlin.analysis.statistics import PairedCounts
from mnistlin.analysis.words import about_optimum, about_pair


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        (PairedCounts(8000, 700, 500, 800), "yes: with 12.0% judged differently, 10,000 images"),
        (PairedCounts(1990, 1, 2, 49), "no: with 0.1% judged differently, 2,042 images"),
        (PairedCounts(1974, 25, 9, 34), "only just: "),
        (PairedCounts(0, 3, 0, 0), "no: 3 images are too few for any gap"),
    ],
)
def test_whether_the_images_resolve_a_gap(train_tiny, counts, verdict):
    """Significant and resolved, neither, the one without the other, and hopeless."""
    (pair,) = compare([train_tiny(epochs=1)] * 2).pairs
    words = about_pair(Pair(pair.a, pair.b, counts, counts.p_value))
    assert words.startswith(verdict)


def test_a_run_worse_than_its_minimum_is_not_excused_by_its_penalty(train_tiny):
    """If the difference is more than chance, its steps are to blame; otherwise λ."""
    optimum = find_optimum(train_tiny(l2_lambda=0.5))
    right = np.ones(100, dtype=bool)
    wrong = right.copy()
    wrong[:50] = False

    def with_rights(found, of_run):
        return replace(
            optimum,
            found=replace(optimum.found, val_is_right=found),
            of_run=replace(optimum.of_run, val_is_right=of_run),
        )

    assert "its steps are to blame" in about_optimum(with_rights(right, wrong))
    assert "λ itself is to blame" in about_optimum(with_rights(right, right))
    assert "λ itself is to blame" in about_optimum(with_rights(wrong, right))
