"""Which setting of a sweep to choose, and how certain that is.

The score of a run is its validation accuracy (or loss) averaged over the checks of the last epoch,
for a single check moves with the last few batches. `selection` chooses by these scores.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.selection import Choice, Scores, choose
from mnistlin.analysis.statistics import Mean, proportion_interval
from mnistlin.analysis.unstable import with_unstable_members
from mnistlin.errors import ConfigError, RunError
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.runs.records import ChoiceRecord
from mnistlin.runs.sweep_folder import (
    Key,
    Sweep,
    column_of,
    record_choice,
    record_chosen,
    value_text,
)
from mnistlin.text import written
from mnistlin.training.evaluation import predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Criterion: TypeAlias = Literal["accuracy", "loss"]
MAX_ROWS = 20
"""Number of settings that are printed; sweep.csv has all members."""


@dataclass(frozen=True)
class SettingSummary:
    """One combination of values over all seeds; runs that failed or diverged do not count."""

    key: Key
    n_seeds: int
    train_accuracy: Mean | None
    val_accuracy: Mean | None
    val_loss: Mean | None
    weight_norm: Mean | None
    stop_epoch: Mean | None


@dataclass(frozen=True)
class SweepChoice(Result):
    """The settings of a sweep from best to worst, and the choice among them."""

    sweep: Sweep
    by: Criterion
    summaries: tuple[SettingSummary, ...]
    reference: Key | None
    choice: Choice | None
    excluded: Mapping[Key, str]
    """Settings that cannot be chosen, and why."""
    test: Mapping[str, Any]
    """Score of the chosen member on the test set, if that is not the validation set."""

    title = "The choice"
    stem = "choice"

    def named(self, key: Key) -> str:
        """Return the name of a setting, such as "learning_rate 0.1, λ 0.01"."""
        names = [name_of(each) for each in self.sweep.settings.swept]
        parts = (f"{name} {value_text(value)}" for name, value in zip(names, key, strict=True))
        return ", ".join(parts) or "all seeds"

    def values(self) -> Values:
        """Return the choice and the score on the test set."""
        if self.choice is None:
            return {}
        simplest = self.choice.one_standard_error
        return {
            "best": self.named(self.choice.best),
            "n_similar": len(self.choice.similar),
            "one_standard_error": None if simplest is None else self.named(simplest),
            **self.test,
        }

    def tables(self) -> Tables:
        """Return one row per setting, from best to worst."""
        return {"settings": [self._row(each) for each in self.summaries[:MAX_ROWS]]}

    def records(self) -> Tables:
        """Return all settings, for a file."""
        return {f"{self.stem}_settings": [self._row(each) for each in self.summaries]}

    def as_objects(self) -> list[Values]:
        """Return all settings with their values, for JSON."""
        columns = [column_of(name) for name in self.sweep.settings.swept]
        p_values = self.choice.p_values if self.choice else {}
        rows: list[Values] = []
        for each in self.summaries:
            numbers = asdict(each)
            key = numbers.pop("key")
            setting = dict(zip(columns, key, strict=True))
            rows.append({**setting, **numbers, "p_value": p_values.get(key)})
        return rows

    def _row(self, summary: SettingSummary) -> Values:
        columns = [column_of(name) for name in self.sweep.settings.swept]
        n_seeds = len(self.sweep.settings.seeds)
        shown = {c: value_text(v) for c, v in zip(columns, summary.key, strict=True)}
        whole = summary.n_seeds == n_seeds
        shown["runs"] = str(n_seeds) if whole else f"{summary.n_seeds} of {n_seeds}"
        shown["val_accuracy"] = _with_spread(summary.val_accuracy)
        shown["val_loss"] = _with_spread(summary.val_loss)
        if self.choice and self.choice.p_values:
            p = self.choice.p_values.get(summary.key)
            shown["p (Holm)"] = "-" if p is None else f"{p:.2g}"
        shown["note"] = self._mark(summary.key)
        return shown

    def _mark(self, key: Key) -> str:
        if key in self.excluded:
            return self.excluded[key].partition(":")[0]
        if self.choice is None:
            return ""
        marks = {
            "best": key == self.choice.best,
            "similar": key in self.choice.similar,
            "1 SE": key == self.choice.one_standard_error,
            "reference": key == self.reference,
        }
        return ", ".join(mark for mark, applies in marks.items() if applies)

    def explanation(self) -> str:
        """Describe what was chosen, and what limits trust in it."""
        if self.choice is None:
            reason = "every one failed, diverged or is unstable"
            if self._usable():
                reason = "those that could be have no finished run yet"
            return f"No setting of this sweep can be chosen: {reason}. {self._left_out()}".rstrip()
        return " ".join(
            filter(
                None,
                [
                    self._best(),
                    self._similar(),
                    self._simplest(),
                    self._left_out(),
                    self._untested(),
                    self._tested(),
                ],
            )
        )

    def _best(self) -> str:
        assert self.choice is not None  # noqa: S101
        summary = next(each for each in self.summaries if each.key == self.choice.best)
        score = summary.val_accuracy if self.by == "accuracy" else summary.val_loss
        return (
            f"Best by mean validation {self.by} (over the checks of the last epoch): "
            f"{self.named(self.choice.best)}, with {_with_spread(score)}."
        )

    def _similar(self) -> str:
        assert self.choice is not None  # noqa: S101
        n_others = sum(key != self.choice.best for key in self._usable())
        if not n_others:
            return ""
        if not self.choice.p_values:
            return "One seed per setting allows no test: with other seeds the order may differ."
        if not self.choice.similar:
            return "All others differ significantly from it (paired t-tests, Holm, 5 %)."
        names = "; ".join(map(self.named, self.choice.similar[:5]))
        more = len(self.choice.similar) - 5
        names += f"; and {more} more" if more > 0 else ""
        return (
            f"Not significantly different from it with these seeds: {names} (paired t-tests, "
            "Holm, 5 %), which does not mean that they are equal."
        )

    def _simplest(self) -> str:
        assert self.choice is not None  # noqa: S101
        simplest = self.choice.one_standard_error
        if simplest is None or simplest == self.choice.best:
            return ""
        what = "largest λ" if "training.l2_lambda" in self.sweep.settings.swept else "cheapest"
        return f"The {what} within one standard error of the best: {self.named(simplest)}."

    def _left_out(self) -> str:
        if not self.excluded:
            return ""
        names = "; ".join(f"{self.named(key)} ({why})" for key, why in self.excluded.items())
        words = f"Excluded from the choice: {names}."
        if self.sweep.unstable:
            words += (
                " With an unstable learning rate no run can stay at the minimum of its objective: "
                "its result says nothing about its setting (`explain stability`)."
            )
        return words

    def _untested(self) -> str:
        if self.sweep.info.unstable is not None:
            return ""
        return (
            "No setting was tested for stability, since the data of the sweep is missing or has "
            "changed."
        )

    def _tested(self) -> str:
        if not self.test:
            return ""
        low, high = (written(end, ".2%") for end in self.test["test_interval"])
        return (
            "On the test set, which is read once and for the member chosen by "
            f"{self.test['chosen_by']} alone ({self.test['test_run']}), "
            f"{written(self.test['test_accuracy'], '.2%')} of the images are correctly classified "
            f"(95 % interval {low} to {high})."
        )

    def _usable(self) -> list[Key]:
        return [each.key for each in self.summaries if each.key not in self.excluded]

    def figure(self) -> "Figure | None":
        """Draw the scores against the swept keys; none for seeds alone or without any score."""
        from mnistlin.figures.grids import Grid, grid_figure

        if self.choice is None:
            return None
        field = "val_accuracy" if self.by == "accuracy" else "val_loss"
        scores = {each.key: getattr(each, field) for each in self.summaries}
        train = {each.key: each.train_accuracy for each in self.summaries}
        return grid_figure(
            self.sweep,
            Grid(
                what=f"validation {self.by}",
                means={key: mean.mean for key, mean in scores.items() if mean},
                sds={key: mean.sd for key, mean in scores.items() if mean and mean.sd is not None},
                train={key: mean.mean for key, mean in train.items() if mean}
                if self.by == "accuracy"
                else {},
                best=self.choice.best,
                similar=self.choice.similar,
                excluded={
                    key: "diverged" if why.startswith("diverged") else "unstable"
                    for key, why in self.excluded.items()
                },
            ),
        )


def explain_choice(
    sweep: Sweep, by: Criterion = "accuracy", reference: Mapping[str, Any] | None = None
) -> SweepChoice:
    """Choose a setting of a sweep, and read the test set for it if it was held back.

    Parameters
    ----------
    sweep : Sweep
        A sweep with members that have ended.
    by : {"accuracy", "loss"}
        The validation score to choose by.
    reference : mapping, optional
        Dotted key and value of the settings that all others are tested against; by default λ = 0
        in a sweep over λ alone, and otherwise the best.

    Raises
    ------
    ConfigError
        If the reference is not one setting of the sweep.
    DataError
        If the test set is needed, and is missing or has changed.
    """
    sweep = with_unstable_members(sweep)
    excluded = _excluded(sweep)
    usable = {key: runs for key, runs in sweep.by_setting.items() if runs and key not in excluded}
    scores = {
        key: {seed: _last_epoch(run, f"val_{by}") for seed, run in runs.items()}
        for key, runs in usable.items()
    }
    against = _reference(sweep, reference, scores)
    choice = None
    if scores:
        choice = choose(
            scores,
            lambda key: _cost(sweep, key, list(usable[key].values())),
            lowest=by == "loss",
            reference=against,
        )
    summaries = [_summary(key, list(runs.values())) for key, runs in sweep.by_setting.items()]
    sign = 1 if by == "loss" else -1
    summaries.sort(key=lambda each: _rank(each, f"val_{by}", sign, each.key in excluded))
    test = _test_score(sweep, by, usable[choice.best]) if choice else {}
    if choice and sweep.info.chosen is None and sweep.status in {"finished", "partly_failed"}:
        chosen = usable[choice.best]
        with suppress(RunError):  # a read-only folder: the list of runs shows no accuracy then
            record_chosen(sweep.path, chosen[min(chosen)].path.name)
    return SweepChoice(sweep, by, tuple(summaries), against, choice, excluded, test)


def name_of(key: str) -> str:
    """Return the name of a swept key in sentences and on axes."""
    return "λ" if key == "training.l2_lambda" else column_of(key)


def _rank(summary: SettingSummary, field: str, sign: int, is_excluded: bool) -> tuple[Any, ...]:
    score: Mean | None = getattr(summary, field)
    return (score is None, is_excluded, sign * score.mean if score else 0.0)


def _excluded(sweep: Sweep) -> dict[Key, str]:
    """Return the settings of which a run diverged or is unstable, and which of the two."""
    diverged: dict[Key, list[int]] = {}
    for (*values, seed), run in sweep.members.items():
        if run.status == "diverged":
            diverged.setdefault(tuple(values), []).append(seed)
    reasons = {
        key: f"unstable: stable below a learning rate of {rate:.2g}"
        for key, rate in sweep.unstable.items()
    }
    return reasons | {
        key: f"diverged with seed {', '.join(map(str, seeds))}" for key, seeds in diverged.items()
    }


def _reference(sweep: Sweep, wanted: Mapping[str, Any] | None, scores: Scores) -> Key | None:
    names = list(sweep.settings.swept)
    if wanted is None:
        return (0.0,) if names == ["training.l2_lambda"] and (0.0,) in scores else None
    matches = [
        key
        for key in scores
        if all(name in names and key[names.index(name)] == v for name, v in wanted.items())
    ]
    if len(matches) != 1:
        asked = ", ".join(f"{name}={value}" for name, value in wanted.items())
        raise ConfigError(
            f"--reference {asked}: {len(matches)} settings of this sweep match and can be chosen; "
            f"give one value of each of {', '.join(names)}"
        )
    return matches[0]


def _cost(sweep: Sweep, key: Key, runs: Sequence[Run]) -> tuple[float, ...]:
    """Return what makes a setting complex: a small λ, then many images, then many steps."""
    names = list(sweep.settings.swept)
    at = names.index("training.l2_lambda") if "training.l2_lambda" in names else None
    n_train, stop_step = (
        float(np.mean([run.summary[name] for run in runs])) for name in ("n_train", "stop_step")
    )
    return (0.0 if at is None else -key[at], n_train, stop_step)


def _last_epoch(run: Run, column: str) -> float:
    """Return a column averaged over the checks of the last epoch."""
    epochs = run.metrics["epoch"]
    return float(run.metrics[column][epochs == epochs[-1]].mean())


def _summary(key: Key, runs: Sequence[Run]) -> SettingSummary:
    if not runs:
        return SettingSummary(key, 0, None, None, None, None, None)

    def mean(column: str) -> Mean:
        return Mean.of([_last_epoch(run, column) for run in runs])

    return SettingSummary(
        key,
        len(runs),
        mean("train_accuracy"),
        mean("val_accuracy"),
        mean("val_loss"),
        Mean.of([run.metrics["weight_norm"][-1] for run in runs]),
        Mean.of([run.metrics["epoch"][-1] for run in runs]),
    )


def _with_spread(mean: Mean | None) -> str:
    if mean is None:
        return "-"
    return f"{mean.mean:.4f}" if mean.sd is None else f"{mean.mean:.4f} ± {mean.sd:.4f}"


def _test_score(sweep: Sweep, by: Criterion, runs: Mapping[int, Run]) -> dict[str, Any]:
    """Return the score on the test set that sweep.json records; read the images if it has none."""
    swept = sweep.settings.swept
    if sweep.config.data.val_from != "train" or not swept or "data.val_from" in swept:
        return {}
    recorded = sweep.info.choice
    if recorded is None:
        if sweep.status not in {"finished", "partly_failed"}:  # not all candidates are there
            return {}
        recorded = _read_test(by, runs[min(runs)])
        record_choice(sweep.path, recorded)
    return recorded.model_dump()


def _read_test(by: Criterion, run: Run) -> ChoiceRecord:
    test = load_own_splits(run).test
    if test is None:
        raise RunError(f"{run.path} has no test set of its own")
    found = predict(test, run.weights["last"], run.head)
    n_correct = int((found.class_index == test.targets).sum())
    return ChoiceRecord(
        chosen_by=by,
        test_run=run.path.name,
        test_accuracy=n_correct / test.n_samples,
        test_interval=proportion_interval(n_correct, test.n_samples),
        test_loss=float(found.loss.mean()),
    )
