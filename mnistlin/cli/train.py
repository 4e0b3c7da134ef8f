"""What moves while a command works: bars on a terminal, and signals that ask it to stop.

Commands that train: `train`.
"""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.options import TrainingOptions, config_option, training_options
from mnistlin.errors import ConfigError

if TYPE_CHECKING:
    from tqdm import tqdm

    from mnistlin.config import ExperimentConfig
    from mnistlin.data.splits import SplitLoader, Splits
    from mnistlin.experiment import Progress
    from mnistlin.runs.folder import Run


@contextmanager
def bar(total: int | None, unit: str, *, quiet: bool, **options: Any) -> "Iterator[tqdm[Any]]":
    """Show a bar on standard error while inside, if that is a terminal and nobody wants quiet."""
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty()
    with tqdm(total=total, unit=unit, disable=hidden, dynamic_ncols=True, **options) as shown:
        yield shown


@contextmanager
def download_bar(dataset: str, *, quiet: bool) -> "Iterator[tqdm[Any]]":
    """Show a bar of bytes while inside, once anything is downloaded."""
    with bar(0, "B", quiet=quiet, desc=f"fetching {dataset}", unit_scale=True, delay=0.3) as shown:
        yield shown


def fetch_data(dataset: str, *, quiet: bool) -> "SplitLoader":
    """Find a dataset, with a bar if it must be downloaded; return a loader that has found it."""
    from mnistlin.data.splits import SplitLoader

    with download_bar(dataset, quiet=quiet) as shown:
        loader = SplitLoader(shown)
        loader.locate(dataset)
    return loader


def show_epoch(shown: "tqdm[Any]", progress: "Progress") -> None:
    """Move a bar of epochs."""
    shown.update(progress.epoch + 1 - shown.n)
    shown.set_postfix_str(f"val_accuracy={progress.check.val_accuracy:.4f}")


class StopRequest:
    """Whether Ctrl-C or SIGTERM has asked to stop; a second one ends the process at once.

    Attributes
    ----------
    signal : int, optional
        The signal that came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """As the shell has it: 128 and the number of the signal."""
        return 128 + self.signal if self.signal else 0

    def _take(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
        click.echo("\nstopping after this epoch; once more to end at once", err=True)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM as requests to stop while inside."""
    request = StopRequest()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, request._take) for number in numbers]  # noqa: SLF001
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


EXIT_DIVERGED = 4


@click.command()
@config_option()
@click.option("--resume", metavar="RUN_DIR", help="Go on with an unfinished run.")
@click.option("--print-config", is_flag=True, help="Show the resolved config; do not run it.")
@training_options
@click.pass_context
def train(
    ctx: click.Context,
    configs: tuple[str, ...],
    resume: str | None,
    print_config: bool,
    options: TrainingOptions,
) -> None:
    """Run one experiment and write its run folder.

    Ctrl-C ends it after the current epoch, with everything written. A run that was interrupted,
    killed or failed goes on from its last checkpoint with --resume.

    \b
    Examples:
      mnistlin train --config quickstart
      mnistlin train --config softmax --set training.l2_lambda=0.01 --seed 1
      mnistlin train --resume runs/20260114T093012Z_softmax
    """
    from mnistlin.config import dump_yaml, editor_line

    experiment = _config_of(resume, configs, options) if resume else _config_from(configs, options)
    if print_config:
        click.echo(f"{editor_line()}\n{dump_yaml(experiment.model_dump(mode='json'))}", nl=False)
        return
    data = fetch_data(experiment.data.dataset, quiet=options.quiet).load(experiment.data)
    with stop_request() as request:
        run = _train_with_bar(experiment, resume, data, options, request)
    _warn_of_changes(run, options)
    if options.with_plots and run.status in {"finished", "early_stopped"}:
        options.draw_with_warning("run", lambda: _draw(run))
    _print_result(run, as_json=options.as_json)
    ctx.exit(_exit_code(run, request))


