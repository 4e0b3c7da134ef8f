"""Commands that prove: `check-gradients` and `replay`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.options import debug_option
from mnistlin.cli.terminal import bar, echo, stop_request

if TYPE_CHECKING:
    from mnistlin.analysis.replay import Replay

EXIT_DIFFERS = 5


@click.command("check-gradients")
@click.option(
    "--config",
    default="quickstart",
    show_default=True,
    metavar="FILE|NAME",
    help="Whose data is used.",
)
@debug_option
@click.pass_context
def check_gradients(ctx: click.Context, config: str) -> None:
    """Compare the analytic gradients with numeric ones, for both heads and several λ.

    Exits with 1 if they differ by more than 1e-7 of the largest derivative.

    \b
    Example:
      mnistlin check-gradients
    """
    from mnistlin.analysis.gradients import check_gradients
    from mnistlin.config import load_config

    echo("head      l2_lambda  weights  relative_error  loss_at_zero  expected  verdict")
    checks = []
    for check in check_gradients(load_config(config).data):
        checks.append(check)
        echo(
            f"{check.head:<8}  {check.l2_lambda:>9g}  {check.n_coordinates:>7}  "
            f"{check.relative_error:>14.2e}  {check.loss_at_zero:>12.9f}  "
            f"{check.expected_loss_at_zero:>8.6f}  {'ok' if check.passed else 'WRONG'}"
        )
    ctx.exit(0 if all(check.passed for check in checks) else 1)


@click.command()
@click.argument("run_dir", metavar="RUN_DIR")
@click.option("-q", "--quiet", is_flag=True, help="No bar.")
@debug_option
@click.pass_context
def replay(ctx: click.Context, run_dir: str, quiet: bool) -> None:
    """Train a finished run again by its own config, and compare the two bit by bit.

    Exits with 5 if metrics.csv, steps.csv or the weights differ, and tells where they first do and
    what changed since: versions, BLAS, processor, code, data. Nothing is written. Of a member of a
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
        ctx.exit(request.exit_code)
    for line in _replay_lines(result):
        echo(line)
    echo(f"run: {run.path}")
    ctx.exit(0 if result.is_identical else EXIT_DIFFERS)


def _replay_lines(result: "Replay") -> Iterator[str]:
    """Yield what there is to say of a replay."""
    if result.is_identical:
        yield "replay: identical"
        return
    yield "replay: differs"
    yield f"differs: {', '.join(result.differing)}"
    if (first := result.first) is not None:
        yield (
            f"first_difference: step {first.step}, {first.column} in {first.file}: "
            f"{first.before} in the run, {first.now} now"
        )
    yield f"largest_weight_difference: {result.largest_weight_difference:.3g}"
    for key, (before, now) in result.changed.items():
        yield f"changed: {key} was {_shown(before)}, is {_shown(now)}"
    if not result.changed:
        yield "changed: nothing that run.json tells of; was a file of the run edited?"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


COMMANDS = (check_gradients, replay)
