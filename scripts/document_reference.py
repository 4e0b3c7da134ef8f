"""Write docs/reference.md: keys, commands, files, columns and names, taken from the code.

    python scripts/document_reference.py

A key, column or value without a description here raises KeyError; a description of something that
does not exist any more raises ValueError. A test compares the page with what this script writes.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click

import mnistlin
from mnistlin.cli.app import cli
from mnistlin.config import json_schema, shipped_configs
from mnistlin.figures.draw import RUN_FIGURES
from mnistlin.runs.checkpoint import CHECKPOINT_NAME
from mnistlin.runs.records import ResultFile, RunInfo, Summary, SweepInfo
from mnistlin.runs.sweep_folder import csv_columns
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS
from mnistlin.shipped import purpose

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"

FILES = {
    "config.yaml": "the resolved config, with every key; `train --config` accepts it unchanged",
    "run.json": "status, command, times, versions, machine, data and hashes",
    "metrics.csv": "one row per check, on the full training and validation sets",
    "steps.csv": "one row per step",
    "summary.json": "the last check, the best check, and how training ended",
    "weights.npz": "arrays `last` and `best`, each (n_features + 1, n_outputs), the bias last",
    "confusion.csv": "counts on the validation set with the last weights: true classes are rows, "
    "predicted classes are columns",
    "plots/": f"the figures: {', '.join(f'`{name}`' for name in RUN_FIGURES)}, and those of "
    "questions",
    "analysis/": "the tables and weights of questions (`evaluate`, `explain`)",
    CHECKPOINT_NAME: "only while training is unfinished: the state from which it resumes",
}
SWEEP_FILES = {
    "config.yaml": "the config of the sweep",
    "sweep.json": "as `run.json`, with the choice and the failures",
    "sweep.csv": "one row per member",
    "plots/": "figures of the whole sweep",
    "analysis/": "the tables of `explain lambda`",
    "lambda-0.01_seed-0/": "one run folder per member, named by the swept keys",
}
METRICS = {
    "step": "step after which the check was made, counted from 0",
    "epoch": "its epoch, counted from 0",
    "train_loss": "mean cross entropy on the training set, in nats, without the penalty",
    "train_accuracy": "fraction of the training set that is correctly classified",
    "val_loss": "mean cross entropy on the validation set",
    "val_accuracy": "fraction of the validation set that is correctly classified",
    "l2_penalty": "λ Σ W²",
    "weight_norm": "√(Σ W²), with the bias",
    "checks_without_improvement": "checks in a row since the validation loss last improved",
}
STEPS = {
    "step": "step, counted from 0",
    "epoch": "its epoch, counted from 0",
    "batch_loss": "mean cross entropy of the batch before the update",
}
SUMMARY = {
    "stop_reason": "`finished`, `early_stopped`, `diverged` or `interrupted`",
    "stop_step": "last step that was taken; -1 if there was none",
    "stop_epoch": "its epoch",
    **{f"last_{name}": f"`{name}` of the last check" for name in METRICS},
    **{
        f"best_{name}": f"`{name}` of the check with the lowest validation loss" for name in METRICS
    },
    "test_loss": "with `val_from: train`: cross entropy of the last weights on the test set",
    "test_accuracy": "the same for accuracy",
    "n_train": "number of training images",
    "n_val": "number of validation images",
    "train_seconds": "duration of training, without loading and figures",
}
ORIGIN = {
    "status": "how it ended, or `running`",
    "started_utc": "start, ISO 8601 in milliseconds",
    "ended_utc": "end",
    "warnings": "what limits the results, such as `model selection used the test set`",
    "command": "the command line",
    "mnistlin": "version of the package",
    "git": "commit of the checkout, and whether it was dirty",
    "python": "version of Python",
    "libraries": "versions of the libraries",
    "blas": "the BLAS library, its version and its kernel",
    "cpu": "the processor",
    "platform": "operating system",
    "data": "dataset, folder, classes and their names, image shape, scaling; SHA-256 of images and "
    "labels of each split",
    "config": "the config once more, so that a change of `config.yaml` is noticed",
    "resumed": "each resumption: when, by which command, and what had changed",
}
RUN = {
    "stack": "of a member of a sweep: the models that were trained side by side with it",
    "files": "size and SHA-256 of each result file",
}
SWEEP = {
    "choice": "with `val_from: train`: the chosen member and its score on the test set",
    "unstable": "settings with too large a learning rate to be stable; null if not tested yet",
    "chosen": "the member that was chosen when the sweep had ended; null before that",
    "failures": "members that could not be trained, and why",
}
MEMBER = {
    "l2_lambda": "one column for each swept key, named by its last part",
    "seed": "`training.seed`",
    "weight_norm": "`last_weight_norm` of `summary.json`",
    "status": "how the run ended",
    "run": "name of its folder",
}
ENVIRONMENT = {
    "MNISTLIN_DATA_DIR": "folder with the files of a dataset, or with a folder of each dataset's "
    "name; searched before the cache",
    "MNISTLIN_RUNS_DIR": "parent of the run folders, made and searched there; default `runs`",
    "MNISTLIN_OFFLINE": "if set, nothing is downloaded",
    "OMP_NUM_THREADS": "threads of BLAS; commands set it to 1, unless it is set",
}
EXIT_CODES = {
    "0": "done",
    "1": "a run or check failed",
    "2": "wrong usage or config",
    "3": "data missing or wrong",
    "4": "training diverged",
    "5": "some members of a sweep failed, or a replay differs",
    "130": "ended by Ctrl-C",
    "143": "ended by SIGTERM",
}


def commands(
    group: click.Group = cli, path: str = "mnistlin"
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by the words that call it."""
    for name, command in group.commands.items():
        words = f"{path} {name}"
        is_group = isinstance(command, click.Group)
        if not is_group or command.invoke_without_command:
            yield words, command
        if is_group:
            yield from commands(command, words)


