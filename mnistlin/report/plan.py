"""What a report file may contain: experiments, and parts that show them. Nothing is run here.

From a report file to its plan, and from the plan to the configs of all runs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mnistlin.config import ExperimentConfig, load_config, parse_as
from mnistlin.config.loading import unreadable_as_config_error

Words = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")]
"""What becomes part of a file name."""

PictureName: TypeAlias = Literal[
    "loss",
    "loss-log",
    "accuracy",
    "weights",
    "confusion",
    "dips",
    "loss-overlay",
    "accuracy-overlay",
    "lambda-accuracy",
    "lambda-final-accuracy",
    "lambda-weight-norm",
    "lambda-weights",
]
FindingName: TypeAlias = Literal[
    "curves",
    "early-stopping",
    "over-fitting",
    "dips",
    "gap",
    "confusion",
    "weights",
    "lambda-accuracy",
    "lambda-tests",
    "lambda-weight-norm",
]
StatementName: TypeAlias = Literal[
    "over-fits",
    "dips-only-without-shuffle",
    "local-optima",
    "gap-opens",
    "lambda-costs-accuracy",
    "accuracy-falls-with-lambda",
    "weight-norm-falls-with-lambda",
]
Derivation: TypeAlias = Literal["logistic", "softmax", "l2"]


class _Section(BaseModel):
    """A mapping of a report file: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Experiment(_Section):
    """An experiment of a report.

    Attributes
    ----------
    name : str
        What the parts call it.
    config : str
        The name of a shipped config, or a YAML file, relative to the report file.
    set : tuple of str
        Settings that win over it, as for `--set`.
    seeds : tuple of int
        Seeds to run it with: a run each, or those of a sweep. None given: those of the config.
    """

    name: Name
    config: Words
    set: Annotated[tuple[str, ...], Field(strict=False)] = ()
    seeds: Annotated[tuple[int, ...], Field(strict=False)] = ()


class NumberClaim(_Section):
    """A published number.

    Attributes
    ----------
    claim : str
        What it is a number of.
    experiment : str
        The experiment that measures it.
    measure : str
        Its key in summary.json.
    published : float
        The number; a percentage if `percent`.
    tolerance : float
        Up to this difference, in the same unit, both are the same number.
    percent : bool
        Whether the measured number is a fraction to be shown as a percentage.
    note : str
        What to say if they differ, or the seeds do not tell.
    """

    claim: Words
    experiment: Name
    measure: Name
    published: Annotated[float, Field(strict=False, allow_inf_nan=False)]
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    percent: bool = False
    note: str = ""


class StatementClaim(_Section):
    """A published statement.

    Attributes
    ----------
    claim : str
        What it is about.
    experiments : tuple of str
        The experiments that tell whether it holds.
    holds : str
        Which statement it is.
    published : str
        How it was put.
    tolerance : float
        What counts as no difference, where the statement has a number.
    l2_lambda : float
        The λ that it is about, where it is about one.
    note : str
        What to say if it does not hold, or the seeds do not tell.
    """

    claim: Words
    experiments: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]
    holds: StatementName
    published: Words
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    l2_lambda: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    note: str = ""


class Part(_Section):
    """A part of the report.

    Attributes
    ----------
    id : str
        As the assignment numbers it, such as 2d.
    title, question : str
        What it is about.
    experiments : tuple of str
        What it shows, in this order.
    derivation : str, optional
        Mathematics to show, with the numeric gradient check.
    pictures, findings : tuple of str
        Which figures and which sentences.
    measures : tuple of str
        Keys of summary.json to show of each run.
    numbers, statements : tuple
        What was published.
    correction : str
        Where the published explanation does not hold: why not.
    """

    id: Name
    title: Words
    question: Words
    experiments: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    derivation: Derivation | None = None
    pictures: Annotated[tuple[PictureName, ...], Field(strict=False)] = ()
    findings: Annotated[tuple[FindingName, ...], Field(strict=False)] = ()
    measures: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    numbers: Annotated[tuple[NumberClaim, ...], Field(strict=False)] = ()
    statements: Annotated[tuple[StatementClaim, ...], Field(strict=False)] = ()
    correction: str = ""

    @model_validator(mode="after")
    def _pictures_and_findings_need_experiments(self) -> Self:
        if (self.pictures or self.findings or self.measures) and not self.experiments:
            raise ValueError(f"part {self.id}: pictures, findings and measures need experiments")
        return self

    @property
    def named_experiments(self) -> Iterator[str]:
        """All names of experiments in it."""
        yield from self.experiments
        yield from (each.experiment for each in self.numbers)
        yield from (name for each in self.statements for name in each.experiments)


class Plan(_Section):
    """A report, whole.

    Attributes
    ----------
    title : str
        Its heading.
    introduction : str
        What it is about, in a few sentences.
    dataset : str
        What the published numbers were measured on; with any other, no verdict is given.
    elsewhere : tuple of str
        Settings for every other dataset.
    experiments : tuple of Experiment
        What is run.
    parts : tuple of Part
        What is shown, in this order.
    """

    title: Words
    introduction: Words
    dataset: Words
    elsewhere: Annotated[tuple[str, ...], Field(strict=False)] = ()
    experiments: Annotated[tuple[Experiment, ...], Field(strict=False)]
    parts: Annotated[tuple[Part, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _names_are_known_and_distinct(self) -> Self:
        names = [each.name for each in self.experiments]
        for what, found in {"experiment": names, "part": [part.id for part in self.parts]}.items():
            repeated = {each for each in found if found.count(each) > 1}
            if repeated:
                raise ValueError(f"{what} {', '.join(sorted(repeated))} stands twice; keep one")
        for part in self.parts:
            unknown = sorted(set(part.named_experiments) - set(names))
            if unknown:
                raise ValueError(
                    f"part {part.id} shows {', '.join(unknown)}, which is not among the "
                    f"experiments: {', '.join(names)}"
                )
        return self


def load_plan(path: Path) -> Plan:
    """Load a report file.

    Raises
    ------
    ConfigError
        If it cannot be read, or anything in it is not allowed; the message lists every problem.
    """
    with unreadable_as_config_error(f"the report file {path}"):
        text = path.read_text(encoding="utf-8")
    return parse_as(Plan, text, str(path))


def configs_of(plan: Plan, folder: Path, dataset: str) -> dict[str, list[ExperimentConfig]]:
    """Return what is to be run for each experiment: a config a seed, or that of a sweep.

    Parameters
    ----------
    plan : Plan
        The report.
    folder : Path
        Where its own configs are.
    dataset : str
        What all are trained on.

    Raises
    ------
    ConfigError
        If a config is not allowed; the message lists every problem of the first such.
    """
    shared = [f"data.dataset={_quoted(dataset)}"]
    if dataset != plan.dataset:
        shared += plan.elsewhere
    return {each.name: list(_configs(each, folder, shared)) for each in plan.experiments}


def _configs(
    experiment: Experiment, folder: Path, shared: Sequence[str]
) -> Iterator[ExperimentConfig]:
    own_file = folder / experiment.config
    source = own_file if own_file.is_file() else experiment.config
    config = load_config(source, [*experiment.set, *shared])
    if not experiment.seeds:
        yield config
    elif config.sweep:
        yield load_config(source, [*experiment.set, *shared, f"sweep.seeds={[*experiment.seeds]}"])
    else:
        for seed in experiment.seeds:
            yield load_config(source, [*experiment.set, *shared, f"training.seed={seed}"])


def _quoted(text: str) -> str:
    """Return text as YAML that is read back as text, whatever it looks like."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