def _config_from(configs: tuple[str, ...], options: TrainingOptions) -> "ExperimentConfig":
    """Load the config of a new run."""
    if not configs:
        raise click.UsageError(
            "Missing option '--config', such as --config quickstart (or --resume RUN_DIR)."
        )
    experiment = options.load(configs)
    if experiment.sweep is not None:
        raise ConfigError(
            f"{' + '.join(configs)}: the key 'sweep' describes many runs; run it with `mnistlin "
            f"sweep-lambda {' '.join(f'--config {each}' for each in configs)}`, or remove the key"
        )
    return experiment


def _config_of(
    run_dir: str, configs: tuple[str, ...], options: TrainingOptions
) -> "ExperimentConfig":
    """Return the config of a run that is to be resumed."""
    from mnistlin.runs.folder import load_run
    from mnistlin.runs.provenance import check_is_unfinished

    if configs or options.overrides:
        raise click.UsageError(
            "--resume goes on with the run's own config; leave out --config, --set, --seed, --name."
        )
    run = load_run(run_dir)
    check_is_unfinished(run)
    return run.config


def _warn_of_changes(run: "Run", options: TrainingOptions) -> None:
    """Say what may be why a run that was resumed has other bits than an unbroken one."""
    for resumption in run.info.resumed[-1:]:
        for key, (before, now) in resumption.changed.items():
            options.log(
                f"warning: {key} was {before} when the run began and {now} when it was resumed; "
                "its numbers may differ in the last bits from those of an unbroken run"
            )


def _draw(run: "Run") -> None:
    from mnistlin.figures import draw_run

    draw_run(run, run.path / "plots")


def _train_with_bar(
    experiment: "ExperimentConfig",
    resume: str | None,
    data: "Splits",
    options: TrainingOptions,
    request: StopRequest,
) -> "Run":
    from mnistlin.experiment import resume_experiment, run_experiment

    with bar(
        experiment.training.epochs, "epoch", quiet=options.quiet, desc=experiment.name
    ) as shown:

        def on_epoch(progress: "Progress") -> bool:
            show_epoch(shown, progress)
            return request.signal is not None

        if resume:
            return resume_experiment(resume, on_epoch, data=data)
        return run_experiment(experiment, options.runs_dir, on_epoch, data=data)


def _print_result(run: "Run", *, as_json: bool) -> None:
    if as_json:
        result = {"run": str(run.path), "status": run.status, "warnings": run.info.warnings}
        click.echo(json.dumps(result | dict(run.summary)))
        return
    for key, value in _result_lines(run).items():
        click.echo(f"{key}: {value}")
    for warning in run.info.warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"run: {run.path}")


def _result_lines(run: "Run") -> dict[str, Any]:
    """Return what is worth saying of a run; numbers that the summary lacks are left out."""
    summary = run.summary
    shown = {
        "resumed_from_epoch": run.info.resumed[-1].epoch if run.info.resumed else None,
        "stop_step": summary["stop_step"],
        "stop_epoch": summary["stop_epoch"],
        "train_loss": summary["last_train_loss"],
        "train_accuracy": summary["last_train_accuracy"],
        "val_loss": summary["last_val_loss"],
        "val_accuracy": summary["last_val_accuracy"],
        "best_val_loss": summary["best_val_loss"],
        "best_step": summary["best_step"],
        "test_loss": summary.get("test_loss"),
        "test_accuracy": summary.get("test_accuracy"),
        "train_seconds": summary["train_seconds"],
    }
    rounded = {
        key: f"{value:.6g}" if isinstance(value, float) else value
        for key, value in shown.items()
        if value is not None
    }
    return {"status": run.status, **rounded}


def _exit_code(run: "Run", request: StopRequest) -> int:
    if run.status == "diverged":
        from mnistlin.analysis.own_data import likely_cause_of_divergence

        cause = likely_cause_of_divergence(run.config)
        click.echo(f"error: training diverged; {cause}", err=True)
        return EXIT_DIVERGED
    return request.exit_code if run.status == "interrupted" else 0


COMMANDS = (train,)
