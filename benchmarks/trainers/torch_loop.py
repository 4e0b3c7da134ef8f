"""PyTorch by hand: float32 tensors in memory, all λ at once as one wide matrix.

No DataLoader, no autograd, nothing copied back before the end; torch's own choice of threads.
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
    W = torch.zeros(X.shape[1], L * K)
    decay = 2 * torch.tensor(workload.l2_lambdas).repeat_interleave(K)
    Y = y[:, None].float() if logistic else torch.nn.functional.one_hot(y, K).float()
    # One tensor for all: small ones that live on between large ones that do not fill the memory.
    batch_losses = torch.empty(how.epochs * workload.setup.schedule.steps_per_epoch, L)
    rows = []

    def losses(Z, y):
        Z = Z.view(len(y), L, K)
        if logistic:
            return torch.nn.functional.softplus(Z[..., 0]) - Z[..., 0] * y[:, None]
        return torch.logsumexp(Z, -1) - Z.gather(-1, y.view(-1, 1, 1).expand(-1, L, 1))[..., 0]

    def score(X, y):
        Z = X @ W
        named = (Z >= 0).long() if logistic else Z.view(len(y), L, K).argmax(-1)
        return losses(Z, y).mean(0), (named == y[:, None]).float().mean(0)

    started = time.perf_counter()
    step = 0
    for epoch in range(how.epochs):
        for b in torch.from_numpy(workload.batches(epoch)):
            X_b = X[b]
            Z = X_b @ W
            batch_losses[step] = losses(Z, y[b]).mean(0)
            Z = Z.view(-1, L, K)
            P = torch.sigmoid(Z) if logistic else torch.softmax(Z, -1)
            R = (P - Y[b][:, None]).view(-1, L * K)
            W -= how.learning_rate * (X_b.T @ R / len(b) + decay * W)
            if workload.has_check(step):
                rows.append((score(X, y), score(X_val, y_val)))
            step += 1
    (_, train_accuracy), (_, val_accuracy) = rows[-1]
    return Result(time.perf_counter() - started, float(train_accuracy[-1]), float(val_accuracy[-1]))
