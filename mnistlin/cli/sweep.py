"""The commands `sweep` and `sweep-lambda`: their options, progress bar, and printed tables."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.completion import setting_type, sweepable
from mnistlin.cli.options import (
    SETTING,
    ConfigCommand,
    FloatList,
    TrainingOptions,
    WholeList,
    config_option,
    training_options,
)
from mnistlin.cli.run_dirs import UNFINISHED_SWEEP
from mnistlin.cli.terminal import (
    StopRequest,
    bar,
    echo,
    echo_value,
    echo_wrapped,
    fetch_data,
    log,
    stop_request,
    table_width,
    wrapped,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mnistlin.analysis.choice import Criterion, SweepChoice
    from mnistlin.analysis.result import Result
    from mnistlin.config import ExperimentConfig
    from mnistlin.runs.sweep_folder import Sweep
    from mnistlin.sweep import SweepProgress

EXIT_PARTLY_FAILED = 5
DEFAULT_CONFIG = "softmax-lambda-sweep"


def _over(text: str) -> tuple[str, list[Any]]:
    """Parse `KEY=VALUES`: commas and ranges, or a YAML list of values."""
    from mnistlin.config import parse_setting
    from mnistlin.config.schema import is_whole

    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise click.BadParameter(
            f"{text!r}: write it as KEY=VALUES, such as training.learning_rate=0.003:0.1:4log"
        )
    if values.startswith("["):
        return parse_setting(text)
    found: list[Any] = []
    for part in map(str.strip, values.split(",")):
        if part.endswith("log"):
            numbers = _range_of(FloatList(), part)
            found += dict.fromkeys(map(round, numbers)) if is_whole(key) else numbers
        elif is_whole(key) and "-" in part[1:]:
            found += _range_of(WholeList(), part)
        else:
            found.append(parse_setting(f"{key}={part}")[1])
    return key, found


def _range_of(kind: "FloatList | WholeList", part: str) -> list[Any]:
    try:
        return list(kind.values_of(part))
    except ValueError as error:
        raise click.BadParameter(f"{part!r}: {error or f'it is not one of {kind.form}'}") from None


_SWEEP_OPTIONS = (
    click.option("--seeds", type=WholeList(), metavar="LIST", help="Seeds, such as 0-4 or 0,1,7."),
    click.option(
        "--choose-by",
        type=click.Choice(["accuracy", "loss"]),
        default="accuracy",
        show_default=True,
        help="Validation score by which the best setting is chosen.",
    ),
    click.option(
        "--reference",
        type=SETTING,
        multiple=True,
        metavar="KEY=VALUE",
        help="Setting to test all others against.  [default: λ = 0 in a sweep over λ, or the best]",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1, 1024),
        default=1,
        show_default=True,
        metavar="N",
        help="Number of training processes.",
    ),
    click.option(
        "--scheduler", metavar="ADDRESS", help="Train on this Dask cluster: tcp://HOST:PORT."
    ),
    click.option(
        "--resume",
        type=UNFINISHED_SWEEP,
        metavar="DIR",
        help="Train the rest of an unfinished sweep.",
    ),
)


@dataclass(frozen=True)
class SweepOptions:
    """Values of the options shared by all commands that sweep."""

    seeds: list[int] | None = None
    choose_by: "Criterion" = "accuracy"
    reference: tuple[tuple[str, Any], ...] = ()
    jobs: int = 1
    scheduler: str | None = None
    resume: str | None = None


def _sweep_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options of sweeps, as one argument `how: SweepOptions`."""

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        names = [field.name for field in fields(SweepOptions)]
        how = SweepOptions(**{name: given.pop(name) for name in names})
        command(how=how, **given)

    for option in reversed(_SWEEP_OPTIONS):
        with_options = option(with_options)
    return with_options


@click.command(cls=ConfigCommand)
@config_option()
@click.option(
    "--over",
    type=setting_type(_over, sweepable),
    multiple=True,
    metavar="KEY=VALUES",
    help="A key and its values, such as training.learning_rate=0.003:0.1:4log, "
    "training.batch_size=32,128 or data.classes=[[2, 3], [4, 9]]; may be given several times.",
)
@_sweep_options
@training_options
@click.pass_context
def sweep(
    ctx: click.Context,
    *,
    configs: tuple[str, ...],
    over: tuple[tuple[str, list[Any]], ...],
    how: SweepOptions,
    options: TrainingOptions,
) -> None:
    """Train every combination of settings with every seed, and choose among them.

    Models that differ in λ and the learning rate alone train side by side, so that each batch is
    read once. Ctrl-C keeps what is complete; --resume trains the rest.

    \b
    Examples:
      mnistlin sweep --config softmax --over training.learning_rate=0.003:0.1:4log
      mnistlin sweep --config softmax --over data.train_size=500:20000:6log --seeds 0-4
      mnistlin sweep --config learning-rate-sweep --jobs 2
    """
    if not configs and not how.resume:
        raise click.UsageError(
            "Missing option '--config', such as --config softmax (or --resume DIR)."
        )
    changes = {"sweep.over": dict(over), "sweep.l2_lambdas": None} if over else {}
    run(ctx, configs, changes, how, options)


