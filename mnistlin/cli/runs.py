"""Commands that look at runs that are there: `plot` and `runs`."""

from pathlib import Path

import click

from mnistlin.cli.options import debug_option, figure_options, runs_dir_option
from mnistlin.cli.terminal import echo, log


@click.command()
@click.argument("run_dirs", nargs=-1, required=True, metavar="RUN_DIR...")
@figure_options
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where to draw to.")
@runs_dir_option
@debug_option
def plot(run_dirs: tuple[str, ...], file_format: str, out: Path | None, runs_dir: Path) -> None:
    """Draw the figures of a run or a sweep again, or overlay several runs.

    The figures of one run or sweep go to its folder plots/; those of several runs to a new folder
    beside the runs. Several runs are labelled by the config keys in which they differ.

    \b
    Examples:
      mnistlin plot runs/20260114T093012Z_binary --format pdf --style paper
      mnistlin plot runs/*_binary runs/*_binary-shuffled
      mnistlin plot runs/20260114T093512Z_sweep-lambda_softmax
    """
    for path in _draw(run_dirs, out, runs_dir, file_format):
        echo(path)


def _draw(run_dirs: tuple[str, ...], out: Path | None, runs_dir: Path, fmt: str) -> list[Path]:
    """Draw a sweep, a run or several runs; return the files."""
    from mnistlin.cli.sweep import draw as draw_sweep
    from mnistlin.figures.draw import draw_overlay, draw_run
    from mnistlin.runs.folder import load_run, make_folder
    from mnistlin.runs.sweep_folder import is_sweep, load_sweep

    if len(run_dirs) == 1 and is_sweep(Path(run_dirs[0])):
        sweep = load_sweep(run_dirs[0])
        return draw_sweep(sweep, out or sweep.path / "plots", fmt)
    runs = [load_run(path) for path in run_dirs]
    if len(runs) == 1:
        return draw_run(runs[0], out or runs[0].path / "plots", fmt)
    return draw_overlay(runs, out or make_folder(runs_dir, "overlay"), fmt)


@click.command()
@click.option("--verify", is_flag=True, help="Compare the SHA-256 of all result files.")
@runs_dir_option
@debug_option
def runs(runs_dir: Path, *, verify: bool) -> None:
    """List all runs and sweeps, newest first, with what to do about those not in order.

    Result files are checked by their size; --verify compares their SHA-256 too.

    \b
    Examples:
      mnistlin runs
      mnistlin runs --verify
    """
    from mnistlin.runs.index import find_runs, notes, table, verified

    found = find_runs(runs_dir)
    if verify:
        found = [verified(entry) for entry in found]
    if not found:
        log(f"no runs in {runs_dir}; `mnistlin train --config quickstart` makes one")
    for line in table(found):
        echo(line)
    for note in notes(found):
        log(note)


COMMANDS = (plot, runs)
