"""The command `train`."""

import json
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.options import (
    ConfigCommand,
    TrainingOptions,
    WholeList,
    config_option,
    training_options,
)
from mnistlin.cli.run_dirs import UNFINISHED_RUN
from mnistlin.cli.terminal import (
    StopRequest,
    bar,
    echo,
    echo_value,
    fetch_data,
    log,
    show_epoch,
    stop_request,
)
from mnistlin.errors import ConfigError

if TYPE_CHECKING:
    from mnistlin.config import ExperimentConfig
    from mnistlin.data.splits import Splits
    from mnistlin.experiment import Progress
    from mnistlin.runs.folder import Run


EXIT_DIVERGED = 4


@click.command(cls=ConfigCommand)
@config_option()
@click.option("--resume", type=UNFINISHED_RUN, metavar="RUN_DIR", help="Resume an unfinished run.")
@click.option(
    "--seeds",
    type=WholeList(),
    metavar="LIST",
    help="Train once with each of these seeds, such as 0-9: a sweep.",
)
@click.option("--print-config", is_flag=True, help="Show the resolved config; do not run it.")
@training_options
@click.pass_context
def train(  # noqa: PLR0913 (one for each option)
    ctx: click.Context,
    *,
    configs: tuple[str, ...],
    resume: str | None,
    seeds: list[int] | None,
    print_config: bool,
    options: TrainingOptions,
) -> None:
    """Run one experiment and write its run folder.

    Ctrl-C ends it after the current epoch, with everything saved. --resume continues a run that
    was interrupted, killed or failed, from its last checkpoint.

    \b
    Examples:
      mnistlin train --config quickstart
      mnistlin train --config softmax --set training.l2_lambda=0.01 --seed 1
      mnistlin train --config softmax --seeds 0-9
      mnistlin train --resume runs/20260114T093012Z_softmax
    """
    if seeds is not None:
        if resume or print_config:
            raise click.UsageError("--seeds starts a new sweep; leave out the other options.")
        from mnistlin.cli.sweep import SweepOptions
        from mnistlin.cli.sweep import run as run_sweep

        _config_from(configs, options)  # rejects a config with a sweep of its own
        run_sweep(ctx, configs, {}, SweepOptions(seeds=seeds), options)
    from mnistlin.config import dump_yaml, editor_line

    unfinished = _run_of(resume, configs, options) if resume else None
    experiment = unfinished.config if unfinished else _config_from(configs, options)
    if print_config:
        echo(f"{editor_line()}\n{dump_yaml(experiment.model_dump(mode='json'))}", nl=False)
        return
    recorded = unfinished.info.data.recorded_folder if unfinished else None
    loader = fetch_data(experiment.data.dataset, quiet=options.quiet, recorded=recorded)
    data = loader.load(experiment.data, recorded, experiment.training)
    with stop_request() as request:
        run = _train_with_bar(experiment, resume, data, options, request)
    _warn_of_changes(run, options)
    _print_result(run, as_json=options.as_json)
    if options.with_plots and run.status != "diverged":  # after the result: it takes seconds
        del data
        loader.forget_images()  # figures need their memory
        options.draw_with_warning("run", lambda: _draw(run, options))
    if run.status == "interrupted":
        options.log(f"resume with: {run.resume_command}")
    ctx.exit(_exit_code(run, request))


def _config_from(configs: tuple[str, ...], options: TrainingOptions) -> "ExperimentConfig":
    """Load the config of a new run."""
    if not configs:
        raise click.UsageError(
            "Missing option '--config', such as --config quickstart (or --resume RUN_DIR)."
        )
    experiment = options.load(configs)
    if experiment.sweep is not None:
        command = "sweep-lambda" if experiment.sweep.l2_lambdas else "sweep"
        raise ConfigError(
            f"{' + '.join(configs)}: the key 'sweep' describes many runs; run it with `mnistlin "
            f"{command} {' '.join(f'--config {each}' for each in configs)}`, or remove the key"
        )
    return experiment


def _run_of(run_dir: str, configs: tuple[str, ...], options: TrainingOptions) -> "Run":
    """Return a run that is to be resumed."""
    from mnistlin.runs.folder import load_run
    from mnistlin.runs.provenance import check_is_unfinished

    if configs or options.overrides:
        raise click.UsageError(
            "--resume uses the run's own config; leave out --config, --set, --seed, --name."
        )
    run = load_run(run_dir)
    check_is_unfinished(run)
    return run


def _warn_of_changes(run: "Run", options: TrainingOptions) -> None:
    """Warn of changes that may alter the last bits of a resumed run."""
    for resumption in run.info.resumed[-1:]:
        for key, (before, now) in resumption.changed.items():
            options.log(
                f"warning: {key} was {before} when the run began and {now} when it was resumed; "
                "its numbers may differ in the last bits from those of an uninterrupted run"
            )


def _draw(run: "Run", options: TrainingOptions) -> None:
    from mnistlin.figures.draw import draw_run

    draw_run(run, run.path / "plots", options.file_format)


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
        echo(json.dumps(result | dict(run.summary)))
        return
    for key, value in _result_lines(run).items():
        echo_value(key, value)
    for warning in run.info.warnings:
        echo_value("warning", warning)
    echo_value("run", run.path)


def _result_lines(run: "Run") -> dict[str, Any]:
    """Return the main numbers of a run, without those that the summary lacks."""
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
        from mnistlin.analysis.unstable import likely_cause_of_divergence

        cause = likely_cause_of_divergence(run)
        log(f"error: training diverged; {cause}")
        return EXIT_DIVERGED
    return request.exit_code if run.status == "interrupted" else 0


COMMANDS = (train,)
