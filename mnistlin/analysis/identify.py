"""Which protocol reproduces a published number? Compares it with those of many protocols.

A protocol says which rows a model is trained and validated on, how they are scaled, and in which
order they come. `protocols` trains each once and finds where each rule of early stopping ends it;
here the numbers of these endings are compared with those that were typed.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mnistlin.analysis.protocols import Ending, OnTrained, all_endings, shipped_protocols
from mnistlin.analysis.published import (
    FIELDS,
    NAMES,
    Published,
    Quantity,
    Typed,
    TypedNumber,
    shown,
)
from mnistlin.analysis.result import Result, Values
from mnistlin.analysis.stopping_rules import MAX_PATIENCE, StoppingRule
from mnistlin.config import EarlyStoppingConfig, ExperimentConfig
from mnistlin.errors import ConfigError

MAX_ANSWERS = 5
N_NEAR_MISSES = 3


@dataclass(frozen=True)
class Answer:
    """A possible protocol: a config, where its training ends, and its numbers there."""

    config: ExperimentConfig
    ending: Ending
    misses: tuple[str, ...]
    shipped: str
    """The shipped config with the fewest different keys."""
    changes: Mapping[str, Any]
    """The keys in which it differs from that one."""

    @property
    def rule(self) -> StoppingRule | None:
        """The rule that ends training; None if it continues to its last epoch."""
        return self.ending.rule

    def value(self, name: Quantity) -> Any:
        """Return its value of a published number."""
        return getattr(self.ending, FIELDS[name])

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts answers: matches, then unchanged shipped protocols, then few changed keys."""
        patience = self.rule.distance if self.rule else (0.0, False, 0)
        n_misses = sum(1 if "counted from 1" in miss else 2 for miss in self.misses)
        return n_misses, len(self.changes), self.config.training.seed, patience, self.shipped

    @property
    def command(self) -> str:
        """The command that reproduces it."""
        settings = dict(self.changes)
        words = [f"--set {shlex.quote(f'{key}={_yaml(value)}')}" for key, value in settings.items()]
        return " ".join(["mnistlin train --config", self.shipped, *words])

    def sentence(self) -> str:
        """Describe the protocol in one sentence."""
        keys = [
            f"{key} {_yaml(value)}" for key, value in self.changes.items() if "stopping" not in key
        ]
        how = f" with {', '.join(keys)}" if keys else ""
        stop = (
            f"{self.rule}"
            if self.rule
            else f"no early stopping, {self.config.training.epochs} epochs"
        )
        missed = f", but {' and '.join(self.misses)}" if self.misses else ""
        return f"{self.shipped}{how}, {stop}{missed}"

    def row(self) -> Values:
        """Return the keys and numbers of this answer."""
        return {
            "config": self.shipped,
            **_keys(self.config),
            **{name: _plain(self.value(name)) for name in NAMES},
            "changes": dict(self.changes),
            "sentence": self.sentence(),
            "command": self.command,
        }


def _plain(value: Any) -> int | float:
    return float(value) if isinstance(value, Fraction) else value


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _keys(config: ExperimentConfig) -> dict[str, Any]:
    """Return the keys that make a protocol, by dotted name."""
    data, training, stopping = config.data, config.training, config.early_stopping
    names = ("train_size", "train_rows", "val_size", "val_rows", "val_from", "scaling")
    is_random = training.shuffle or "sample" in (data.train_rows, data.val_rows)
    return {
        **{f"data.{name}": getattr(data, name) for name in names},
        "training.epochs": training.epochs,
        "training.batch_size": training.batch_size,
        "training.learning_rate": training.learning_rate,
        "training.dtype": training.dtype,
        "training.shuffle": training.shuffle,
        "training.order": training.order if is_random else "legacy",
        "training.seed": training.seed if is_random else 0,
        "early_stopping.patience": stopping.patience if stopping else None,
        "early_stopping.min_delta": stopping.min_delta if stopping else None,
    }


@dataclass(frozen=True)
class Identification(Result):
    """The protocols that give some published numbers, and those that nearly do."""

    published: Published
    model: str
    n_protocols: int
    matches: tuple[Answer, ...]
    near_misses: tuple[Answer, ...]

    title = "Which protocol gives these numbers?"

    @property
    def stem(self) -> str:
        """identify-logistic or identify-softmax."""
        return f"identify-{self.model}"

    def values(self) -> Values:
        """Return the numbers as they were typed, and how many protocols give them."""
        given: dict[str, Any] = {
            name: value if isinstance(value, int) else str(value.value)
            for name, value in self.published.given().items()
        }
        return {
            "model": self.model,
            **given,
            "n_protocols": self.n_protocols,
            "n_matches": len(self.matches),
        }

    def as_object(self) -> Values:
        """Return the values, and all answers with their keys and numbers, the simplest first."""
        return {
            **self.values(),
            "matches": [answer.row() for answer in self.matches],
            "near_misses": [answer.row() for answer in self.near_misses],
        }

    def explanation(self) -> str:
        """List the answers, each with its command, and what would distinguish them."""
        parts = [self._about_matches()]
        parts += _listed(self.matches[:MAX_ANSWERS])
        if self.near_misses:
            parts.append("Near misses:")
            parts += _listed(self.near_misses)
        if len(self.matches) > 1:
            parts.append(self._telling_apart())
        return "\n\n".join(parts)

    def _about_matches(self) -> str:
        searched = f"{self.n_protocols:,} protocols and all rules of early stopping up to patience "
        searched += f"{MAX_PATIENCE}"
        if not self.matches:
            near = "" if self.near_misses else ", and none comes near"
            return f"None of {searched} gives these numbers{near}."
        if len(self.matches) == 1:
            return f"Of {searched}, one combination gives these numbers."
        shown = min(MAX_ANSWERS, len(self.matches))
        return (
            f"Of {searched}, {len(self.matches):,} combinations give these numbers. The {shown} "
            "nearest to a shipped config:"
        )

    def _telling_apart(self) -> str:
        """Name the further number that distinguishes most of the matches."""
        given = self.published.given()
        values = {
            name: list(dict.fromkeys(shown(answer.value(name)) for answer in self.matches))
            for name in NAMES
            if name not in given
        }
        name = max(values, key=lambda name: len(values[name]), default=None)
        if name is None or len(values[name]) < 2:
            return "No further number of the last check would distinguish these."
        first = " or ".join(values[name][:3])
        more = f" or one of {len(values[name]) - 3} others" if len(values[name]) > 3 else ""
        return f"The {NAMES[name]} would distinguish most of them: {first}{more}."


