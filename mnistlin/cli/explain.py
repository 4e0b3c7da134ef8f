"""Commands that explain what a run did: `explain optimum`, `dips` and `early-stopping`."""

import math
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.options import WholeList
from mnistlin.cli.show import Output, load_with_data, output_options, weights_option

if TYPE_CHECKING:
    from mnistlin.analysis.dips import Dips, HardBatches
    from mnistlin.analysis.evaluate import WeightsName
    from mnistlin.analysis.optimum import Optimum, Standing


@click.group()
def explain() -> None:
    """Explain what a run did, with a number, a figure and a paragraph."""


@explain.command()
@click.argument("run_dir", metavar="RUN_DIR")
@weights_option
@output_options
def optimum(run_dir: str, weights: "WeightsName", output: Output) -> None:
    """Compute the minimum of the run's objective, and how far the run is from it.

    The objective is convex, so it has one lowest value. It is found on the run's own training set
    and λ, in float64, until the norm of the gradient is below 1e-6. Without penalty there may be
    none; weights that classify every training image rightly are then the proof.

    \b
    Example:
      mnistlin explain optimum runs/20260114T093012Z_softmax
    """
    from mnistlin.analysis.optimum import find_optimum, optimum_figure
    from mnistlin.analysis.words import about_optimum
    from mnistlin.runs.writer import write_weights

    run = load_with_data(run_dir, output)
    with output.passes("searching for the minimum") as on_pass:
        found, name = find_optimum(run, weights, on_pass), f"optimum-{weights}"
    files = [
        output.draw(optimum_figure(found), run.path, name),
        write_weights(output.tables_in(run.path), name, found=found.found.place.weights),
    ]
    output.print(_optimum_values(found), files, explanation=about_optimum(found))


def _optimum_values(optimum: "Optimum") -> dict[str, Any]:
    other = "minimum" if optimum.outcome == "minimum" else "found"
    standings = {"run": optimum.of_run, other: optimum.found}
    values = {
        "run": str(optimum.run.path),
        "weights": optimum.weights,
        "outcome": optimum.outcome,
        "l2_lambda": optimum.l2_lambda,
        "n_train": optimum.objective.samples.n_samples,
        "iterations": optimum.n_iterations,
        **{
            f"{key}_{whose}": value
            for key in _standing_values(optimum.found)
            for whose, standing in standings.items()
            for value in [_standing_values(standing)[key]]
        },
        "gap": optimum.gap,
    }
    if optimum.certainty is not None:
        values["minimum_error_below"] = optimum.certainty
    note = "exact for a penalised bias: fit_intercept=False and a column of ones"
    return values | optimum.translations | {"note": note}


def _standing_values(standing: "Standing") -> dict[str, float]:
    return {
        "objective": standing.place.value,
        "gradient_norm": standing.place.gradient_norm,
        "train_accuracy": standing.train_accuracy,
        "val_accuracy": standing.val_accuracy,
        "weight_norm": standing.weight_norm,
    }


@explain.command()
@click.argument("run_dir", metavar="RUN_DIR")
@output_options
def dips(run_dir: str, output: Output) -> None:
    """Say why validation accuracy dips again and again in a run without shuffle.

    One period of the dips is predicted from the config, another measured in metrics.csv; with them
    come the batches that are hard in every epoch, and what is in them.

    \b
    Example:
      mnistlin explain dips runs/20260114T093012Z_binary
    """
    from mnistlin.analysis.dips import dips_figure, explain_dips
    from mnistlin.analysis.words import about_dips

    run = load_with_data(run_dir, output)
    found = explain_dips(run)
    files = [output.draw(dips_figure(run, found), run.path, "dips")]
    tables = {"hardest_batches": _batch_rows(found.hard)} if found.hard else {}
    values = {"run": str(run.path), **_dips_values(found)}
    output.print(values, files, tables, about_dips(found))


def _dips_values(dips: "Dips") -> dict[str, Any]:
    return {
        "steps_per_epoch": dips.predicted.steps_per_epoch,
        "check_every": dips.predicted.check_every,
        "predicted_period": dips.predicted.period,
        "measured_period": dips.measured.period,
        "correlation": dips.measured.highest_correlation,
        "agree": dips.agree,
        "deepest_dips": dips.measured.deepest_dips().tolist(),
        "positions_of_dips": dips.dip_positions,
    }


def _batch_rows(hard: "HardBatches") -> list[dict[str, Any]]:
    labels = [f"n_{label}" for label in hard.train.classes]
    return [
        {
            "position": batch.position,
            "mean_loss": batch.mean_loss,
            **dict(zip(labels, batch.counts.tolist(), strict=True)),
        }
        for batch in hard.batches
    ]


def _finite(_: click.Context, __: click.Parameter, values: tuple[float, ...]) -> tuple[float, ...]:
    for value in values:
        if not 0 <= value < math.inf:
            raise click.BadParameter(f"{value} is not a number from 0 on, in nats")
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
    help="By how much, in nats, a check must be better to count; may be given several times.",
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
