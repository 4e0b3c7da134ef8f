"""Commands about datasets: `data list`, `data fetch`, `data verify`."""

import click

from mnistlin.cli.completion import DATASET
from mnistlin.cli.options import Group, debug_option
from mnistlin.cli.terminal import download_bar, echo, echo_value, echo_wrapped


@click.group(cls=Group)
def data() -> None:
    """List, fetch and verify datasets."""


@data.command("list")
@debug_option
def list_() -> None:
    """List the known datasets, and where each is on this machine.

    \b
    Example:
      mnistlin data list
    """
    from mnistlin.data.locate import list_datasets

    for status in list_datasets():
        dataset = status.dataset
        where = status.problem or status.folder or f"missing: mnistlin data fetch {dataset.name}"
        echo(f"{dataset.name:<14}{dataset.gzip_bytes / 1e6:>5.1f} MB  {dataset.description}")
        echo(f"{'':<14}{where}")


@data.command()
@click.argument("dataset", type=DATASET)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
@debug_option
def fetch(dataset: str, quiet: bool) -> None:
    """Make sure that a dataset is on this machine: check it by content, download what is missing.

    Missing and damaged files of the cache are downloaded; files elsewhere are only checked.

    \b
    Example:
      mnistlin data fetch mnist
    """
    from mnistlin.data.locate import fetch as fetch_dataset

    with download_bar(dataset, quiet=quiet) as shown:
        folder = fetch_dataset(dataset, shown).folder
    echo_value("folder", folder)


@data.command()
@click.argument("target", type=DATASET, metavar="DATASET|FOLDER|FILE")
@debug_option
@click.pass_context
def verify(ctx: click.Context, target: str) -> None:
    """Identify files by their content; exit with 3 if one is not what it should be.

    \b
    Examples:
      mnistlin data verify mnist
      mnistlin data verify ~/Downloads/train-images-idx3-ubyte.gz
    """
    from mnistlin.data.locate import verify as verify_files
    from mnistlin.errors import DataError

    checks = verify_files(target)
    for check in checks:
        echo_wrapped(f"{'ok   ' if check.ok else 'WRONG'}  {check}", hanging=" " * 7)
    ctx.exit(0 if all(check.ok for check in checks) else DataError.exit_code)


COMMANDS = (data,)
