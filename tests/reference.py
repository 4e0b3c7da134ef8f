"""Mini-batch gradient descent as in a textbook: the reference for the package's trainer.

It shares no code and no trick with the package: inputs are scaled first, samples are rows, all is
float64, and every check evaluates both whole sets at once.
"""

import numpy as np
from scipy.special import log_softmax, softmax


def train_plainly(train, val, n_outputs, how, l2_lambda, stopping=None):
    """Train on (pixels, class indices); return rows of steps.csv, of metrics.csv, and weights."""
    (X, y), (X_val, y_val) = ((_inputs(pixels), targets) for pixels, targets in (train, val))
    n_steps_epoch = len(X) // how.batch_size
    check_every = max(1, n_steps_epoch // how.checks_per_epoch)
    W, steps, metrics, weights, best, waited = (
        np.zeros((X.shape[1], n_outputs)),
        [],
        [],
        [],
        1e99,
        0,
    )
    for step in range(how.epochs * n_steps_epoch):
        epoch, i = divmod(step, n_steps_epoch)
        rng = np.random.default_rng([how.seed, epoch])
        order = rng.permutation(len(X)) if how.shuffle else np.arange(len(X))
        b = order[i * how.batch_size : (i + 1) * how.batch_size]
        steps.append((step, epoch, _loss_and_accuracy(X[b] @ W, y[b])[0]))
        d = (
            softmax(_of_all_classes(X[b] @ W), axis=1)[:, :n_outputs]
            - np.eye(256)[y[b], :n_outputs]
        )
        W = W - how.learning_rate * (X[b].T @ d / len(b) + 2 * l2_lambda * W)
        if step % check_every == 0 or step == how.epochs * n_steps_epoch - 1:
            row = (*_loss_and_accuracy(X @ W, y), *_loss_and_accuracy(X_val @ W, y_val))
            is_better = row[2] < best - (stopping.min_delta if stopping else 0)
            best, waited = (row[2], 0) if is_better else (best, waited + 1)
            square = (W**2).sum()
            metrics.append((step, epoch, *row, l2_lambda * square, square**0.5, waited))
            weights.append(W)
            if stopping and waited == stopping.patience:
                break
    return np.array(steps), np.array(metrics), weights


def _inputs(pixels):
    return np.hstack([pixels / 127.5 - 1, np.ones((len(pixels), 1))])


def _of_all_classes(Z):
    """Add a logit of 0 for the second class, which makes a logistic model a softmax of two."""
    return Z if Z.shape[1] > 1 else np.hstack([Z, np.zeros_like(Z)])


def _loss_and_accuracy(Z, y):
    log_y = log_softmax(_of_all_classes(Z), axis=1)
    return -log_y[np.arange(len(y)), y].mean(), (log_y.argmax(axis=1) == y).mean()
