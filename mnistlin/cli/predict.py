"""`predict` and `play`: what a run makes of images that are not in its data set."""

from typing import TYPE_CHECKING

import click

from mnistlin.cli.show import Output, output_options, weights_option

if TYPE_CHECKING:
    from mnistlin.runs.classifier import WeightsName


@click.command()
@click.argument("run_dir", metavar="RUN_DIR")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@weights_option
@click.option(
    "--invert/--no-invert",
    default=None,
    help="The digit is darker (or lighter) than its paper. Default: decided for each image.",
)
@output_options
def predict(
    run_dir: str,
    images: tuple[str, ...],
    weights: "WeightsName",
    invert: bool | None,
    output: Output,
) -> None:
    """Classify drawings or photos of digits.

    PNG or JPEG files of any size, of one digit each, dark on light or light on dark. They are
    brought into the form of MNIST's images, and the figure shows what the model saw.

    \b
    Examples:
      mnistlin predict runs/20260114T093012Z_softmax digit.png
      mnistlin predict runs/20260114T093012Z_softmax photos/*.jpg --json
    """
    from mnistlin.analysis.predict import predict as predict_images
    from mnistlin.runs.folder import load_run

    output.show(predict_images(load_run(run_dir), images, weights, invert=invert))


COMMANDS = (predict,)
