"""The command `sweep-lambda`: its options, its progress bar, and the table that it prints."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.options import (
    FloatList,
    TrainingOptions,
    WholeList,
    config_option,
    training_options,
)
from mnistlin.cli.terminal import StopRequest, bar, echo, fetch_data, log, stop_request

if TYPE_CHECKING:
    from mnistlin.analysis.statistics import Mean
    from mnistlin.analysis.sweep_effect import AgainstZero, LambdaSummary
    from mnistlin.config import ExperimentConfig
    from mnistlin.runs.sweep_folder import Sweep
    from mnistlin.sweep import SweepProgress


HEADER = (
    "l2_lambda",
    "runs",
    "last_val_accuracy",
    "best_val_accuracy",
    "weight_norm",
    "stop_epoch",
)
DIFFERENCE_HEADER = ("minus λ = 0", "95 % interval", "p (Holm)", "verdict")


def lines(summaries: "Sequence[LambdaSummary]", n_seeds: int) -> Iterator[str]:
    """Yield a table of all λ, each to be trained with n_seeds seeds, and notes on its numbers."""
    from mnistlin.runs.tables import aligned

    compares = any(summary.difference for summary in summaries)
    header = (*HEADER, *DIFFERENCE_HEADER) if compares else HEADER
    rows = [header, *(_row(summary, n_seeds)[: len(header)] for summary in summaries)]
    yield from aligned(rows)
    yield from _notes(summaries, compares=compares)


def _row(summary: "LambdaSummary", n_seeds: int) -> tuple[str, ...]:
    is_whole = summary.n_seeds == n_seeds
    epochs_differ = summary.stop_epoch and summary.stop_epoch.sd
    return (
        f"{summary.l2_lambda:g}",
        str(n_seeds) if is_whole else f"{summary.n_seeds} of {n_seeds}",
        _mean(summary.last_val_accuracy, ".4f"),
        _mean(summary.best_val_accuracy, ".4f"),
        _mean(summary.weight_norm, ".4f"),
        _mean(summary.stop_epoch, ".1f") if epochs_differ else _epoch(summary.stop_epoch),
        *_difference(summary.difference),
    )


def _mean(value: "Mean | None", fmt: str) -> str:
    if value is None:
        return "-"
    if value.sd is None:
        return f"{value.mean:{fmt}}"
    return f"{value.mean:{fmt}} ± {value.sd:{fmt}}"


def _epoch(value: "Mean | None") -> str:
    """Return the epoch in which all runs stopped."""
    return "-" if value is None else f"{value.mean:g}"


def _difference(value: "AgainstZero | None") -> tuple[str, ...]:
    if value is None:
        return ("-", "-", "-", "-")
    mean = f"{value.mean:+.4f}"
    if value.low is None:
        reason = "one seed" if value.n_pairs == 1 else "the seeds do not differ"
        return (mean, "-", "-", f"{reason}: {value.verdict}")
    return (mean, f"{value.low:+.4f} to {value.high:+.4f}", f"{value.p_value:.2g}", value.verdict)


def _notes(summaries: "Sequence[LambdaSummary]", *, compares: bool) -> Iterator[str]:
    if any(summary.n_seeds > 1 for summary in summaries):
        yield "note: a ± b is mean and standard deviation over the seeds"
    if not compares:
        if sum(summary.n_seeds > 0 for summary in summaries) > 1:
            yield "note: there is no run with λ = 0 to compare with"
        return
    yield (
        "note: minus λ = 0 is val_accuracy, averaged over the last epoch's checks, less that of "
        "λ = 0 with the same seed"
    )
    n_tested = sum(bool(each.difference and each.difference.low is not None) for each in summaries)
    if n_tested:
        yield (
            "note: the t-interval is of each λ alone; p and verdict (at 5 %) are corrected for "
            f"{n_tested} λ (Holm)"
        )
        yield "note: the interval covers the order of batches only; other images are not in it"


EXIT_PARTLY_FAILED = 5
DEFAULT_CONFIG = "softmax-lambda-sweep"


@click.command("sweep-lambda")
@config_option(f"A YAML file or a shipped config; several are merged.  [default: {DEFAULT_CONFIG}]")
@click.option(
    "--lambdas",
    type=FloatList(),
    metavar="LIST",
    help="The λ, such as 1,0.1,0 or 0,1e-4:1:9log.",
)
@click.option("--seeds", type=WholeList(), metavar="LIST", help="The seeds, such as 0-4 or 0,1,7.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes that train.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Train on this Dask cluster: tcp://HOST:PORT.")
@click.option("--resume", metavar="DIR", help="Train the rest of an unfinished sweep.")
@training_options
@click.pass_context
def sweep_lambda(  # noqa: PLR0913 (one for each option)
    ctx: click.Context,
    *,
    configs: tuple[str, ...],
    lambdas: list[float] | None,
    seeds: list[int] | None,
    jobs: int,
    scheduler: str | None,
    resume: str | None,
    options: TrainingOptions,
) -> None:
    """Train a model for every λ with every seed, and compare them.

    All λ of a seed train side by side, so that each batch is read once. Ctrl-C keeps the seeds
    that are complete; --resume trains the others.

    \b
    Examples:
      mnistlin sweep-lambda
      mnistlin sweep-lambda --lambdas 0,1e-4:1:9log --seeds 0-4 --jobs 2
      mnistlin sweep-lambda --resume runs/20260114T093512Z_sweep-lambda_softmax
    """
    from mnistlin.runs.sweep_folder import load_sweep

    if scheduler and jobs > 1:
        raise click.UsageError("--jobs is for this machine, --scheduler for a cluster; choose one.")
    options = replace(options, overrides=_overrides(options.overrides, lambdas, seeds))
    experiment = _config_of(resume, configs, options) if resume else _config_from(configs, options)
    recorded = load_sweep(resume).info.data.recorded_folder if resume else None
    fetch_data(experiment.data.dataset, quiet=options.quiet, recorded=recorded)
    with stop_request() as request:
        sweep = _sweep_with_bar(
            experiment, resume, options, request, jobs=jobs, scheduler=scheduler
        )
    if options.with_plots and any(sweep.by_lambda.values()):
        options.draw_with_warning("sweep", lambda: _draw(sweep))
    _print_result(sweep, as_json=options.as_json)
    if sweep.status == "interrupted":
        options.log(f"resume with: mnistlin sweep-lambda --resume {sweep.path}")
    ctx.exit(_exit_code(sweep, request))


def _overrides(
    overrides: Mapping[str, Any], lambdas: list[float] | None, seeds: list[int] | None
) -> dict[str, Any]:
    """Return the overrides of a sweep's config; for a sweep, a seed is one of its seeds."""
    found = dict(overrides)
    if "training.seed" in found:
        found["sweep.seeds"] = [found.pop("training.seed")]
    if lambdas is not None:
        found["sweep.l2_lambdas"] = lambdas
    if seeds is not None:
        found["sweep.seeds"] = seeds
    return found


