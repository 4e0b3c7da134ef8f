"""The heads that tests are about: all, those with cross entropy, and one that has no probabilities.

What is true of cross entropy alone is tested with the heads that have it.
"""

import numpy as np
import pytest

from mnistlin.model.heads import HEADS, CrossEntropy, Head


class Hinge(Head):
    """The hinge loss of each class against the others: a head that has nothing of cross entropy."""

    name = "hinge"
    title = "linear support vector machine"
    loss_title = "hinge loss"

    def losses(self, Z, Y):
        return np.maximum(1 - (2 * Y - 1) * Z, 0).sum(axis=-2)

    def residual(self, Z, Y):
        sign = 2 * Y - 1
        return np.where(sign * Z < 1, -sign, 0)

    def loss_at_zero(self, n_classes):
        return float(n_classes)

    def curvature_of_outputs(self, Z):
        return np.zeros_like(Z)

    def curvature_times(self, Z, U):  # noqa: ARG002
        return np.zeros_like(U)

    def max_curvature(self, Z):
        return np.zeros_like(Z[..., 0, :])


def of(*heads):
    """Return the mark that has a test run for each of some heads."""
    return pytest.mark.parametrize("head", heads, ids=[head.name for head in heads])


HINGE = Hinge()
CROSS_ENTROPY = [head for head in HEADS.values() if isinstance(head, CrossEntropy)]
all_heads = of(*HEADS.values(), HINGE)
cross_entropy_heads = of(*CROSS_ENTROPY)