def config_keys(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted key, what is allowed, default, description) for all keys of a config."""
    definitions = schema["$defs"]

    def section(node: Mapping[str, Any]) -> Mapping[str, Any] | None:
        for each in node.get("anyOf", [node]):
            name = each.get("$ref", "").removeprefix("#/$defs/")
            if name:
                return definitions[name]  # type: ignore[no-any-return]
        return None

    def walk(properties: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
        for name, node in properties.items():
            inner = section(node)
            if inner is None:
                default = f"`{_yaml(node['default'])}`" if "default" in node else "required"
                yield f"{prefix}{name}", _allowed(node), default, node["description"]
            else:
                yield from walk(inner["properties"], f"{prefix}{name}.")

    return walk(schema["properties"], "")


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _allowed(node: Mapping[str, Any]) -> str:
    """Return which values a key may have, as text."""
    if "anyOf" in node:
        return " or ".join(_allowed(each) for each in node["anyOf"])
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        return f"list of {_allowed(node['items'])}"
    kind = {"string": "text", "object": "mapping", "null": "`null`"}.get(node["type"], node["type"])
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
    limits = [
        f"{sign} {node[name]:,.12g}" for name, sign in bounds if node.get(name, 2**31) < 2**31 - 1
    ]
    return " ".join([kind, *([", ".join(limits)] if limits else [])])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    lines = [list(heads), ["---"] * len(heads), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def described(head: str, names: Iterable[str], meanings: Mapping[str, str]) -> str:
    """Return a table of names with their meanings; both must have the same names."""
    names = list(names)
    if gone := meanings.keys() - set(names):
        raise ValueError(f"described, but not in the code any more: {', '.join(sorted(gone))}")
    return table([head, "meaning"], [(f"`{name}`", meanings[name]) for name in names])


def _command(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=words)
    paragraphs = inspect.cleandoc(command.help or "").split("\b")[0].strip().split("\n\n")
    text = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    options = [
        (f"`{record[0]}`", record[1])
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context))
        and record[1]
        and "--help" not in record[0]
    ]
    usage = " ".join([words, *command.collect_usage_pieces(context)])
    parts = [
        f"### {words}",
        f"    {usage}",
        text,
        table(["option", "meaning"], options),
    ]
    return "\n\n".join(parts)


def _public(name: str) -> tuple[str, str]:
    first = (getattr(mnistlin, name).__doc__ or "").strip().split("\n\n")[0]
    return f"`{name}`", " ".join(first.split())


def reference() -> str:
    """Return the text of the page."""
    keys = (
        (f"`{key}`", allowed, default, meaning)
        for key, allowed, default, meaning in config_keys(json_schema())
    )
    listed = {*get_args(ResultFile)} - {*FILES}
    if listed:
        raise ValueError(f"files without a description: {', '.join(sorted(listed))}")
    members = csv_columns(["training.l2_lambda"])
    of_members = {name: MEMBER.get(name) or f"`{name}` of `summary.json`" for name in members}
    parts = [
        "# Reference",
        "Written by `scripts/document_reference.py` from the code; a test keeps it current.",
        "## Config keys",
        "Paths are dotted, as in `--set training.epochs=10`; in a file they are nested mappings, "
        "and keys with a default may be left out. `--config` takes a file or the name of a "
        "shipped config and may be repeated: files are merged, the later one wins, and `--set` "
        "overrides them. All problems of a config are reported together. `mnistlin config "
        "schema` prints the JSON Schema with which editors complete and check keys.",
        table(["key", "allowed", "default", "meaning"], keys),
        "## Shipped configs",
        table(
            ["name", "purpose"],
            ((f"`{name}`", purpose(path)) for name, path in shipped_configs().items()),
        ),
        "## A run folder",
        described("file", FILES, FILES),
        "### metrics.csv",
        described("column", METRICS_COLUMNS, METRICS),
        "### steps.csv",
        described("column", STEPS_COLUMNS, STEPS),
        "### summary.json",
        described("key", Summary.model_fields, SUMMARY),
        "### run.json",
        described("key", RunInfo.model_fields, ORIGIN | RUN),
        "### weights.npz",
        "Arrays `last` and `best`, each (n_features + 1, n_outputs), the bias in the last row. "
        "Softmax has one column per class, in the order of `data.classes` in `run.json`; logistic "
        "regression has one column, for the first of its two classes. How to "
        "[predict with them](own-data.md#predict-with-numpy-alone).",
        "### confusion.csv",
        "Column `true`, then one column per predicted class; one row per true class.",
        "## A sweep folder",
        described("file", SWEEP_FILES, SWEEP_FILES),
        "### sweep.csv",
        described("column", members, of_members),
        "### sweep.json",
        described("key", SweepInfo.model_fields, ORIGIN | SWEEP),
        "## Exit codes and environment",
        described("exit code", EXIT_CODES, EXIT_CODES),
        described("variable", ENVIRONMENT, ENVIRONMENT),
        "## Python",
        "How to use them: [python.md](python.md).",
        table(["name", "purpose"], map(_public, mnistlin.__all__)),
        "## Commands",
        "Every command also has `--help`, with examples.",
        *(_command(words, command) for words, command in commands()),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
