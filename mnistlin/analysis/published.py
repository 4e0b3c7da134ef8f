"""Published numbers as they were typed, and whether the end of a training run matches them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import (
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Decimal,
    InvalidOperation,
    localcontext,
)
from fractions import Fraction
from typing import Any, Literal, TypeAlias

from mnistlin.analysis.protocols import Ending
from mnistlin.errors import ConfigError
from mnistlin.text import written

LOSS_TOLERANCE = 1e-12
"""Tolerance for losses with many decimals, in nats, since sums round differently."""

NEAR_COUNT = {"epoch": 1, "step": 6}
NEAR_ACCURACY = Fraction(1, 200)
NEAR_LOSS = 0.02
"""How far a number may be off, relative to the loss, in a near miss."""

Typed: TypeAlias = str | float

Quantity: TypeAlias = Literal[
    "stop_epoch", "stop_step", "train_accuracy", "val_accuracy", "val_loss"
]

NAMES: Mapping[Quantity, str] = {
    "stop_epoch": "epoch",
    "stop_step": "step",
    "train_accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
}
FIELDS = {name: name.removeprefix("stop_") for name in NAMES}
"""What an ending calls them."""


@dataclass(frozen=True)
class TypedNumber:
    """A decimal number as it was typed, with all its decimals."""

    value: Decimal

    @classmethod
    def parse(cls, text: str) -> "TypedNumber":
        """Return the number in a text such as `97.6`, `97.6%` or `0.9764`.

        Raises
        ------
        ConfigError
            If it is not a finite decimal number of at least 0.
        """
        try:
            value = Decimal(text.strip().removesuffix("%").strip())
        except InvalidOperation:
            value = Decimal("nan")
        if not value.is_finite() or value < 0 or abs(value.adjusted()) > 20:
            raise ConfigError(f"found {text!r}; a number such as 97.6 or 0.976 is allowed")
        return cls(value)

    def is_rounding_of(self, exact: Fraction) -> bool:
        """Whether it is the exact number cut off, or rounded half up or half to even."""
        decimals = max(0, -int(self.value.as_tuple().exponent))
        with localcontext() as context:
            context.prec = 80
            number = Decimal(exact.numerator) / Decimal(exact.denominator)
            if decimals > 12:
                return abs(number - self.value) <= Decimal(LOSS_TOLERANCE)
            unit = Decimal(1).scaleb(-decimals)
            modes = (ROUND_DOWN, ROUND_HALF_UP, ROUND_HALF_EVEN)
            return any(number.quantize(unit, mode) == self.value for mode in modes)

    def is_accuracy(self, exact: Fraction) -> bool:
        """Whether it is a rounding of a fraction; above 1 it is a percentage."""
        return self.is_rounding_of(100 * exact if self.value > 1 else exact)

    def as_fraction(self) -> Fraction:
        """Return the accuracy that was meant, as a fraction."""
        return Fraction(self.value) / (100 if self.value > 1 else 1)


@dataclass(frozen=True)
class Published:
    """The numbers that somebody gives, of one trained model.

    Epochs and steps count from 0. Accuracies above 1 are percentages, others are fractions.
    """

    stop_epoch: int | None = None
    stop_step: int | None = None
    train_accuracy: TypedNumber | None = None
    val_accuracy: TypedNumber | None = None
    val_loss: TypedNumber | None = None

    def given(self) -> dict[Quantity, Any]:
        """Return the numbers that were given."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    def misses(self, ending: Ending) -> list[str] | None:
        """Describe what differs; None if a number is not even near."""
        found = [
            _COMPARISONS[name](value, getattr(ending, FIELDS[name]))
            for name, value in self.given().items()
        ]
        return None if None in found else [words for words in found if words]


def _compare_count(unit: str) -> Callable[[int, int], str | None]:
    def compare(typed: int, found: int) -> str | None:
        if typed == found:
            return ""
        if typed == found + 1:
            return f"{unit} {found}, which is {typed} if {unit}s are counted from 1"
        near = abs(typed - found) <= NEAR_COUNT[unit]
        return f"{unit} {found} instead of {typed}" if near else None

    return compare


def _compare_accuracy(name: str) -> Callable[[TypedNumber, Fraction], str | None]:
    def compare(typed: TypedNumber, found: Fraction) -> str | None:
        if abs(typed.as_fraction() - found) > NEAR_ACCURACY:
            return None
        return "" if typed.is_accuracy(found) else f"{name} {shown(found)}"

    return compare


def _compare_loss(typed: TypedNumber, found: float) -> str | None:
    if abs(float(typed.value) - found) > NEAR_LOSS * found:
        return None
    return "" if typed.is_rounding_of(Fraction(found)) else f"validation loss {found:.6g}"


_COMPARISONS: Mapping[Quantity, Callable[[Any, Any], str | None]] = {
    "stop_epoch": _compare_count("epoch"),
    "stop_step": _compare_count("step"),
    "train_accuracy": _compare_accuracy(NAMES["train_accuracy"]),
    "val_accuracy": _compare_accuracy(NAMES["val_accuracy"]),
    "val_loss": _compare_loss,
}
"""For each quantity: "" if the typed number matches, a description if it is near, else None."""


def shown(value: Any) -> str:
    """Return a quantity formatted for display."""
    if isinstance(value, Fraction):
        return f"{float(value):.4f} ({written(float(value), '.2%')})"
    return f"{value:.6g}"
