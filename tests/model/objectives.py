"""Objectives on small sets of random images."""

import numpy as np

from mnistlin.model.objective import Objective
from mnistlin.model.products import SYMMETRIC, Pixels
from mnistlin.model.samples import Block, Samples


def pixels(n_samples, n_features=6, seed=0):
    """Return random pixels P, (n_samples, n_features + 1), the white one last."""
    P = np.full((n_samples, n_features + 1), 255.0)
    P[:, :-1] = np.random.default_rng(seed).integers(0, 256, (n_samples, n_features))
    return P


def inputs(P):
    """Return pixels as inputs."""
    return Pixels(P, SYMMETRIC)


def samples_of(P, targets, n_classes, block_rows=7, n_helpers=1):
    """Return a set in small blocks of one class, without the pixels that are black in a block."""
    images, n_features = P[:, :-1].astype(np.uint8), P.shape[1] - 1

    def blocks():
        for k in range(n_classes):
            of_class = np.flatnonzero(targets == k)
            for first in range(0, len(of_class), block_rows):
                part = images[of_class[first : first + block_rows]]
                lit = np.flatnonzero(part.any(axis=0))
                yield Block(np.array([k]), part[:, lit], slice(None), np.append(lit, n_features))

    return Samples(list(blocks()), n_features, n_classes, SYMMETRIC, n_helpers)


def objective_of(head, l2_lambda=0.1, n_samples=80, seed=0):
    """Return an objective on random images with random labels, its pixels and its targets."""
    P, n_classes = pixels(n_samples, seed=seed), head.max_classes or 3
    targets = np.random.default_rng(seed + 1).integers(0, n_classes, n_samples)
    P[targets == 0, 2] = 0
    return Objective(head, samples_of(P, targets, n_classes), l2_lambda), P, targets


def zeros(objective):
    """Return weights that are all zero."""
    samples = objective.samples
    return np.zeros((samples.n_features + 1, objective.head.n_outputs(samples.n_classes)))


def random_weights(objective, n_models=(), seed=3):
    """Return random weights, or several of them."""
    shape = (*n_models, *zeros(objective).shape)
    return np.random.default_rng(seed).standard_normal(shape)


def dense_hessian(objective, weights, h=1e-5):
    """Return the second derivative of J by differences of its gradient, (n_weights, n_weights)."""
    rows = []
    for i in range(weights.size):
        nudge = np.zeros(weights.size)
        nudge[i] = h
        nudge = nudge.reshape(weights.shape)
        above, below = (objective.at(weights + sign * nudge).gradient for sign in (1, -1))
        rows.append((above - below).ravel() / (2 * h))
    return np.array(rows)
