"""Claims of a report, each tested by a function in the module of its question.

To add a claim, write a function in the module of its question and register it:

    @claim("gap-opens")
    def _gap_opens(evidence: Evidence) -> Finding:
        # The training accuracy gains on the validation accuracy.
        gaps = [accuracy_gap(run, -1) - accuracy_gap(run, 0) for run in evidence.first.runs]
        words = f"{signed(100 * mean(gaps), '.2f')} points from the first epoch to the last"
        return Finding(verdict_on(t_interval(gaps)), words)

A report file then names it: `{holds: gap-opens, experiments: [softmax], published: ...}`. No other
file changes. Ask questions by `evidence.ask(explain_dips, run)`: each is answered once per report.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

import mnistlin.analysis
from mnistlin.analysis.result import TooShortError
from mnistlin.analysis.statistics import CONFIDENCE, Interval, holm, t_interval
from mnistlin.errors import ConfigError
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict: TypeAlias = Literal["agrees", "differs", "inconclusive"]

T = TypeVar("T")


@dataclass(frozen=True)
class TrainedExperiment:
    """An experiment of a report after training: one run per seed, or a sweep."""

    name: str
    runs: tuple[Run, ...] = ()
    sweep: Sweep | None = None

    @property
    def run(self) -> Run:
        """The run with the first seed; a ConfigError if the experiment is a sweep."""
        if not self.runs:
            raise ConfigError(f"experiment {self.name} is a sweep; this part needs a single run")
        return self.runs[0]

    @property
    def whole_sweep(self) -> Sweep:
        """The sweep; a ConfigError if the experiment is none."""
        if self.sweep is None:
            raise ConfigError(f"experiment {self.name} is a run; this part needs a sweep")
        return self.sweep

    @property
    def folder(self) -> Run | Sweep:
        """The sweep, or the first run."""
        return self.sweep or self.runs[0]

    def values(self, measure: str) -> list[float]:
        """Return a number of summary.json for each seed; a ConfigError if it has none such."""
        found = [run.summary.get(measure) for run in (self.run, *self.runs[1:])]
        numbers = [float(value) for value in found if isinstance(value, int | float)]
        if len(numbers) < len(found):
            known = [key for key, value in self.run.summary.items() if not isinstance(value, str)]
            raise ConfigError(
                f"experiment {self.name} has no number {measure!r}; it has {', '.join(known)}"
            )
        return numbers


class Answers:
    """Answers questions about runs and sweeps, each one once. One object serves a whole report."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def ask(self, question: Callable[..., T], *subjects: Any, **options: Any) -> T:
        """Return `question(*subjects, **options)`; runs and sweeps are distinguished by folder."""
        folders = tuple(getattr(subject, "path", subject) for subject in subjects)
        key = (question, folders, tuple(sorted(options.items())))
        if key not in self._known:
            self._known[key] = question(*subjects, **options)
        answer: T = self._known[key]
        return answer


@dataclass(frozen=True)
class Evidence:
    """What a claim is tested on: the experiments and numbers that the report file names for it."""

    experiments: tuple[TrainedExperiment, ...]
    tolerance: float = 0.0
    l2_lambda: float = 0.0
    answers: Answers = field(default_factory=Answers)

    @property
    def first(self) -> TrainedExperiment:
        """The first experiment, which most claims are about."""
        return self.experiments[0]

    def ask(self, question: Callable[..., T], *subjects: Any, **options: Any) -> T:
        """Return the answer to a question, computed once per report."""
        return self.answers.ask(question, *subjects, **options)


@dataclass(frozen=True)
class Finding:
    """The verdict on a claim, what was measured, and what explains a difference."""

    verdict: Verdict
    measured: str
    difference: str = ""
    explanation: str = ""
    figure: "Callable[[], Figure] | None" = None
    """Draws what the explanation is about, when the page is made."""


Claim: TypeAlias = Callable[[Evidence], Finding]

_CLAIMS: dict[str, Claim] = {}


def claim(name: str) -> Callable[[Claim], Claim]:
    """Register a function as the test of a claim."""

    def register(test: Claim) -> Claim:
        if name in _CLAIMS:
            raise ValueError(f"two claims are called {name!r}")
        _CLAIMS[name] = test
        return test

    return register


def claims() -> Mapping[str, Claim]:
    """Return all claims by name, with the modules of all questions imported."""
    for module in pkgutil.iter_modules(mnistlin.analysis.__path__, "mnistlin.analysis."):
        importlib.import_module(module.name)
    return _CLAIMS


def judge(name: str, evidence: Evidence) -> Finding:
    """Test a claim; on runs that are too short for it, it is inconclusive."""
    try:
        return claims()[name](evidence)
    except TooShortError as error:
        return Finding("inconclusive", error.problem)


def verdict_on(interval: Interval | None) -> Verdict:
    """Return whether a difference that a claim expects above 0 is: by its confidence interval."""
    if interval is None or interval.low <= 0 <= interval.high:
        return "inconclusive"
    return "agrees" if interval.low > 0 else "differs"


def verdict_on_all(groups: Sequence[Sequence[float] | NDArray[np.float64]]) -> Verdict:
    """Return whether the means of all groups are above 0, as a claim expects of every one.

    By t-tests, corrected for the number of groups (Holm): one mean that is clearly below 0 refutes
    the claim, and one that is not clearly above it leaves it inconclusive. So does no group at all.
    """
    intervals = [t_interval(values) if len(values) else None for values in groups]
    p_values = holm([each.p_value if each else 1.0 for each in intervals])
    are_clear = [p < 1 - CONFIDENCE for p in p_values]
    means = [float(np.mean(values)) if len(values) else 0.0 for values in groups]
    if any(clear and mean < 0 for clear, mean in zip(are_clear, means, strict=True)):
        return "differs"
    return "agrees" if are_clear and all(are_clear) else "inconclusive"
