"""Commands for existing runs: `plot`, `runs` and `runs rm`."""

import gc
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlin.cli.completion import Completed
from mnistlin.cli.options import Group, debug_option, figure_options, runs_dir_option
from mnistlin.cli.run_dirs import RUN_OR_SWEEP
from mnistlin.cli.show import json_option
from mnistlin.cli.terminal import echo, echo_value, log

if TYPE_CHECKING:
    from mnistlin.runs.folder import Run
    from mnistlin.runs.listing import Filter


@click.command()
@click.argument("run_dirs", type=RUN_OR_SWEEP, nargs=-1, required=True, metavar="RUN_DIR...")
@figure_options
@click.option("--members", "with_members", is_flag=True, help="Draw the runs of a sweep together.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for figures.")
@runs_dir_option
@debug_option
def plot(
    run_dirs: tuple[str, ...],
    *,
    file_format: str,
    with_members: bool,
    out: Path | None,
    runs_dir: Path,
) -> None:
    """Draw the figures of a run or a sweep again, or overlay several runs.

    The figures of one run or sweep go to its folder plots/; those of several runs to a new folder
    in --runs-dir, such as runs/20260114T093512Z_overlay. Several runs are labelled by the config
    keys in which they differ. Among several folders, sweeps and folders that are not runs are left
    out, with a note.

    \b
    Examples:
      mnistlin plot runs/20260114T093012Z_binary --format pdf --style paper
      mnistlin plot runs/*_binary runs/*_binary-shuffled
      mnistlin plot runs/20260114T093512Z_sweep-lambda_softmax
    """
    for path in _draw(run_dirs, out, runs_dir, file_format, with_members=with_members):
        echo(path)


def _draw(
    run_dirs: tuple[str, ...], out: Path | None, runs_dir: Path, fmt: str, *, with_members: bool
) -> list[Path]:
    """Draw a sweep, a run or several runs; return the files."""
    from mnistlin.cli.sweep import draw as draw_sweep
    from mnistlin.figures.draw import draw_overlay, draw_run
    from mnistlin.runs.folder import make_folder
    from mnistlin.runs.scan import is_sweep
    from mnistlin.runs.sweep_folder import load_sweep

    if len(run_dirs) == 1 and is_sweep(Path(run_dirs[0])) and not with_members:
        sweep = load_sweep(run_dirs[0])
        return draw_sweep(sweep, out or sweep.path / "plots", fmt)
    runs = _distinct(_runs_in(run_dirs, with_members=with_members))
    if len(runs) == 1:
        return draw_run(runs[0], out or runs[0].path / "plots", fmt)
    return draw_overlay(runs, out or make_folder(runs_dir, "overlay"), fmt)


def _runs_in(run_dirs: Sequence[str], *, with_members: bool) -> "list[Run]":
    """Open the runs among several folders, and those in sweeps if wanted; log the others."""
    from mnistlin.errors import RunError
    from mnistlin.runs.folder import load_run
    from mnistlin.runs.scan import is_sweep
    from mnistlin.runs.sweep_folder import load_sweep

    if len(run_dirs) == 1 and not with_members:
        return [load_run(run_dirs[0])]
    runs: list[Run] = []
    for path in map(Path, run_dirs):
        if is_sweep(path) and with_members:
            runs += load_sweep(path).members.values()
        elif is_sweep(path):
            log(f"note: {path} is left out, because it is a sweep; --members draws its runs")
        elif path.is_dir() and not (path / "run.json").exists():
            log(f"note: {path} is left out, because it is not a run")
        else:
            runs.append(load_run(path))
    if not runs:
        raise RunError("there is no run in these folders; `mnistlin runs` lists runs")
    return runs


def _distinct(runs: "list[Run]") -> "list[Run]":
    """Return each folder once; log runs with the same config and data, whose curves coincide."""
    distinct = list({run.path.resolve(): run for run in runs}.values())
    for i, run in enumerate(distinct):
        for other in distinct[:i]:
            is_same = run.config.identity == other.config.identity
            if is_same and run.info.data.identity == other.info.data.identity:
                log(f"note: {other.path} and {run.path} have the same config and data")
                break
    return distinct


def _filter(text: str) -> "Filter":
    """Parse a condition such as `training.seed=1`; an error is a ConfigError."""
    from mnistlin.runs.listing import parse_filter

    return parse_filter(text)


