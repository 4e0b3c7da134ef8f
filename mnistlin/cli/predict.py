"""`predict` and `play`: predictions of a run for images outside its dataset."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlin.cli.completion import FILE
from mnistlin.cli.options import debug_option
from mnistlin.cli.run_dirs import TRAINED_RUN, TRAINED_RUN_OR_SWEEP
from mnistlin.cli.show import Output, json_option, output_options, weights_option
from mnistlin.cli.terminal import echo, echo_value, fetch_data, log

if TYPE_CHECKING:
    from mnistlin.runs.classifier import WeightsName


@click.command()
@click.argument("run_dir", type=TRAINED_RUN, metavar="RUN_DIR")
@click.argument("images", type=FILE, nargs=-1, required=True, metavar="IMAGE...")
@weights_option
@click.option(
    "--invert/--no-invert",
    default=None,
    help="The digit is darker (or lighter) than its paper.  [default: decided for each image]",
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
    converted to the form of Fashion-MNIST's images if the run was trained on these, otherwise of
    MNIST's; the figure shows what the model saw.

    \b
    Examples:
      mnistlin predict runs/20260114T093012Z_softmax digit.png
      mnistlin predict runs/20260114T093012Z_softmax photos/*.jpg --json
    """
    from mnistlin.analysis.predict import predict as predict_images
    from mnistlin.runs.folder import load_run

    output.show(predict_images(load_run(run_dir), images, weights, invert=invert))


@click.command()
@click.argument("run_dir", type=TRAINED_RUN_OR_SWEEP, metavar="RUN_DIR|SWEEP_DIR")
@weights_option
@click.option("--seed", type=int, help="Seed of the runs of a sweep.  [default: the first]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for play.html.  [default: that of the run or sweep]",
)
@json_option
@debug_option
def play(
    run_dir: str, weights: "WeightsName", seed: int | None, out: Path | None, *, as_json: bool
) -> None:
    """Write a page on which you draw digits and see the model's answer.

    play.html needs no other file and no network. For a sweep it has all λ, with a slider.

    \b
    Examples:
      mnistlin play runs/20260114T093012Z_softmax
      mnistlin play runs/20260114T093512Z_sweep-lambda_softmax --seed 1
    """
    from mnistlin.report.play import members_by_lambda, write_play_page
    from mnistlin.runs.folder import load_run
    from mnistlin.runs.scan import is_sweep
    from mnistlin.runs.sweep_folder import load_sweep

    if is_sweep(Path(run_dir)):
        runs = members_by_lambda(load_sweep(run_dir), seed)
    elif seed is None:
        runs = [load_run(run_dir)]
    else:
        raise click.UsageError(f"--seed chooses among the runs of a sweep; {run_dir} is none")
    recorded = runs[0].info.data.recorded_folder
    fetch_data(runs[0].config.data.dataset, quiet=as_json, recorded=recorded)
    page = write_play_page(runs, weights, out)
    if page.n_left_out:
        log(f"warning: {page.n_left_out} λ are left out to keep the page small")
    lambdas = [run.config.training.l2_lambda for run in page.runs]
    if as_json:
        echo(json.dumps({"l2_lambdas": lambdas, "page": str(page.path)}))
        return
    echo_value("l2_lambdas", ", ".join(f"{value:g}" for value in lambdas))
    echo_value("page", page.path)


COMMANDS = (predict, play)
