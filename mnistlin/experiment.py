"""One experiment, from config to run folder: data, training, rows on disk, summary.

Progress is reported to the caller; nothing is printed or drawn.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlin.config import ExperimentConfig, load_config
from mnistlin.data.splits import Splits, load_splits
from mnistlin.model.heads import HEADS, Head
from mnistlin.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mnistlin.runs.files import sole_writer
from mnistlin.runs.folder import Run, load_run, make_folder
from mnistlin.runs.provenance import (
    check_config_is_unchanged,
    check_is_unfinished,
    describe_origin,
    resumed_info,
)
from mnistlin.runs.records import RunInfo, Status
from mnistlin.runs.scan import runs_folder
from mnistlin.runs.writer import RunWriter
from mnistlin.training.evaluation import confusion_counts, predict
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import Check, MemberState, Segment
from mnistlin.training.sgd import train

RISEN = 10
"""A run whose training loss ends at this many times that of zero weights gets a warning."""


@dataclass(frozen=True)
class Progress:
    """The last evaluated epoch, from 0, the maximum number of epochs, and the last check."""

    epoch: int
    epochs: int
    check: Check


OnEpoch = Callable[[Progress], bool | None]


def run_experiment(
    config: ExperimentConfig | str | Path | Sequence[str | Path],
    runs_dir: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    data: Splits | None = None,
) -> Run:
    """Run one experiment and write its run folder.

    Parameters
    ----------
    config : ExperimentConfig, str, Path, or sequence of these
        The experiment, as for `load_config`: a config, a file, the name of a shipped config, or
        several files. Its `sweep` is ignored.
    runs_dir : str or Path, optional
        Parent of the run folder. Default: the environment variable MNISTLIN_RUNS_DIR, or runs.
    on_epoch : callable, optional
        Called for each epoch once it is evaluated. If it returns True, the run ends with that
        epoch's segment, as `interrupted`, and it is not called again. A segment is one epoch with
        early stopping, and otherwise as many as are evaluated together.
    overrides : mapping of str to object, optional
        Settings that override the config, such as `{"training.l2_lambda": 0.01}`.
    data : Splits, optional
        The data of the config, if it is already loaded.

    Returns
    -------
    Run
        The folder, whatever its status: `finished`, `early_stopped`, `interrupted`, `diverged`.

    Raises
    ------
    ConfigError
        If the config does not fit the data.
    DataError
        If the data is missing or wrong.
    RunError
        If the folder cannot be written.
    """
    config = load_config(config, overrides or {})
    splits = data or load_splits(config.data, training=config.training)
    setup = setup_for([config], splits)
    info = RunInfo.of(describe_origin(config, splits))
    path = make_folder(runs_folder(runs_dir), config.name)
    with sole_writer(path):
        start = Checkpoint(0, MemberState.at_zero(setup.weights_shape, config.training.dtype))
        save_checkpoint(path, start)  # so that a run always has one until it ends
        writer = RunWriter(path, config, info)
        _train(writer, setup, splits, start, on_epoch)
    return load_run(path)


def resume_experiment(
    run_dir: str | Path, on_epoch: OnEpoch | None = None, *, data: Splits | None = None
) -> Run:
    """Resume an unfinished run from its checkpoint, bit-identical to an uninterrupted one.

    Parameters
    ----------
    run_dir : str or Path
        The run folder. Rows after the checkpoint are cut off once everything is verified.
    on_epoch, data
        As for `run_experiment`.

    Returns
    -------
    Run
        As `run_experiment` does; its run.json lists under `resumed` each time it was resumed.

    Raises
    ------
    RunError
        If it is not a run folder, has ended, belongs to a sweep, is being written, has no valid
        checkpoint, or its config was changed. Nothing is changed then.
    DataError
        If the data is missing, or is not what the run was started with.
    """
    path = Path(run_dir)
    check_is_unfinished(load_run(path))
    with sole_writer(path):
        run = load_run(path)  # again, since another process may have ended it just now
        check_is_unfinished(run)
        config = run.config
        check_config_is_unchanged(path, run.info, config)
        splits = data or load_splits(config.data, run.info.data.recorded_folder, config.training)
        setup = setup_for([config], splits)
        start = load_checkpoint(path, setup)
        info = resumed_info(path, run.info, describe_origin(config, splits), start.epoch)
        writer = RunWriter(path, config, info, start)
        _train(writer, setup, splits, start, on_epoch)
    return load_run(path)


def setup_for(configs: Sequence[ExperimentConfig], splits: Splits) -> Setup:
    """Return the setup of a stack; ConfigError if the data does not fit.

    The configs of its members may differ in λ and the learning rate alone.
    """
    config = configs[0]
    head, training, stopping = HEADS[config.model], config.training, config.early_stopping
    return Setup(
        splits.train,
        splits.val,
        head,
        training,
        stopping,
        tuple(each.training.l2_lambda for each in configs),
        splits.drawn_from,
        tuple(each.training.learning_rate for each in configs),
    )


def write_results(
    writer: RunWriter,
    splits: Splits,
    end: Segment,
    checks: Sequence[Check],
    train_seconds: float,
) -> None:
    """Write the results of a model whose training ended with this segment, after all its rows."""
    status: Status = end.outcome or "interrupted"
    head = HEADS[writer.config.model]
    predicted = predict(splits.val, end.state.last, head).class_index
    n_classes = len(splits.val.classes)
    if status in {"finished", "early_stopped"}:
        writer.warn(*_about_risen_loss(writer.config, head.loss_at_zero(n_classes), checks[-1]))
    writer.finish(
        status,
        {"last": end.state.last, "best": end.state.best},
        confusion_counts(splits.val.targets, predicted, n_classes),
        splits.val.classes,
        {
            "stop_reason": status,
            "stop_step": end.steps.stop - 1,
            "stop_epoch": (end.steps.stop - 1) // end.steps_per_epoch,
            **_prefixed("last", checks[-1] if checks else None),
            **_prefixed("best", min(checks, key=lambda check: check.val_loss, default=None)),
            **_test_score(splits, end, head),
            "n_train": splits.train.n_samples,
            "n_val": splits.val.n_samples,
            "train_seconds": round(train_seconds, 6),
        },
    )


def _train(
    writer: RunWriter,
    setup: Setup,
    splits: Splits,
    start: Checkpoint,
    on_epoch: OnEpoch | None,
) -> None:
    """Train from a checkpoint to the end, or until the caller asks to stop; write everything."""
    with writer.marks_failure():
        checks = list(start.checks)
        began = saved = time.perf_counter()
        for (segment,) in train(setup, (start.epoch, start.state)):
            writer.append(segment)
            checks += segment.checks
            wants_stop = _report(segment, setup.training.epochs, on_epoch)
            now = time.perf_counter()
            train_seconds = start.train_seconds + now - began
            is_due = wants_stop or now - saved >= setup.training.checkpoint_seconds
            if is_due and segment.outcome is None:
                writer.save(segment.epochs.stop, segment.state, train_seconds)
                saved = time.perf_counter()
            if wants_stop:
                break
        write_results(writer, splits, segment, checks, train_seconds)


def _prefixed(prefix: str, check: Check | None) -> dict[str, Any]:
    """Return a check's values under names such as last_val_loss; None for each without a check."""
    return {f"{prefix}_{name}": getattr(check, name, None) for name in Check._fields}


