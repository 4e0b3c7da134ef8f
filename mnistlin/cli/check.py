"""Commands that verify: `check-gradients` and `replay`."""

import click

from mnistlin.cli.options import ConfigCommand, config_option, debug_option
from mnistlin.cli.run_dirs import TRAINED_RUN
from mnistlin.cli.show import json_option, show
from mnistlin.cli.terminal import bar, echo_value, log, stop_request

EXIT_DIFFERS = 5


@click.command("check-gradients", cls=ConfigCommand)
@config_option("Config whose data is used; several are merged.  [default: quickstart]")
@json_option
@debug_option
@click.pass_context
def check_gradients(ctx: click.Context, configs: tuple[str, ...], as_json: bool) -> None:
    """Compare the analytic gradients with numeric ones, for both heads and several λ.

    Exits with 1 if they differ by more than 1e-7 of the largest derivative.

    \b
    Example:
      mnistlin check-gradients
    """
    from mnistlin.analysis.gradients import check_gradients
    from mnistlin.config import load_config

    result = check_gradients(load_config(configs or ["quickstart"]).data)
    show(result, as_json=as_json)
    ctx.exit(0 if result.passed else 1)


@click.command()
@click.argument("run_dir", type=TRAINED_RUN, metavar="RUN_DIR")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
@json_option
@debug_option
@click.pass_context
def replay(ctx: click.Context, run_dir: str, quiet: bool, as_json: bool) -> None:
    """Train a finished run again from its own config, and compare the two bit by bit.

    Exits with 5 if metrics.csv, steps.csv or the weights differ, and shows where they first do and
    what changed since: versions, BLAS, processor, code, data. Nothing is written. For a member of a
    sweep, its whole stack is trained again.

    \b
    Example:
      mnistlin replay runs/20260114T093012Z_binary
    """
    from mnistlin.analysis.replay import replay as replay_run
    from mnistlin.runs.folder import load_run

    run = load_run(run_dir)
    epochs = run.config.training.epochs
    with (
        stop_request() as request,
        bar(epochs, "epoch", quiet=quiet, desc=f"replaying {run.config.name}") as shown,
    ):

        def on_segment(epochs: range) -> bool:
            shown.update(len(epochs))
            return request.signal is not None

        result = replay_run(run, on_segment)
    if result is None:
        log("interrupted; nothing was compared")
        ctx.exit(request.exit_code)
    show(result, as_json=as_json)
    if not as_json:
        echo_value("run", run.path)
    ctx.exit(0 if result.is_identical else EXIT_DIFFERS)


COMMANDS = (check_gradients, replay)
