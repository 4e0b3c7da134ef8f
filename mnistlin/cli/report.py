"""The command `report`: many experiments, and the page about them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlin.cli.completion import DATASET, REPORT
from mnistlin.cli.options import ConfigCommand, debug_option, runs_dir_option
from mnistlin.cli.terminal import bar, echo_value, fetch_data, log, stop_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from mnistlin.cli.terminal import StopRequest
    from mnistlin.report.plan import Report
    from mnistlin.report.runner import Experiments, ReportProgress


@click.command(cls=ConfigCommand)
@click.option(
    "--dataset", type=DATASET, metavar="NAME|DIR", help="Dataset to train on.  [default: mnist]"
)
@click.option(
    "--config",
    type=REPORT,
    metavar="FILE|NAME",
    default="report",
    show_default=True,
    help="A report file or the name of a shipped one.",
)
@click.option(
    "--check",
    "checked",
    type=REPORT,
    metavar="FILE|NAME",
    help="Report all problems of a report file, and train nothing.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="report",
    show_default=True,
    help="Folder for the page.",
)
@runs_dir_option
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Number of processes that train runs.  [default: one for each core, if runs are long]",
)
@click.option("-q", "--quiet", is_flag=True, help="Show only the result: no progress bar.")
@debug_option
@click.pass_context
def report(  # noqa: PLR0913 (one for each option)
    ctx: click.Context,
    *,
    dataset: str | None,
    config: str,
    checked: str | None,
    out: Path,
    runs_dir: Path,
    jobs: int | None,
    quiet: bool,
) -> None:
    """Run every experiment of a report, and compare the results with those published.

    Writes report.html, which needs no other file, and report.md with the folder figures/. Runs
    with the same config and images are reused, and so are the parts of the page, in sections/,
    whose runs and program are unchanged. Long runs train at once, each in a process of some 100 MB.
    After Ctrl-C, the same command resumes.

    \b
    Examples:
      mnistlin report
      mnistlin report --dataset mnist-5k --out /tmp/report
      mnistlin report --check my-report.yaml
    """
    from mnistlin.report.plan import load_report

    found = load_report(checked or config, dataset)
    if checked:
        for key, count in found.counts.items():
            echo_value(key, count)
        return
    from mnistlin.report.runner import train_all

    loader = fetch_data(found.dataset, quiet=quiet)
    train = partial(train_all, found.configs, runs_dir, loader=loader, n_jobs=jobs)
    with stop_request() as request:
        experiments = _train_with_bar(train, request, quiet=quiet)
    if experiments is None:
        log("interrupted; the same command resumes the report")
        ctx.exit(request.exit_code)
    _write(found, experiments, out, quiet=quiet)


def _write(found: "Report", experiments: "Experiments", out: Path, *, quiet: bool) -> None:
    from mnistlin.report.page import make_page, write_page

    with bar(found.counts["claims"], "claim", quiet=quiet, desc="testing claims") as shown:
        page = make_page(found, experiments, out, lambda _: shown.update())
    html, markdown = write_page(page, out)
    if found.is_comparable:
        for verdict, count in page.verdicts.items():
            echo_value(verdict, count)
    echo_value("markdown", markdown)
    echo_value("report", html)


def _train_with_bar(
    train: "Callable[..., Experiments | None]", request: "StopRequest", *, quiet: bool
) -> "Experiments | None":
    """Call `train_all`, of which only `on_progress` is missing."""
    with bar(0, "epoch", quiet=quiet) as shown:

        def on_progress(progress: "ReportProgress") -> bool:
            shown.total = progress.epochs
            shown.set_description_str(progress.experiment, refresh=False)
            shown.update(progress.epochs_done - shown.n)
            return request.signal is not None

        return train(on_progress=on_progress)


COMMANDS = (report,)
