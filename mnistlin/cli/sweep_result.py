"""What `sweep-lambda` prints: a line for each λ, and what the numbers mean."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnistlin.analysis.lambda_effect import Difference, LambdaSummary
    from mnistlin.analysis.statistics import Mean

HEADER = (
    "l2_lambda",
    "runs",
    "last_val_accuracy",
    "best_val_accuracy",
    "weight_norm",
    "stop_epoch",
)
DIFFERENCE_HEADER = ("minus λ = 0", "95 % interval", "p (Holm)", "verdict")


def lines(summaries: "Sequence[LambdaSummary]", n_seeds: int) -> Iterator[str]:
    """Yield a table of all λ, and notes on how to read it.

    Parameters
    ----------
    summaries : sequence of LambdaSummary
        A row each.
    n_seeds : int
        With how many seeds each λ was to be trained.
    """
    from mnistlin.runs.tables import aligned

    compares = any(summary.difference for summary in summaries)
    header = (*HEADER, *DIFFERENCE_HEADER) if compares else HEADER
    rows = [header, *(_row(summary, n_seeds)[: len(header)] for summary in summaries)]
    yield from aligned(rows)
    yield from _notes(summaries, compares=compares)


def _row(summary: "LambdaSummary", n_seeds: int) -> tuple[str, ...]:
    is_whole = summary.n_seeds == n_seeds
    epochs_differ = summary.stop_epoch and summary.stop_epoch.sd
    return (
        f"{summary.l2_lambda:g}",
        str(n_seeds) if is_whole else f"{summary.n_seeds} of {n_seeds}",
        _mean(summary.last_val_accuracy, ".4f"),
        _mean(summary.best_val_accuracy, ".4f"),
        _mean(summary.weight_norm, ".4f"),
        _mean(summary.stop_epoch, ".1f") if epochs_differ else _epoch(summary.stop_epoch),
        *_difference(summary.difference),
    )


def _mean(value: "Mean | None", fmt: str) -> str:
    if value is None:
        return "-"
    if value.sd is None:
        return f"{value.mean:{fmt}}"
    return f"{value.mean:{fmt}} ± {value.sd:{fmt}}"


def _epoch(value: "Mean | None") -> str:
    """Return the epoch in which all runs stopped."""
    return "-" if value is None else f"{value.mean:g}"


def _difference(value: "Difference | None") -> tuple[str, ...]:
    if value is None:
        return ("-", "-", "-", "-")
    mean = f"{value.mean:+.4f}"
    if value.low is None:
        reason = "one seed" if value.n_pairs == 1 else "the seeds do not differ"
        return (mean, "-", "-", f"{reason}: {value.verdict}")
    return (mean, f"{value.low:+.4f} to {value.high:+.4f}", f"{value.p_value:.2g}", value.verdict)


def _notes(summaries: "Sequence[LambdaSummary]", *, compares: bool) -> Iterator[str]:
    if any(summary.n_seeds > 1 for summary in summaries):
        yield "note: a ± b is mean and standard deviation over the seeds"
    if not compares:
        if sum(summary.n_seeds > 0 for summary in summaries) > 1:
            yield "note: there is no run with λ = 0 to compare with"
        return
    yield (
        "note: minus λ = 0 is val_accuracy, averaged over the last epoch's checks, less that of "
        "λ = 0 with the same seed"
    )
    n_tested = sum(bool(each.difference and each.difference.low is not None) for each in summaries)
    if n_tested:
        yield (
            "note: the t-interval is of each λ alone; p and verdict (at 5 %) are corrected for "
            f"{n_tested} λ (Holm)"
        )
        yield "note: the interval covers the order of batches only; other images are not in it"
