"""What one writes first: float64, row-major, the whole set in one product at each check."""

import time

import numpy as np

from benchmarks.workloads import Result, Workload


def train(workload: Workload) -> Result:
    """Train the models of a workload one after another."""
    arrays = workload.arrays("float64")
    started = time.perf_counter()
    for l2_lambda in workload.l2_lambdas:
        rows, _ = train_one(workload, *arrays, l2_lambda)
    return Result(time.perf_counter() - started, rows[-1][1], rows[-1][3])


def train_one(workload, X, y, X_val, y_val, l2_lambda):
    """Return rows of train_loss, train_accuracy, val_loss, val_accuracy; and the batch losses."""
    how, logistic = workload.config.training, workload.config.model == "logistic"
    W = np.zeros((X.shape[1], workload.n_outputs))
    rows, batch_losses = [], []

    def predict(Z):
        if logistic:
            p = 1 / (1 + np.exp(-Z))
            return np.hstack([1 - p, p])
        E = np.exp(Z - Z.max(axis=1, keepdims=True))
        return E / E.sum(axis=1, keepdims=True)

    def score(X, y):
        P = predict(X @ W)
        return -np.log(P[np.arange(len(y)), y]).mean(), (P.argmax(axis=1) == y).mean()

    for epoch in range(how.epochs):
        for step, b in enumerate(
            workload.batches(epoch), epoch * workload.setup.schedule.steps_per_epoch
        ):
            P, target = predict(X[b] @ W), y[b]
            batch_losses.append(-np.log(P[np.arange(len(b)), target]).mean())
            P[np.arange(len(b)), target] -= 1
            residual = P[:, 1:] if logistic else P
            W -= how.learning_rate * (X[b].T @ residual / len(b) + 2 * l2_lambda * W)
            if workload.has_check(step):
                rows.append((*score(X, y), *score(X_val, y_val)))
    return rows, batch_losses
