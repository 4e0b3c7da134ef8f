"""How numbers are written in the report: percentages with a space, true minus signs."""

from collections.abc import Sequence

from mnistlin.analysis.statistics import Mean


def written(value: float, fmt: str) -> str:
    """Return a number in a format such as ".4f", or ".2%" for a fraction as a percentage."""
    return f"{value:{fmt}}".replace("-", "−").replace("%", " %")


def signed(value: float, fmt: str) -> str:
    """Return a number with its sign; what is written as 0 has none."""
    text = f"{value:+{fmt}}"
    return written(0, fmt) if not float(text.rstrip("%")) else text.replace("-", "−")


def with_spread(values: Sequence[float] | Mean | None, fmt: str) -> str:
    """Return the mean of some values ± their standard deviation, which a single one has not."""
    if values is None:
        return "-"
    found = values if isinstance(values, Mean) else Mean.of(values)
    mean = written(found.mean, fmt)
    if found.sd is None:
        return mean
    unit = " %" if mean.endswith(" %") else ""
    return f"{mean.removesuffix(unit)} ± {written(found.sd, fmt)}"
