"""Commands that explain what a run or a sweep did."""

import math
from typing import TYPE_CHECKING

import click

from mnistlin.cli.options import Group, WholeList
from mnistlin.cli.run_dirs import SWEEP, TRAINED_RUN
from mnistlin.cli.show import Output, load_with_data, output_options, weights_option
from mnistlin.cli.terminal import fetch_data

if TYPE_CHECKING:
    from mnistlin.runs.classifier import WeightsName


@click.group(cls=Group)
def explain() -> None:
    """Explain a run with numbers, a figure and a paragraph."""


@explain.command()
@click.argument("run_dir", type=TRAINED_RUN, metavar="RUN_DIR")
@weights_option
@output_options
def optimum(run_dir: str, weights: "WeightsName", output: Output) -> None:
    """Compare a run with the minimum of its objective.

    The objective is convex, so it has one lowest value. It is computed for the run's own training
    set and λ, in float64, until the norm of the gradient is below 1e-6. Without a penalty there may
    be no minimum; weights that classify every training image correctly prove that.

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
@click.argument("run_dir", type=TRAINED_RUN, metavar="RUN_DIR")
@output_options
def dips(run_dir: str, output: Output) -> None:
    """Find what makes validation accuracy dip regularly without shuffling.

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
@click.argument("run_dir", type=TRAINED_RUN, metavar="RUN_DIR")
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
    """Apply other early-stopping rules to a run, and show what each would have cost.

    Rules are applied to the checks in metrics.csv, so the run should be long and without early
    stopping. The cost, or regret, is the validation loss of the weights that a rule keeps, minus
    the lowest of the whole run.

    \b
    Example:
      mnistlin explain early-stopping runs/20260114T093012Z_binary --patience 1-50
    """
    from mnistlin.analysis.early_stopping import explain_early_stopping
    from mnistlin.runs.folder import load_run

    output.show(explain_early_stopping(load_run(run_dir), sorted(set(patiences)), min_deltas))


@explain.command()
@click.argument("run_dir", type=TRAINED_RUN, metavar="RUN_DIR")
@output_options
def stability(run_dir: str, output: Output) -> None:
    """Find out whether the loss of a run fluctuates because of overshoot or of batch noise.

    The learning rate is compared with the limit set by the sharpness, the largest eigenvalue of the
    Hessian, at the last weights and at the minimum. Then 300 more steps are taken from the last
    weights, once with the run's batches and once with the full training set as one batch.

    \b
    Example:
      mnistlin explain stability runs/20260114T093012Z_binary-shuffled
    """
    from mnistlin.analysis.stability import explain_stability

    run = load_with_data(run_dir, output)
    with output.passes("testing the learning rate") as on_pass:
        result = explain_stability(run, on_pass)
    output.show(result)


@explain.command("lambda")
@click.argument("sweep_dir", type=SWEEP, metavar="SWEEP_DIR")
@output_options
def lambda_path(sweep_dir: str, output: Output) -> None:
    """Compare what training reached with the exact minimum, for each λ of a sweep.

    The minimum shows what λ does; its difference from the trained model shows what training does.
    Both are tested on the same validation images, with p-values corrected for the number of λ
    (Holm).

    \b
    Example:
      mnistlin explain lambda runs/20260114T093512Z_sweep-lambda_softmax
    """
    from mnistlin.analysis.lambda_path import explain_lambda
    from mnistlin.runs.sweep_folder import load_sweep

    sweep = load_sweep(sweep_dir)
    fetch_data(sweep.config.data.dataset, quiet=output.as_json)
    with output.passes("searching for the minima") as on_pass:
        result = explain_lambda(sweep, on_pass)
    output.show(result)


COMMANDS = (explain,)
