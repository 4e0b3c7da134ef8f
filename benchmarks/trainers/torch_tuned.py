"""PyTorch, tuned: what the same library can do when the code is shaped by measurements.

All λ are one wide matrix, the inputs of an epoch are gathered once, steps write into tensors that
are there already and use one thread, and all checks of an epoch are evaluated as one product,
with all threads.
"""

import time

import torch

from benchmarks.workloads import Result, Workload


@torch.inference_mode()
def train(workload: Workload) -> Result:
    """Train all models of a workload at once."""
    X, y, X_val, y_val = map(torch.from_numpy, workload.arrays("float32"))
    how, logistic = workload.config.training, workload.config.model == "logistic"
    L, K = len(workload.l2_lambdas), workload.n_outputs
    n, n_features, threads = how.batch_size, X.shape[1], torch.get_num_threads()
    W = torch.zeros(n_features, L * K)
    keeps = 1 - 2 * how.learning_rate * torch.tensor(workload.l2_lambdas).repeat_interleave(K)
    has_decay = any(workload.l2_lambdas)
    Y = y[:, None].float() if logistic else torch.nn.functional.one_hot(y, K).float()
    steps = workload.setup.schedule.steps_per_epoch
    X_epoch, Y_epoch = torch.empty(steps * n, n_features), torch.empty(steps * n, K)
    Z = torch.empty(n, L * K)
    batch_losses = torch.empty(how.epochs * steps, L)

    def losses(Z, Y):
        """Return the losses of (n, ..., K) logits, given (n, 1, K) targets."""
        if logistic:
            return torch.nn.functional.softplus(Z[..., 0]) - Z[..., 0] * Y[..., 0]
        return torch.logsumexp(Z, -1) - torch.linalg.vecdot(Z, Y)

    def score(X, Y, weights):
        """Return loss and accuracy for each of some weights, which stand side by side."""
        Z = (X @ torch.cat(weights, 1)).view(len(X), -1, K)
        Y = Y[:, None]
        right = (Z[..., 0] >= 0) == (Y[..., 0] > 0) if logistic else Z.argmax(-1) == Y.argmax(-1)
        return losses(Z, Y).mean(0), right.float().mean(0)

    Y_val = y_val[:, None].float() if logistic else torch.nn.functional.one_hot(y_val, K).float()
    started = time.perf_counter()
    for epoch in range(how.epochs):
        order = torch.from_numpy(workload.batches(epoch).ravel())
        torch.index_select(X, 0, order, out=X_epoch)
        torch.index_select(Y, 0, order, out=Y_epoch)
        weights = []
        torch.set_num_threads(1)
        for i in range(steps):
            X_b, Y_b = X_epoch[i * n : (i + 1) * n], Y_epoch[i * n : (i + 1) * n, None]
            torch.mm(X_b, W, out=Z)
            stacked = Z.view(n, L, K)
            torch.mean(losses(stacked, Y_b), 0, out=batch_losses[epoch * steps + i])
            P = torch.sigmoid_(stacked) if logistic else torch.softmax(stacked, -1)
            P -= Y_b
            if has_decay:
                W *= keeps
            W.addmm_(X_b.T, P.view(n, L * K), alpha=-how.learning_rate / n)
            if workload.has_check(epoch * steps + i):
                weights.append(W.clone())
        torch.set_num_threads(threads)
        if weights:
            rows = score(X, Y, weights), score(X_val, Y_val, weights)
    (_, train_accuracy), (_, val_accuracy) = rows
    return Result(time.perf_counter() - started, float(train_accuracy[-1]), float(val_accuracy[-1]))
