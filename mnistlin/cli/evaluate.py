"""Commands that judge models by their predictions: `evaluate` and `compare`."""

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.options import runs_dir_option
from mnistlin.cli.show import (
    Output,
    load_with_data,
    output_options,
    split_option,
    weights_option,
)
from mnistlin.cli.terminal import fetch_data

if TYPE_CHECKING:
    from mnistlin.analysis.compare import Comparison, Pair
    from mnistlin.analysis.evaluate import Evaluation, WeightsName


@click.command()
@click.argument("run_dir", metavar="RUN_DIR")
@weights_option
@split_option
@click.option("--dataset", metavar="NAME|DIR", help="Other data than the run's own.")
@output_options
def evaluate(
    run_dir: str, weights: "WeightsName", split_name: str, dataset: str | None, output: Output
) -> None:
    """Say how good a run is on a set of images: accuracy, each class, and its worst mistakes.

    Its own data is loaded again and must be the same as it was. Of other data, whose images and
    labels must fit, all rows are used; val and test are then the same.

    \b
    Examples:
      mnistlin evaluate runs/20260114T093012Z_softmax
      mnistlin evaluate runs/20260114T093012Z_softmax --weights best --dataset fashion-mnist
    """
    from mnistlin.analysis.evaluate import evaluate as evaluate_run
    from mnistlin.analysis.evaluate import evaluation_confusion_figure, mistakes_figure
    from mnistlin.runs.writer import write_table

    run = load_with_data(run_dir, output)
    if dataset is not None:
        fetch_data(dataset, quiet=output.as_json)
    found = evaluate_run(run, weights, split_name, dataset)
    name, tables = _evaluation_name(split_name, weights, dataset), output.tables_in(run.path)
    scores = [vars(score) for score in found.class_scores()]
    files = [
        output.draw(mistakes_figure(found), run.path, f"{name}_mistakes"),
        output.draw(evaluation_confusion_figure(found), run.path, f"{name}_confusion"),
        write_table(tables, f"{name}_confusion", _confusion_rows(found)),
        write_table(tables, f"{name}_classes", scores),
    ]
    output.print(_evaluation_values(found), files, {"classes": scores})


def _evaluation_name(split_name: str, weights: str, dataset: str | None) -> str:
    """Return the stem of all files of an evaluation."""
    data = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(dataset).name) if dataset else ""
    return "-".join(filter(None, ["evaluation", data, split_name, weights]))


def _evaluation_values(found: "Evaluation") -> dict[str, Any]:
    values = {
        "run": str(found.run.path),
        "weights": found.weights,
        "dataset": found.dataset,
        "split": found.split_name,
        "n_samples": found.split.n_samples,
        "loss": found.loss,
        "accuracy": found.accuracy,
        "accuracy_interval": found.accuracy_interval,
    }
    return values | ({"doubt": found.doubt} if found.doubt else {})


def _confusion_rows(found: "Evaluation") -> list[dict[str, Any]]:
    labels = found.split.classes
    counts = zip(labels, found.confusion.tolist(), strict=True)
    return [
        {"true": label, **dict(zip(map(str, labels), row, strict=True))} for label, row in counts
    ]


@click.command()
@click.argument("run_dirs", nargs=-1, required=True, metavar="RUN_DIR...")
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
    """Say whether runs differ in accuracy by more than chance, image by image.

    All must have been judged on the same images. Figures and tables go to a new folder beside the
    runs. With more than two runs each is compared with each, and p-values are corrected for their
    number (Holm).

    \b
    Example:
      mnistlin compare runs/20260114T093012Z_binary runs/20260114T093512Z_binary-shuffled
    """
    from mnistlin.analysis.compare import compare as compare_runs
    from mnistlin.analysis.compare import pair_figure, pairs_figure
    from mnistlin.runs.folder import make_folder
    from mnistlin.runs.writer import write_table

    runs = [load_with_data(run_dir, output) for run_dir in run_dirs]
    found = compare_runs(runs, weights, split_name)
    home = output.out or make_folder(runs_dir, "comparison")
    if len(found.pairs) == 1:
        figure, values, tables = pair_figure(found.pairs[0]), _pair_values(found.pairs[0]), {}
    else:
        figure, values, tables = pairs_figure(found), _shared_values(found), _tables(found)
    files = [
        replace(output, out=home).draw(figure, home, "comparison"),
        write_table(home, "pairs", [*map(_pair_row, found.pairs)]),
    ]
    output.print(values, files, tables)


def _shared_values(found: "Comparison") -> dict[str, Any]:
    first = found.evaluations[0]
    values = {
        "weights": first.weights,
        "split": first.split_name,
        "n_samples": first.split.n_samples,
    }
    return values | ({"doubt": first.doubt} if first.doubt else {})


def _pair_values(pair: "Pair") -> dict[str, Any]:
    from mnistlin.analysis.words import about_pair

    differing = [f"{key} {a} / {b}" for key, (a, b) in pair.config_differences.items()]
    counts = pair.counts
    values = {
        "a": str(pair.a.run.path),
        "b": str(pair.b.run.path),
        "differs": differing or ["no config key"],
        "weights": pair.a.weights,
        "split": pair.a.split_name,
        "n_samples": counts.n,
        "accuracy_a": pair.a.accuracy,
        "accuracy_a_interval": pair.a.accuracy_interval,
        "accuracy_b": pair.b.accuracy,
        "accuracy_b_interval": pair.b.accuracy_interval,
        "only_a_right": counts.only_a,
        "only_b_right": counts.only_b,
        "difference": counts.difference,
        "difference_interval": counts.interval,
        "p_value": pair.p_value,
        "smallest_gap": counts.smallest_gap,
        "can_resolve": about_pair(pair),
    }
    return values | ({"doubt": pair.a.doubt} if pair.a.doubt else {})


def _pair_row(pair: "Pair") -> dict[str, Any]:
    counts, (low, high) = pair.counts, pair.counts.interval
    return {
        "a": pair.a.run.path.name,
        "b": pair.b.run.path.name,
        "only_a_right": counts.only_a,
        "only_b_right": counts.only_b,
        "difference": counts.difference,
        "low": low,
        "high": high,
        "p_value": pair.p_value,
        "smallest_gap": counts.smallest_gap,
    }


def _tables(found: "Comparison") -> dict[str, list[dict[str, Any]]]:
    """Return a row a run and a row a pair; pairs call the runs by letters, as the figure does."""
    runs = [
        {
            "name": name,
            "accuracy": each.accuracy,
            "low": each.accuracy_interval[0],
            "high": each.accuracy_interval[1],
            "run": each.run.path.name,
        }
        for name, each in zip(found.names, found.evaluations, strict=True)
    ]
    pairs = [
        {**_pair_row(pair), "a": a, "b": b}
        for (a, b), pair in zip(combinations(found.names, 2), found.pairs, strict=True)
    ]
    return {"runs": runs, "pairs": pairs}


COMMANDS = (evaluate, compare)
