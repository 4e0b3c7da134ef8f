"""Commands about the predictions of runs: `evaluate` and `compare`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlin.cli.completion import DATASET
from mnistlin.cli.options import runs_dir_option
from mnistlin.cli.run_dirs import TRAINED_RUN
from mnistlin.cli.show import (
    Output,
    load_with_data,
    output_options,
    split_option,
    weights_option,
)
from mnistlin.cli.terminal import fetch_data, log

if TYPE_CHECKING:
    from mnistlin.runs.classifier import WeightsName


@click.command()
@click.argument("run_dir", type=TRAINED_RUN, metavar="RUN_DIR")
@weights_option
@split_option
@click.option("--dataset", type=DATASET, metavar="NAME|DIR", help="Dataset in place of the run's.")
@output_options
def evaluate(
    run_dir: str, weights: "WeightsName", split_name: str, dataset: str | None, output: Output
) -> None:
    """Evaluate a run on a set of images: accuracy, each class, most confident mistakes.

    The run's own data is loaded again and must be unchanged. All rows of another dataset are used,
    whose images and labels must fit; val and test are then the same.

    \b
    Examples:
      mnistlin evaluate runs/20260114T093012Z_softmax
      mnistlin evaluate runs/20260114T093012Z_softmax --weights best --dataset fashion-mnist
    """
    from mnistlin.analysis.evaluate import evaluate as evaluate_run

    run = load_with_data(run_dir, output)
    if dataset is not None:
        fetch_data(dataset, quiet=output.as_json)
    elif split_name == "test" and run.info.stack is not None:
        log(
            "warning: this run belongs to a sweep; if its setting is chosen by this number, the "
            "number is too optimistic. sweep.json has the test score of the chosen member"
        )
    output.show(evaluate_run(run, weights, split_name, dataset))


@click.command()
@click.argument("run_dirs", type=TRAINED_RUN, nargs=-1, required=True, metavar="RUN_DIR...")
@weights_option
@split_option
@runs_dir_option
@output_options
def compare(
    run_dirs: tuple[str, ...],
    weights: "WeightsName",
    split_name: str,
    runs_dir: Path,
    output: Output,
) -> None:
    """Test whether runs differ in accuracy by more than chance, image by image.

    All must have been evaluated on the same images. Figures and tables go to a new folder in
    --runs-dir, such as runs/20260114T093512Z_comparison. With more than two runs, all pairs are
    compared, and p-values are corrected for their number (Holm).

    \b
    Example:
      mnistlin compare runs/20260114T093012Z_binary runs/20260114T093512Z_binary-shuffled
    """
    from mnistlin.analysis.compare import compare as compare_runs
    from mnistlin.runs.folder import make_folder

    _check_distinct(run_dirs)
    runs = [load_with_data(run_dir, output) for run_dir in run_dirs]
    found = compare_runs(runs, weights, split_name)
    output.show(found, lambda: make_folder(runs_dir, found.stem))


def _check_distinct(run_dirs: tuple[str, ...]) -> None:
    folders = [Path(run_dir).resolve() for run_dir in run_dirs]
    for run_dir, folder in zip(run_dirs, folders, strict=True):
        if folders.count(folder) > 1:
            raise click.UsageError(
                f"{run_dir} is named {folders.count(folder)} times; a run does not differ from "
                "itself, so name each run once."
            )


COMMANDS = (evaluate, compare)
