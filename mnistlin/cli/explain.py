"""Commands that explain a run: `explain optimum`, `dips` and `early-stopping`."""

import math
from typing import TYPE_CHECKING

import click

from mnistlin.cli.options import WholeList
from mnistlin.cli.show import Output, load_with_data, output_options, weights_option

if TYPE_CHECKING:
    from mnistlin.analysis.evaluate import WeightsName


@click.group()
def explain() -> None:
    """Explain a run with numbers, a figure and a paragraph."""


@explain.command()
@click.argument("run_dir", metavar="RUN_DIR")
@weights_option
@output_options
def optimum(run_dir: str, weights: "WeightsName", output: Output) -> None:
    """Compare a run with the minimum of its objective.

    The objective is convex, so it has one lowest value. It is computed on the run's own training
    set and λ, in float64, until the norm of the gradient is below 1e-6. Without penalty there may
    be none; weights that classify every training image correctly are then the proof.

    \b
    Example:
      mnistlin explain optimum runs/20260114T093012Z_softmax
    """
    from mnistlin.analysis.optimum import find_optimum

    run = load_with_data(run_dir, output)
    with output.passes("searching for the minimum") as on_pass:
        found = find_optimum(run, weights, on_pass)
    output.show(found)


@explain.command()
@click.argument("run_dir", metavar="RUN_DIR")
@output_options
def dips(run_dir: str, output: Output) -> None:
    """Find what makes validation accuracy dip again and again without shuffling.

    The period of the dips is predicted from the config and measured in metrics.csv. One more epoch
    in the same order, evaluated after every step, shows which steps lower accuracy.

    \b
    Example:
      mnistlin explain dips runs/20260114T093012Z_binary
    """
    from mnistlin.analysis.dips import explain_dips

    output.show(explain_dips(load_with_data(run_dir, output)))


def _finite(_: click.Context, __: click.Parameter, values: tuple[float, ...]) -> tuple[float, ...]:
    for value in values:
        if not 0 <= value < math.inf:
            raise click.BadParameter(f"{value} is not a finite number of at least 0, in nats")
    return values


@explain.command("early-stopping")
@click.argument("run_dir", metavar="RUN_DIR")
@click.option(
    "--patience",
    "patiences",
    type=WholeList(at_least=1),
    default="1-50",
    show_default=True,
    metavar="LIST",
    help="Patiences in checks, such as 5,10,20 or 1-50.",
)
@click.option(
    "--min-delta",
    "min_deltas",
    type=float,
    multiple=True,
    default=(0.0,),
    show_default=True,
    callback=_finite,
    help="By how much, in nats, a check must improve the loss; may be given several times.",
)
@output_options
def early_stopping(
    run_dir: str, patiences: list[int], min_deltas: tuple[float, ...], output: Output
) -> None:
    """Apply other rules of early stopping to a run, and show what each would have cost.

    Rules are applied to the checks in metrics.csv, so the run should be a long one without early
    stopping. The cost, or regret, is the validation loss of the weights that a rule keeps, minus
    the lowest of the whole run.

    \b
    Example:
      mnistlin explain early-stopping runs/20260114T093012Z_binary --patience 1-50
    """
    from mnistlin.analysis.early_stopping import apply_rules
    from mnistlin.runs.folder import load_run

    output.show(apply_rules(load_run(run_dir), sorted(set(patiences)), min_deltas))


COMMANDS = (explain,)
