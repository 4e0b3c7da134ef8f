"""How much the results of a config vary between seeds: mean, spread and interval of each number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.statistics import Interval, Mean, t_interval, with_spread
from mnistlin.errors import RunError
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep
from mnistlin.text import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS = (
    "last_train_loss",
    "last_train_accuracy",
    "last_val_loss",
    "last_val_accuracy",
    "best_val_loss",
    "best_val_accuracy",
    "last_weight_norm",
    "stop_epoch",
    "test_loss",
    "test_accuracy",
)
"""Keys of summary.json; a run without a test set of its own lacks the last two."""


@dataclass(frozen=True)
class SeedSpread(Result):
    """The numbers of all runs of a sweep over seeds alone."""

    sweep: Sweep
    runs: Sequence[Run]

    title = "How results vary between seeds"
    stem = "seeds"

    def values(self) -> Values:
        """Return the number of runs."""
        return {"n_runs": len(self.runs)}

    def tables(self) -> Tables:
        """Return one row per number: mean, standard deviation and 95 % t-interval."""
        rows = []
        for name in NUMBERS:
            found = self._numbers(name)
            if not found:
                continue
            mean, interval = Mean.of(found), _interval(found)
            rows.append(
                {
                    "number": name.removeprefix("last_"),
                    "mean": mean.mean,
                    "sd": mean.sd,
                    "low": interval and interval.low,
                    "high": interval and interval.high,
                }
            )
        return {"numbers": rows}

    def explanation(self) -> str:
        """Describe how certain the mean accuracy is."""
        which = "test" if self._numbers("test_accuracy") else "val"
        name = f"{'' if which == 'test' else 'last_'}{which}_accuracy"
        found = self._numbers(name)
        if not found:
            return "No run ended without diverging."
        interval = _interval(found)
        split = "test" if which == "test" else "validation"
        words = f"Mean {split} accuracy of {len(found)} runs: {with_spread(found, '.2%')}"
        if interval is None:
            return f"{words}. One run, or runs without any spread, give no interval."
        low, high = (written(end, ".2%") for end in (interval.low, interval.high))
        return (
            f"{words} (standard deviation); 95 % t-interval of the mean {low} to {high}. It covers "
            "the effect of the seed alone; other images would change the mean too."
        )

    def figure(self) -> "Figure":
        """Draw the accuracy of each run, with the interval of the mean."""
        from mnistlin.figures import captions
        from mnistlin.figures.style import BLUE, FAINT, INK, end_at_one, name_axes, page

        title, settings, foot = captions.of_sweep("Accuracy", self.sweep, list(self.runs))
        names = [name for name in NUMBERS if name.endswith("_accuracy") and self._numbers(name)]
        note = "Dots: runs. Bars: mean with its 95 % t-interval."
        with page((title, settings, foot), note) as figure:
            axes = figure.add_subplot()
            for i, name in enumerate(names):
                found = self._numbers(name)
                spread = np.linspace(-0.15, 0.15, len(found)) if len(found) > 1 else [0.0]
                axes.plot(i + np.array(spread), found, "o", color=BLUE, markersize=4.5, alpha=0.7)
                interval = _interval(found)
                if interval is not None:
                    axes.vlines(i, interval.low, interval.high, color=FAINT, linewidth=14, zorder=0)
                axes.hlines(np.mean(found), i - 0.22, i + 0.22, color=INK, linewidth=1.5)
            labels = [
                name.removeprefix("last_").replace("_", "\n", 1).replace("_", " ") for name in names
            ]
            axes.set_xticks(range(len(names)), labels)
            axes.set_xlim(-0.6, len(names) - 0.4)
            end_at_one(axes)
            name_axes(axes, "accuracy (fraction)")
        return figure

    def _numbers(self, name: str) -> list[float]:
        found = (run.summary.get(name) for run in self.runs)
        return [value for value in found if value is not None]


def explain_seeds(sweep: Sweep) -> SeedSpread:
    """Summarise the runs of a sweep over seeds alone.

    Raises
    ------
    RunError
        If other keys are swept too.
    """
    if sweep.settings.swept:
        raise RunError(f"{sweep.path} sweeps over {', '.join(sweep.settings.swept)} too")
    return SeedSpread(sweep, list(sweep.by_setting[()].values()))


def _interval(values: Sequence[float]) -> Interval | None:
    return t_interval(values) if len(values) > 1 else None