def _listed(answers: Sequence[Answer]) -> list[str]:
    return [f"{i}. {each.sentence()}:\n\n    {each.command}" for i, each in enumerate(answers, 1)]


def identify(  # noqa: PLR0913 (one for each number that may be published)
    model: str = "logistic",
    dataset: str = "mnist",
    *,
    stop_epoch: int | None = None,
    stop_step: int | None = None,
    train_accuracy: Typed | None = None,
    val_accuracy: Typed | None = None,
    val_loss: Typed | None = None,
    on_trained: OnTrained | None = None,
) -> Identification:
    """Find the protocols that give some published numbers, of which at least one is given.

    The first question about a model trains all protocols, in one process per core, so a script must
    call this below `if __name__ == "__main__":`. Their results are cached by the content of the
    data files, and the next question takes seconds.

    Parameters
    ----------
    model : {"logistic", "softmax"}
        Which task of the assignment the numbers are about.
    dataset : str
        Data to train on.
    stop_epoch, stop_step : int, optional
        Where training stopped; both count from 0.
    train_accuracy, val_accuracy, val_loss : str or float, optional
        Numbers of the last check, as they were published: "97.60" has two decimals, 97.60 has one.
        Accuracies above 1 are percentages, others fractions; the loss is in nats.
    on_trained : callable, optional
        Called with the number of protocols just trained, if results are not cached.

    Raises
    ------
    ConfigError
        If no number is given, or one is not a number.
    DataError
        If the dataset is missing or damaged.
    RunError
        If processes cannot be started.
    """
    published = Published(
        stop_epoch,
        stop_step,
        *(
            None if value is None else TypedNumber.parse(str(value))
            for value in (train_accuracy, val_accuracy, val_loss)
        ),
    )
    if not published.given():
        raise ConfigError(
            "no number to identify; give at least one, such as --stop-epoch 16 --val-accuracy 97.6"
        )
    trained = all_endings(model, dataset, on_trained)
    shipped = {name: _keys(config) for name, config in shipped_protocols(model, dataset).items()}
    answers = sorted(
        (
            _answer(config, ending, tuple(misses), shipped)
            for config, endings in trained
            for ending in endings
            if (misses := published.misses(ending)) is not None
        ),
        key=lambda answer: answer.rank,
    )
    n_matches = sum(not answer.misses for answer in answers)
    return Identification(
        published,
        model,
        len(trained),
        tuple(answers[:n_matches]),
        _nearest(answers[n_matches:]),
    )


def _answer(
    config: ExperimentConfig,
    ending: Ending,
    misses: tuple[str, ...],
    shipped: Mapping[str, Mapping[str, Any]],
) -> Answer:
    """Return an answer, described by the shipped config that it differs from in the fewest keys."""
    rule = ending.rule
    stopping = None
    if rule and rule.key:
        stopping = EarlyStoppingConfig(patience=rule.key, min_delta=rule.min_delta)
    else:  # no key says where it stops: train to the end of that epoch
        training = config.training.model_copy(update={"epochs": ending.epoch + 1})
        config = config.model_copy(update={"training": training})
    config = config.model_copy(update={"early_stopping": stopping})
    keys = _keys(config)
    stop_epoch = ending.epoch if stopping else None
    changes_from = {name: _changes(keys, theirs, stop_epoch) for name, theirs in shipped.items()}
    nearest = min(
        shipped,
        key=lambda name: (len(changes_from[name]), not name.startswith("tdt4265/"), name),
    )
    return Answer(config, ending, misses, nearest, changes_from[nearest])


def _changes(
    keys: Mapping[str, Any], theirs: Mapping[str, Any], stop_epoch: int | None
) -> dict[str, Any]:
    """Return the keys to change in a shipped config; more epochs only if a rule needs them."""
    changes = {key: value for key, value in keys.items() if theirs[key] != value}
    if stop_epoch is not None and theirs["training.epochs"] > stop_epoch:
        changes.pop("training.epochs", None)
    if (
        keys["early_stopping.patience"] is None
        and changes.pop("early_stopping.patience", 1) is None
    ):
        changes.pop("early_stopping.min_delta")
        changes["early_stopping"] = None
    if theirs["early_stopping.patience"] is None and not keys["early_stopping.min_delta"]:
        changes.pop("early_stopping.min_delta", None)  # the default
    return changes


def _nearest(misses: Sequence[Answer]) -> tuple[Answer, ...]:
    """Return the first miss of each protocol, a few in all."""
    first: dict[str, Answer] = {}
    for answer in misses:
        protocol = answer.config.model_copy(update={"early_stopping": None})
        first.setdefault(protocol.model_dump_json(), answer)
    return tuple(first.values())[:N_NEAR_MISSES]