def _about_risen_loss(config: ExperimentConfig, at_start: float, last: Check) -> Iterator[str]:
    """Yield a warning if training ends with a loss that is far above that of zero weights."""
    if last.train_loss >= RISEN * at_start:
        yield (
            f"training loss rose from {at_start:.3g} at the start to {last.train_loss:.3g}: "
            f"lower training.learning_rate {config.training.learning_rate:g}"
        )


def _test_score(splits: Splits, end: Segment, head: Head) -> dict[str, float]:
    """Return loss and accuracy of the last weights on a test set that no choice depended on."""
    if splits.test is None:
        return {}
    predictions = predict(splits.test, end.state.last, head)
    is_correct = predictions.class_index == splits.test.targets
    return {
        "test_loss": float(predictions.loss.mean()),
        "test_accuracy": float(is_correct.mean()),
    }


def _report(segment: Segment, n_epochs: int, on_epoch: OnEpoch | None) -> bool:
    """Report the epochs of a segment until the caller asks to stop; return whether it did."""
    if on_epoch is None:
        return False
    checks = {check.epoch: check for check in segment.checks}  # the last of each epoch
    trained = [epoch for epoch in segment.epochs if epoch in checks]
    return any(on_epoch(Progress(epoch, n_epochs, checks[epoch])) for epoch in trained)
