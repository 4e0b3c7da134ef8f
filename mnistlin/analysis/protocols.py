"""The protocols that `identify` knows, and where each may stop: trained once, then cached.

A protocol is an experiment config in float64 and without a penalty. The grid takes its rows,
learning rates and batch sizes from the shipped configs and combines them with each scaling, order
and seed, so a new shipped config extends it.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from mnistlin._version import __version__
from mnistlin.analysis.stopping_rules import StoppingRule, all_have_stopped, stops
from mnistlin.config import ExperimentConfig, load_config, shipped_configs
from mnistlin.data.download import cache_folder
from mnistlin.data.locate import content_hash
from mnistlin.data.splits import SplitLoader
from mnistlin.errors import RunError
from mnistlin.experiment import setup_for
from mnistlin.runs.arrays import npz_bytes, read_npz
from mnistlin.runs.files import write_bytes
from mnistlin.sweep.workers import Configs, processes
from mnistlin.training.evaluation import Evaluator
from mnistlin.training.segments import MemberState
from mnistlin.training.sgd import Stack

if TYPE_CHECKING:
    from mnistlin.model.products import Floats

SEEDS = (0, 1)
SCALINGS = ("symmetric", "unit", "standard")

LENGTHS = (50, 500)
"""Epochs after which trainings without early stopping end, as far as MAX_EPOCHS allows."""

MAX_EPOCHS: Mapping[str, int] = {"logistic": 250, "softmax": 50}
"""Maximum number of epochs of a protocol, within which early-stopping rules may end it."""

OVER_FITTED = "binary"
"""The shipped config whose rows are trained for 500 epochs too, as in part 2d of the report."""

_EPOCHS_AT_ONCE = 25
"""Epochs whose checks are evaluated together."""

OnTrained = Callable[[int], object]
"""Called with the number of protocols that were just trained."""


class Ending(NamedTuple):
    """Where a training may end, and its numbers at the last check; accuracies are exact."""

    rule: StoppingRule | None
    """None if it ends with its last epoch."""
    step: int
    epoch: int
    train_accuracy: Fraction
    val_accuracy: Fraction
    val_loss: float


Trained: TypeAlias = tuple[ExperimentConfig, list[Ending]]


@cache  # the command asks for the grid, and its answers for the shipped configs, again
def shipped_protocols(model: str, dataset: str) -> dict[str, ExperimentConfig]:
    """Return the shipped configs of a model that train without a penalty on a dataset, by name."""
    configs = {name: load_config(name) for name in shipped_configs()}
    return {
        name: config
        for name, config in configs.items()
        if config.model == model
        and config.data.dataset == dataset
        and config.sweep is None
        and config.training.l2_lambda == 0
    }


@cache
def grid(model: str, dataset: str) -> list[ExperimentConfig]:
    """Return the protocols of a model, each once, in float64 and without early stopping.

    Their `training.epochs` is the longest that any answer needs.
    """
    found: dict[str, ExperimentConfig] = {}
    for shipped in shipped_protocols(model, dataset).values():
        for scaling, (shuffle, order, seed) in product(SCALINGS, _orders()):
            is_random = shuffle or "sample" in (shipped.data.train_rows, shipped.data.val_rows)
            settings = {
                "name": "protocol",
                "data.scaling": scaling,
                "training.shuffle": shuffle,
                "training.order": order if is_random else "legacy",
                "training.seed": seed if is_random else 0,
                "training.dtype": "float64",
                "training.epochs": MAX_EPOCHS[model],
                "early_stopping": None,
            }
            config = load_config(shipped, settings)
            found.setdefault(config.model_dump_json(), config)
    return sorted(found.values(), key=lambda config: config.data.model_dump_json())


def _orders() -> Iterator[tuple[bool, str, int]]:
    return product((False, True), ("legacy", "independent"), SEEDS)


def _lengths(config: ExperimentConfig) -> list[int]:
    """Return after how many epochs a training without early stopping may end."""
    is_long = config.data == load_config(OVER_FITTED, {"data.dataset": config.data.dataset}).data
    return [each for each in LENGTHS if each <= config.training.epochs or is_long]


def all_endings(model: str, dataset: str, on_trained: OnTrained | None = None) -> list[Trained]:
    """Return where each protocol of the grid may end, from the cache or by training.

    Raises
    ------
    DataError
        If the dataset is missing or damaged.
    RunError
        If processes cannot be started.
    """
    configs = grid(model, dataset)
    path = cache_folder("identify") / f"{_fingerprint(configs, dataset)}.npz"
    found = _read(path)
    if len(found) != len(configs):
        found = _train_all(configs, on_trained)
        _write(path, found)
    return list(zip(configs, found, strict=True))


def _fingerprint(configs: Sequence[ExperimentConfig], dataset: str) -> str:
    """Return a hash of everything that determines the endings: version, protocols, data files."""
    digest = hashlib.sha256(f"{__version__} {LENGTHS}".encode())
    for config in configs:
        digest.update(config.model_dump_json().encode())
    digest.update(content_hash(dataset).encode())
    return digest.hexdigest()


def _train_all(
    configs: Sequence[ExperimentConfig], on_trained: OnTrained | None
) -> list[list[Ending]]:
    """Train in one process per core; neighbours share their data."""
    found: dict[int, list[Ending]] = {}
    with processes(min(os.cpu_count() or 1, len(configs)), _endings) as workers:
        for ended in workers.results([(config,) for config in configs]):
            found |= {i: result.result() for i, result in ended.items()}
            if on_trained is not None:
                on_trained(len(ended))
    return [found[i] for i in range(len(configs))]


_loader = SplitLoader()


def _endings(configs: Configs) -> list[Ending]:
    """Train one protocol, and return where it may end.

    Its validation loss is evaluated at all checks, and the rest only where training may end, since
    evaluation takes most of the time.
    """
    (config,) = configs
    splits = _loader.load(config.data, training=config.training)
    lengths = _lengths(config)
    longest = max(config.training.epochs, *lengths)
    # One epoch more than is trained, so that no check is there only because it is the last.
    setup = setup_for([load_config(config, {"training.epochs": longest + 1})], splits)
    start, schedule = MemberState.at_zero(setup.weights_shape, "float64"), setup.schedule
    members = Stack(setup, start)
    validation = Evaluator((splits.val,), setup.head, "float64", 0, keep_blocks=True)
    steps: list[int] = []
    losses: list[float] = []
    weights: list[Floats] = []
    weights_after: dict[int, Floats] = {}
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as pool:
        for first in range(0, longest, _EPOCHS_AT_ONCE):
            epochs = range(first, first + _EPOCHS_AT_ONCE)
            recording = members.train(epochs)
            weights_after[epochs.stop] = recording.weights[0]
            if epochs.stop <= config.training.epochs:
                steps += schedule.checks(schedule.steps(epochs))
                weights += list(recording.snapshots[:, 0])
                losses += validation.start(recording.snapshots[:, 0], pool)().loss[0].tolist()
            epoch = np.array(steps) // schedule.steps_per_epoch
            if epochs.stop >= max(lengths) and all_have_stopped(epoch, np.array(losses)):
                break
        ends = {len(steps) + i: None for i in range(len(lengths))}
        rules = stops(epoch, np.array(losses)) | ends
        steps += [n_epochs * schedule.steps_per_epoch - 1 for n_epochs in lengths]
        weights += [weights_after[n_epochs] for n_epochs in lengths]
        both = Evaluator((splits.train, splits.val), setup.head, "float64", 0, keep_blocks=False)
        score = both.start(np.stack([weights[i] for i in rules]), pool)()
    return [
        Ending(
            rule,
            steps[i],
            steps[i] // schedule.steps_per_epoch,
            Fraction(round(train_accuracy * splits.train.n_samples), splits.train.n_samples),
            Fraction(round(val_accuracy * splits.val.n_samples), splits.val.n_samples),
            val_loss,
        )
        for (i, rule), train_accuracy, val_accuracy, val_loss in zip(
            rules.items(), *score.accuracy.tolist(), score.loss[1].tolist(), strict=True
        )
        if math.isfinite(val_loss)
    ]


def _read(path: Path) -> list[list[Ending]]:
    """Return the endings in a file; none if it is missing or damaged."""
    try:
        n_protocols, n_rows = read_npz(path, {"shape": (2,)})["shape"].tolist()
        rows = read_npz(path, {"rows": (n_rows, _N_COLUMNS)})["rows"]
    except RunError:
        return []
    found: list[list[Ending]] = [[] for _ in range(n_protocols)]
    for protocol, *row in rows.tolist():
        found[int(protocol)].append(_of_row(*row))
    return found


def _write(path: Path, found: Sequence[Sequence[Ending]]) -> None:
    """Cache endings for the next question, which takes longer if that fails."""
    rows = [(i, *_row(ending)) for i, endings in enumerate(found) for ending in endings]
    shape = np.array([len(found), len(rows)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, npz_bytes(shape=shape, rows=np.array(rows, dtype=np.float64)))
    except (OSError, RunError):
        pass


def _row(ending: Ending) -> tuple[float, ...]:
    """Return an ending as numbers; float64 holds whole numbers exactly."""
    rule = ending.rule or StoppingRule(0)
    return (
        rule.patience,
        rule.min_delta,
        rule.unit == "epochs",
        rule.in_checks or 0,
        ending.step,
        ending.epoch,
        *ending.train_accuracy.as_integer_ratio(),
        *ending.val_accuracy.as_integer_ratio(),
        ending.val_loss,
    )


_N_COLUMNS = 12


def _of_row(*row: float) -> Ending:
    patience, _, by_epoch, in_checks, *whole = map(int, row[:10])
    step, epoch, *accuracies = whole
    unit: Literal["checks", "epochs"] = "epochs" if by_epoch else "checks"
    rule = StoppingRule(patience, row[1], unit, in_checks or None) if patience else None
    train_accuracy, val_accuracy = Fraction(*accuracies[:2]), Fraction(*accuracies[2:])
    return Ending(rule, step, epoch, train_accuracy, val_accuracy, row[-1])
