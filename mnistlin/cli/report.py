"""Commands that write about many experiments: `report`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlin.cli.options import debug_option, runs_dir_option
from mnistlin.cli.train import bar, fetch_data, stop_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mnistlin.cli.train import StopRequest
    from mnistlin.config import ExperimentConfig
    from mnistlin.report.runner import Outcomes, ReportProgress


@click.command()
@click.option("--dataset", metavar="NAME|FOLDER", help="What to train on.  [default: mnist]")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The report file of another assignment.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="report",
    show_default=True,
    help="Where the page goes.",
)
@runs_dir_option
@click.option("-q", "--quiet", is_flag=True, help="No bar, only the result.")
@debug_option
@click.pass_context
def report(  # noqa: PLR0913 (one for each option)
    ctx: click.Context,
    *,
    dataset: str | None,
    config: Path | None,
    out: Path,
    runs_dir: Path,
    quiet: bool,
) -> None:
    """Run every experiment of the report, and write a page that holds it against what they give.

    The page is report.html, which needs no other file, and report.md with the folder figures/.
    Runs that are there already, with the same config and the same images, are used again; after
    Ctrl-C the same command goes on where it was.

    \b
    Examples:
      mnistlin report
      mnistlin report --dataset mnist-5k --out /tmp/report
    """
    from mnistlin.config import shipped_report
    from mnistlin.report.page import make_page, write_page
    from mnistlin.report.plan import configs_of, load_plan

    source = config or shipped_report()
    plan = load_plan(source)
    dataset = dataset or plan.dataset
    configs = configs_of(plan, source.parent, dataset)
    fetch_data(dataset, quiet=quiet)
    with stop_request() as request:
        outcomes = _run_with_bar(configs, runs_dir, request, quiet=quiet)
    if outcomes is None:
        ctx.exit(request.exit_code)
    page = make_page(plan, dataset, outcomes, out / "figures")
    html, markdown = write_page(page, out)
    for verdict, count in page.verdicts.items() if page.is_comparable else ():
        click.echo(f"{verdict.split(' by')[0].replace(' ', '_')}: {count}")
    click.echo(f"markdown: {markdown}")
    click.echo(f"report: {html}")


def _run_with_bar(
    configs: "Mapping[str, Sequence[ExperimentConfig]]",
    runs_dir: Path,
    request: "StopRequest",
    *,
    quiet: bool,
) -> "Outcomes | None":
    from mnistlin.report.runner import run_all

    with bar(0, "epoch", quiet=quiet) as shown:

        def on_progress(progress: "ReportProgress") -> bool:
            shown.total = progress.epochs
            shown.set_description_str(progress.experiment, refresh=False)
            shown.update(progress.epochs_done - shown.n)
            return request.signal is not None

        return run_all(configs, runs_dir, on_progress)


COMMANDS = (report,)