def _config_from(configs: tuple[str, ...], options: TrainingOptions) -> "ExperimentConfig":
    """Load the config of a new sweep."""
    from mnistlin.sweep.plan import tasks_of

    experiment = options.load(configs or [DEFAULT_CONFIG])
    tasks_of(experiment)  # refuses a config without λ before anything is downloaded
    return experiment


def _config_of(
    sweep_dir: str, configs: tuple[str, ...], options: TrainingOptions
) -> "ExperimentConfig":
    """Return the config of a sweep that is to be resumed."""
    from mnistlin.runs.sweep_folder import load_sweep

    if configs or options.overrides:
        raise click.UsageError(
            "--resume uses the sweep's own config; leave out --config, --lambdas, --seeds, "
            "--set, --seed, --name."
        )
    return load_sweep(sweep_dir).config


def _sweep_with_bar(  # noqa: PLR0913
    experiment: "ExperimentConfig",
    resume: str | None,
    options: TrainingOptions,
    request: StopRequest,
    *,
    jobs: int,
    scheduler: str | None,
) -> "Sweep":
    from mnistlin.sweep import resume_sweep, run_sweep

    with bar(0, "epoch", quiet=options.quiet, desc=experiment.name) as shown:
        n_warned = 0

        def on_progress(progress: "SweepProgress") -> bool:
            nonlocal n_warned
            for warning in progress.warnings[n_warned:]:
                options.log(f"warning: {warning}")
            n_warned = len(progress.warnings)
            shown.total = progress.epochs
            shown.set_postfix_str(f"stacks={progress.stacks_done}/{progress.stacks}", refresh=False)
            shown.update(progress.epochs_done - shown.n)
            return request.signal is not None

        if resume:
            return resume_sweep(resume, on_progress, jobs=jobs, scheduler=scheduler)
        return run_sweep(experiment, options.runs_dir, on_progress, jobs=jobs, scheduler=scheduler)


def _draw(sweep: "Sweep") -> None:
    from mnistlin.figures.draw import draw_sweep

    draw_sweep(sweep, sweep.path / "plots")


def _print_result(sweep: "Sweep", *, as_json: bool) -> None:
    from mnistlin.analysis.sweep_effect import explain_sweep

    summaries = explain_sweep(sweep).summaries
    ends = {"status": sweep.status, "run": str(sweep.path)}
    if as_json:
        lambdas = [asdict(summary) for summary in summaries]
        found = {
            **ends,
            "warnings": sweep.info.warnings,
            "lambdas": lambdas,
            "failures": sweep.failures,
        }
        echo(json.dumps(found))
        return
    for line in lines(summaries, len(sweep.settings.seeds)):
        echo(line)
    for warning in sweep.info.warnings:
        echo(f"warning: {warning}")
    for key, value in ends.items():
        echo(f"{key}: {value}")


def _exit_code(sweep: "Sweep", request: StopRequest) -> int:
    if sweep.status == "interrupted":
        return request.exit_code
    for problem in _problems(sweep):
        log(f"error: {problem}")
    return EXIT_PARTLY_FAILED if sweep.status == "partly_failed" else 0


def _problems(sweep: "Sweep") -> Iterator[str]:
    """Yield what went wrong with stacks and members, and what to do about it."""
    from mnistlin.analysis.own_data import likely_cause_of_divergence
    from mnistlin.runs.sweep_folder import DIVERGED

    for failure in sweep.failures:
        l2_lambdas, seed, error = failure["l2_lambdas"], failure["seed"], failure["error"]
        which = f"λ = {', '.join(f'{value:g}' for value in l2_lambdas)} with seed {seed}"
        if error == DIVERGED:
            config = sweep.members[l2_lambdas[0], seed].config
            yield f"{which}: {error}; {likely_cause_of_divergence(config)}"
        else:
            yield (
                f"{which} failed: {error}; "
                f"`mnistlin sweep-lambda --resume {sweep.path}` trains them again"
            )


COMMANDS = (sweep_lambda,)