@click.command("sweep-lambda", cls=ConfigCommand)
@config_option(f"A YAML file or a shipped config; several are merged.  [default: {DEFAULT_CONFIG}]")
@click.option(
    "--lambdas",
    type=FloatList(),
    metavar="LIST",
    help="Values of λ, such as 1,0.1,0 or 0,1e-4:1:9log.",
)
@_sweep_options
@training_options
@click.pass_context
def sweep_lambda(
    ctx: click.Context,
    *,
    configs: tuple[str, ...],
    lambdas: list[float] | None,
    how: SweepOptions,
    options: TrainingOptions,
) -> None:
    """Train a model for every λ with every seed, and compare them.

    As `sweep --over training.l2_lambda=LIST`. All λ of a seed train side by side, so that each
    batch is read once. Ctrl-C keeps the seeds that are complete; --resume trains the others.

    \b
    Examples:
      mnistlin sweep-lambda
      mnistlin sweep-lambda --lambdas 0,1e-4:1:9log --seeds 0-4 --jobs 2
      mnistlin sweep-lambda --resume runs/20260114T093512Z_sweep-lambda_softmax
    """
    changes = {} if lambdas is None else {"sweep.l2_lambdas": lambdas, "sweep.over": {}}
    run(ctx, configs or (DEFAULT_CONFIG,) * (not how.resume), changes, how, options)


def run(
    ctx: click.Context,
    configs: Sequence[str],
    changes: Mapping[str, Any],
    how: SweepOptions,
    options: TrainingOptions,
) -> None:
    """Run or resume a sweep, print its results, and exit."""
    if how.scheduler and how.jobs > 1:
        raise click.UsageError("--jobs is for this machine, --scheduler for a cluster; choose one.")
    overrides = _overrides(options.overrides, changes, how.seeds)
    options = replace(options, overrides=overrides)
    unfinished = _sweep_of(how.resume, configs, options) if how.resume else None
    experiment = unfinished.config if unfinished else _config_from(configs, options)
    recorded = unfinished.recorded_folder if unfinished else None
    swept = experiment.sweep.swept if experiment.sweep else {}
    for dataset in swept.get("data.dataset", [experiment.data.dataset]):
        fetch_data(dataset, quiet=options.quiet, recorded=recorded)
    with stop_request() as request:
        found = _sweep_with_bar(experiment, options, request, how)
    if not found.settings.swept:
        _show_seeds(found, options)
        ctx.exit(_exit_code(found, request))
    from mnistlin.analysis.choice import explain_choice

    choice = explain_choice(found, how.choose_by, dict(how.reference) or None)
    _print_result(found, choice, as_json=options.as_json)
    if options.with_plots and any(found.by_setting.values()):  # after the result: it takes seconds
        plots = found.path / "plots"
        options.draw_with_warning(
            "sweep", lambda: draw(choice.sweep, plots, options.file_format, choice=choice)
        )
    if found.status == "interrupted":
        options.log(f"resume with: {found.resume_command}")
    ctx.exit(_exit_code(found, request))


def _show_seeds(sweep: "Sweep", options: TrainingOptions) -> None:
    """Print the results of a sweep over seeds alone."""
    from mnistlin.analysis.seeds import explain_seeds
    from mnistlin.cli.show import show

    spread = explain_seeds(sweep)
    ends = {"status": sweep.status, "run": str(sweep.path)}
    if options.as_json:
        warnings, failures = sweep.warnings, sweep.failures
        found = {**ends, **spread.tables(), "warnings": warnings, "failures": failures}
        echo(json.dumps(found))
    else:
        show(spread, as_json=False)
        for key, value in ends.items():
            echo_value(key, value)
    if options.with_plots and spread.runs:
        plots = sweep.path / "plots"
        options.draw_with_warning("sweep", lambda: draw(sweep, plots, options.file_format))
    if sweep.status == "interrupted":
        options.log(f"resume with: {sweep.resume_command}")