def _listed_keys(_: str = "") -> list[str]:
    """Return the keys by which runs are most often filtered and sorted."""
    from mnistlin.shipped import keys_in_schema

    numbers = [f"{end}_{part}" for end in ("last", "best") for part in ("val_accuracy", "val_loss")]
    return ["status", "kind", "run", "started_utc", *numbers, *keys_in_schema()]


def _sort_keys(typed: str) -> list[str]:
    return [f"{'-' * typed.startswith('-')}{key}" for key in _listed_keys()]


@click.group(cls=Group, invoke_without_command=True)
@click.option("--verify", is_flag=True, help="Compare the SHA-256 of all result files.")
@click.option(
    "--filter",
    "filters",
    type=Completed("filter", _filter, _listed_keys),
    multiple=True,
    metavar="KEY=VALUE",
    help="List only runs in which a key of the config or summary, or status, has this value; also "
    "'KEY!=VALUE', 'KEY<VALUE', '<=', '>', '>='. May be given several times.",
)
@click.option(
    "--sort",
    type=Completed("key", str, _sort_keys),
    metavar="KEY",
    help="Sort by this key; -KEY for descending order.",
)
@json_option
@runs_dir_option
@debug_option
@click.pass_context
def runs(  # noqa: PLR0913 (one for each option)
    ctx: click.Context,
    *,
    verify: bool,
    filters: tuple["Filter", ...],
    sort: str | None,
    as_json: bool,
    runs_dir: Path,
) -> None:
    """List runs and sweeps, newest first, and say how to repair those with problems.

    A column is shown for each config key in which the listed runs differ; a sweep is one line. Any
    command takes @last, @-2 (the last but one) or the name of a listed folder, even if it is
    shortened in a narrow list, instead of its path. Result files are checked by their size;
    --verify compares their SHA-256 too.

    \b
    Examples:
      mnistlin runs
      mnistlin runs --filter data.dataset=mnist --filter 'last_val_accuracy>0.9'
      mnistlin runs --sort=-last_val_accuracy
      mnistlin runs rm @last
    """
    if ctx.invoked_subcommand is not None:
        if verify or filters or sort or as_json:
            raise click.UsageError(f"options of the list do not apply to {ctx.invoked_subcommand}.")
        return
    from mnistlin.runs.index import find_runs, verified
    from mnistlin.runs.listing import full_key, notes, sorted_by, table

    key = full_key(sort.removeprefix("-")) if sort else None
    gc.disable()  # nothing read here has cycles, and looking for them takes a third of the time
    everything = find_runs(runs_dir)
    gc.enable()
    found = [entry for entry in everything if all(each.matches(entry) for each in filters)]
    if verify:
        found = [verified(entry) for entry in found]
    if key:
        found = sorted_by(found, key, descending=str(sort).startswith("-"))
    if as_json:
        echo(json.dumps({"runs": [entry.as_object() for entry in found]}))
        return
    if not everything:
        log(f"no runs in {runs_dir}; `mnistlin train --config quickstart` makes one")
    elif not found:
        log(f"none of the {len(everything)} runs and sweeps in {runs_dir} matches the filters")
    width = shutil.get_terminal_size().columns
    lines, left_out = table(found, width)
    for line in lines:
        echo(line)
    if left_out:
        log(f"left out to fit {width} columns: {', '.join(left_out)}; --json shows all")
    for note in notes(found):
        log(note)


@runs.command()
@click.argument("run_dirs", type=RUN_OR_SWEEP, nargs=-1, required=True, metavar="RUN_DIR...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@runs_dir_option
@debug_option
def rm(run_dirs: tuple[str, ...], runs_dir: Path, *, yes: bool) -> None:
    """Permanently remove runs and sweeps with everything in their folders.

    Only folders with a valid run.json or sweep.json are removed, and none that a process is
    writing. If one of several cannot be removed, nothing is.

    \b
    Examples:
      mnistlin runs rm @last
      mnistlin runs rm runs/20260114T093012Z_binary --yes
    """
    from mnistlin.runs.removal import check_removable, remove_folders

    del runs_dir  # used by RUN_OR_SWEEP to look up names
    paths = [Path(each) for each in dict.fromkeys(run_dirs)]
    for path in paths:
        check_removable(path)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on; --yes removes without asking.")
        for path in paths:
            log(path)
        what = "these folders" if len(paths) > 1 else "this folder"
        try:
            is_sure = click.confirm(f"Permanently remove {what}?", err=True)
        except click.Abort:
            log("")  # ends the line of the question
            raise
        if not is_sure:
            log("nothing was removed")
            return
    remove_folders(paths)
    for path in paths:
        echo_value("removed", path)


COMMANDS = (plot, runs)
