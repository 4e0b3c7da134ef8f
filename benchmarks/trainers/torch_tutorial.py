"""PyTorch as its tutorials have it: DataLoader, nn.Linear, autograd, SGD, .item() each step.

Models are trained one after another; the penalty is the optimiser's weight_decay, 2 λ.
"""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.workloads import Result, Workload


def train(workload: Workload) -> Result:
    """Train the models of a workload one after another."""
    X, y, X_val, y_val = map(torch.from_numpy, workload.arrays("float32"))
    sets = TensorDataset(X, y), TensorDataset(X_val, y_val)
    started = time.perf_counter()
    for l2_lambda in workload.l2_lambdas:
        accuracies = _train_one(workload, *sets, l2_lambda)
    return Result(time.perf_counter() - started, *accuracies)


def _train_one(
    workload: Workload, train_set: TensorDataset, val_set: TensorDataset, l2_lambda: float
) -> tuple[float, float]:
    how, n_outputs = workload.config.training, workload.n_outputs
    logistic = workload.config.model == "logistic"
    model = nn.Linear(train_set.tensors[0].shape[1], n_outputs, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=how.learning_rate, weight_decay=2 * l2_lambda
    )
    loader = DataLoader(train_set, how.batch_size, shuffle=how.shuffle, drop_last=True)
    loss_of = _binary_loss if logistic else nn.functional.cross_entropy
    batch_losses, step = [], 0
    for _ in range(how.epochs):
        for X, y in loader:
            loss = loss_of(model(X), y)
            batch_losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if workload.has_check(step):
                scores = [_score(model, each, loss_of, logistic) for each in (train_set, val_set)]
            step += 1
    return scores[0][1], scores[1][1]


def _binary_loss(Z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(Z[:, 0], y.float())


def _score(model: nn.Module, data: TensorDataset, loss_of, logistic: bool) -> tuple[float, float]:
    loss = right = 0.0
    with torch.no_grad():
        for X, y in DataLoader(data, batch_size=1000):
            Z = model(X)
            named = (Z[:, 0] >= 0).long() if logistic else Z.argmax(1)
            loss += loss_of(Z, y).item() * len(y)
            right += (named == y).sum().item()
    return loss / len(data), right / len(data)