def _overrides(
    overrides: Mapping[str, Any], changes: Mapping[str, Any], seeds: list[int] | None
) -> dict[str, Any]:
    """Return the overrides of a sweep's config, in which --seed is the only one of its seeds."""
    found = {**overrides, **changes}
    if seeds is not None and "training.seed" in found:
        raise click.UsageError(
            "--seed (or --set training.seed) is one seed, --seeds a list of them; choose one."
        )
    if "training.seed" in found:
        found["sweep.seeds"] = [found.pop("training.seed")]
    if seeds is not None:
        found["sweep.seeds"] = seeds
    return found


def _config_from(configs: Sequence[str], options: TrainingOptions) -> "ExperimentConfig":
    """Load the config of a new sweep."""
    from mnistlin.sweep.plan import tasks_of

    experiment = options.load(configs)
    tasks_of(experiment)  # rejects impossible combinations before anything is downloaded
    return experiment


def _sweep_of(sweep_dir: str, configs: Sequence[str], options: TrainingOptions) -> "Sweep":
    """Return a sweep that is to be resumed."""
    from mnistlin.runs.sweep_folder import load_sweep

    if configs or options.overrides:
        raise click.UsageError(
            "--resume uses the sweep's own config; leave out --config, --over, --lambdas, --seeds, "
            "--set, --seed, --name."
        )
    return load_sweep(sweep_dir)


def _sweep_with_bar(
    experiment: "ExperimentConfig",
    options: TrainingOptions,
    request: StopRequest,
    how: SweepOptions,
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

        where: Any = {"jobs": how.jobs, "scheduler": how.scheduler}
        if how.resume:
            return resume_sweep(how.resume, on_progress, **where)
        return run_sweep(experiment, options.runs_dir, on_progress, **where)


def draw(
    sweep: "Sweep", out: "Path", fmt: str = "png", choice: "SweepChoice | None" = None
) -> "list[Path]":
    """Draw the figures of a sweep into a folder; return the files."""
    from mnistlin.analysis.choice import explain_choice
    from mnistlin.analysis.seeds import explain_seeds
    from mnistlin.figures.draw import draw_sweep
    from mnistlin.figures.style import save

    if sweep.by_lambda:
        return draw_sweep(sweep, out, fmt)
    result: Result = choice or (explain_choice if sweep.settings.swept else explain_seeds)(sweep)
    return [save(figure, out, name, fmt) for name, figure in result.figures().items()]


def _print_result(sweep: "Sweep", choice: "SweepChoice", *, as_json: bool) -> None:
    from mnistlin.analysis.sweep_effect import explain_sweep

    ends = {"status": sweep.status, "run": str(sweep.path)}
    if as_json:
        lambdas = [asdict(summary) for summary in explain_sweep(sweep).summaries]
        found = {
            **ends,
            "warnings": sweep.warnings,
            **({"lambdas": lambdas} if lambdas else {}),
            "settings": choice.as_objects(),
            "choice": choice.values(),
            "failures": sweep.failures,
        }
        echo(json.dumps(found))
        return
    lines = explain_sweep(sweep).lines(table_width()) if sweep.by_lambda else _table(choice)
    for line in lines:
        echo_wrapped(line)
    echo(f"\n{wrapped(choice.explanation(), width=80)}\n")
    for warning in sweep.warnings:
        echo_value("warning", warning)
    for key, value in ends.items():
        echo_value(key, value)


def _table(choice: "SweepChoice") -> Iterator[str]:
    """Yield the settings, from best to worst."""
    from mnistlin.runs.tables import fitted

    rows = choice.tables()["settings"]
    yield from fitted([list(rows[0]), *(list(row.values()) for row in rows)], table_width())
    if len(choice.summaries) > len(rows):
        yield f"note: {len(choice.summaries) - len(rows)} more settings are in sweep.csv"
    if len(choice.sweep.settings.seeds) > 1:
        yield "note: a ± b is mean and standard deviation over the seeds"


def _exit_code(sweep: "Sweep", request: StopRequest) -> int:
    if sweep.status == "interrupted":
        return request.exit_code
    for problem in _problems(sweep):
        log(f"error: {problem}")
    return EXIT_PARTLY_FAILED if sweep.status == "partly_failed" else 0


def _problems(sweep: "Sweep") -> Iterator[str]:
    """Yield what went wrong with stacks and members, and what to do about it."""
    from mnistlin.analysis.unstable import likely_cause_of_divergence
    from mnistlin.runs.sweep_folder import DIVERGED

    runs = {run.path.name: run for run in sweep.members.values()}
    for failure in sweep.failures:
        which, error = ", ".join(failure["runs"]), failure["error"]
        if error == DIVERGED:
            yield f"{which}: {error}; {likely_cause_of_divergence(runs[which])}"
        else:
            yield f"{which} failed: {error}; `{sweep.resume_command}` trains them again"


COMMANDS = (sweep, sweep_lambda)
