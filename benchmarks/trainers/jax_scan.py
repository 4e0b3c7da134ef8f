"""JAX: the whole run is one jitted scan over steps, vmapped over λ; float32.

`train` is timed with its compilation, as a user meets it; `train_again` is a second call.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.workloads import Result, Workload


def train(workload: Workload) -> Result:
    """Train all models of a workload at once, compilation included."""
    return _timed(_prepare(workload))


def train_again(workload: Workload) -> Result:
    """Train all models of a workload at once, with what an earlier call compiled."""
    prepared = _prepare(workload)
    _timed(prepared)
    return _timed(prepared)


def _timed(prepared) -> Result:
    run, arguments = prepared
    started = time.perf_counter()
    _, checks = jax.block_until_ready(run(*arguments))
    seconds = time.perf_counter() - started
    last = np.asarray(checks)[-1, -1]  # of the last λ, after the last step
    return Result(seconds, float(last[1]), float(last[3]))


def _prepare(workload: Workload):
    X, y, X_val, y_val = map(jnp.asarray, workload.arrays("float32"))
    how, logistic = workload.config.training, workload.config.model == "logistic"
    K = workload.n_outputs
    batches = np.concatenate([workload.batches(epoch) for epoch in range(how.epochs)])
    checked = np.array([workload.has_check(step) for step in range(len(batches))])

    def losses(Z, y):
        if logistic:
            return jax.nn.softplus(Z[:, 0]) - Z[:, 0] * y
        return jax.nn.logsumexp(Z, 1) - jnp.take_along_axis(Z, y[:, None], 1)[:, 0]

    def score(W, X, y):
        Z = X @ W
        named = (Z[:, 0] >= 0) if logistic else Z.argmax(1)
        return losses(Z, y).mean(), (named == y).mean()

    def run_one(l2_lambda, X, y, X_val, y_val, batches, checked):
        Y = y[:, None].astype("float32") if logistic else jax.nn.one_hot(y, K)

        def step(W, batch_and_check):
            b, is_checked = batch_and_check
            X_b = X[b]
            Z = X_b @ W
            P = jax.nn.sigmoid(Z) if logistic else jax.nn.softmax(Z)
            gradient = X_b.T @ (P - Y[b]) / len(b) + 2 * l2_lambda * W
            loss = losses(Z, y[b]).mean()
            W = W - how.learning_rate * gradient
            figures = jax.lax.cond(
                is_checked,
                lambda: jnp.stack([*score(W, X, y), *score(W, X_val, y_val)]),
                lambda: jnp.zeros(4),
            )
            return W, (loss, figures)

        return jax.lax.scan(step, jnp.zeros((X.shape[1], K)), (batches, checked))[1]

    run = jax.jit(jax.vmap(run_one, in_axes=(0, *[None] * 6)))
    lambdas = jnp.asarray(workload.l2_lambdas)
    return run, (lambdas, X, y, X_val, y_val, jnp.asarray(batches), jnp.asarray(checked))
