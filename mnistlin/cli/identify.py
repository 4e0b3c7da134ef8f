"""`mnistlin identify`: find the protocol that reproduces published numbers."""

from typing import Any

import click

from mnistlin.cli.completion import DATASET
from mnistlin.cli.options import debug_option
from mnistlin.cli.show import json_option, show
from mnistlin.cli.terminal import bar, fetch_data


class _Number(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.2
    """A number, kept as it was typed: with all its decimals."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from mnistlin.analysis.published import TypedNumber
        from mnistlin.errors import ConfigError

        try:
            TypedNumber.parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return value


@click.command()
@click.option("--stop-epoch", type=click.IntRange(min=0), help="Epoch of the stop, from 0.")
@click.option("--stop-step", type=click.IntRange(min=0), help="Step of the stop, from 0.")
@click.option("--train-accuracy", type=_Number(), help="Training accuracy at the last check.")
@click.option("--val-accuracy", type=_Number(), help="Validation accuracy at the last check.")
@click.option("--val-loss", type=_Number(), help="Validation loss at the last check, in nats.")
@click.option(
    "--model",
    type=click.Choice(["logistic", "softmax"]),
    default="logistic",
    show_default=True,
    help="Model that the numbers are about.",
)
@click.option(
    "--dataset",
    type=DATASET,
    default="mnist",
    show_default=True,
    metavar="NAME|DIR",
    help="Data to train on.",
)
@json_option
@debug_option
def identify(*, model: str, dataset: str, as_json: bool, **numbers: Any) -> None:
    """Find the protocol that reproduces published numbers.

    Trains the protocols of all years of the assignment once (rows, order, shuffling, scaling, seeds
    0 and 1), which takes a minute or two, and keeps their histories in the cache. Then applies all
    early-stopping rules to them. Accuracies above 1 are percentages. Type the numbers with the
    decimals that were published.

    \b
    Examples:
      mnistlin identify --stop-epoch 16 --val-accuracy 97.6
      mnistlin identify --model softmax --train-accuracy 92.3 --val-accuracy 91.6
    """
    from mnistlin.analysis.identify import identify as identify_numbers
    from mnistlin.analysis.protocols import grid

    fetch_data(dataset, quiet=as_json)
    with bar(len(grid(model, dataset)), "protocol", quiet=as_json) as progress:
        found = identify_numbers(model, dataset, on_trained=progress.update, **numbers)
    show(found, as_json=as_json)


COMMANDS = (identify,)
