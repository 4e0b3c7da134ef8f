"""The schema of a report file, and the configs of the experiments that it lists.

A report file names what it shows: experiments by their configs, figures and questions by the names
under which they are listed, and claims by the name of their test. `load_report` collects all
problems of a file, those in its experiments' configs included, before anything is trained.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mnistlin.analysis.claims import claims
from mnistlin.config import (
    ExperimentConfig,
    load_config,
    parse_as,
    parse_setting,
    shipped_reports,
)
from mnistlin.config.loading import listed, unreadable_as_config_error
from mnistlin.errors import ConfigError
from mnistlin.figures.draw import OVERLAY_FIGURES, REPORT_RUN_FIGURES, SWEEP_FIGURES
from mnistlin.runs.records import Summary
from mnistlin.runs.sweep_folder import keys_of
from mnistlin.text import did_you_mean

Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")]
"""A name that becomes part of a file name."""

Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=False, ge=0, allow_inf_nan=False)]


def _as_mapping(settings: Any) -> Any:
    """Return settings as a mapping where they are given as texts, as for `--set`."""
    if not isinstance(settings, list) or not all(isinstance(each, str) for each in settings):
        return settings
    try:
        return dict(map(parse_setting, settings))
    except ConfigError as error:
        raise ValueError(str(error)) from None


Settings = Annotated[dict[str, Any], BeforeValidator(_as_mapping)]
"""Values by dotted keys of a config, such as `training.epochs: 10`, or `key=value` texts."""


MEASURES = tuple(name for name in Summary.model_fields if name != "stop_reason")
"""The numbers of summary.json."""

Derivation: TypeAlias = Literal["logistic", "softmax", "l2"]


def _known(what: str, names: Callable[[], Collection[str]]) -> AfterValidator:
    """Accept a name only if it is listed; `names` is called when a file is read."""

    def check(name: str) -> str:
        if name not in (known := names()):
            guess = did_you_mean(name, known)
            raise ValueError(f"unknown {what}{guess}; allowed: {', '.join(sorted(known))}")
        return name

    return AfterValidator(check)


FigureName = Annotated[str, _known("figure", lambda: {*REPORT_RUN_FIGURES, *SWEEP_FIGURES})]
OverlayName = Annotated[str, _known("overlay", lambda: OVERLAY_FIGURES)]
Measure = Annotated[str, _known("number of summary.json", lambda: MEASURES)]
TestName = Annotated[str, _known("test of a claim", claims)]


class _Section(BaseModel):
    """A mapping of a report file: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Experiment(_Section):
    """An experiment: a config, settings that override it, and seeds to repeat it with.

    Settings under `elsewhere` are added on another dataset than the report's.
    """

    name: Name
    config: Text
    set: Settings = {}
    elsewhere: Settings = {}
    seeds: Annotated[tuple[int, ...], Field(strict=False)] = ()


class NumberClaim(_Section):
    """A published number, and the key of summary.json that it is compared with.

    `tolerance` is the largest difference that agrees, in the unit of `published`: percent if
    `percent`. `same_seed` says that the published value comes from the experiment's own first seed,
    so that chance explains no difference.
    """

    claim: Text
    experiment: Name
    measure: Measure
    published: Number
    tolerance: NotNegative
    percent: bool = False
    same_seed: bool = False
    source: str = ""
    note: str = ""


class StatementClaim(_Section):
    """A published statement, and the name of its test.

    `tolerance` and `l2_lambda` are options of those tests that have them; `note` is shown unless
    the claim agrees.
    """

    claim: Text
    experiments: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]
    holds: TestName
    published: Text
    tolerance: NotNegative = 0.0
    l2_lambda: NotNegative = 0.0
    source: str = ""
    note: str = ""


class Part(_Section):
    """A part of the report: what it asks, what it shows of its experiments, what was published."""

    id: Name
    title: Text
    question: Text
    experiments: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    derivation: Derivation | None = None
    figures: Annotated[tuple[FigureName, ...], Field(strict=False)] = ()
    overlays: Annotated[tuple[OverlayName, ...], Field(strict=False)] = ()
    measures: Annotated[tuple[Measure, ...], Field(strict=False)] = ()
    numbers: Annotated[tuple[NumberClaim, ...], Field(strict=False)] = ()
    statements: Annotated[tuple[StatementClaim, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _has_experiments_to_show(self) -> Self:
        if (self.figures or self.overlays or self.measures) and not self.experiments:
            raise ValueError(f"part {self.id}: figures, overlays and measures need experiments")
        return self

    @property
    def named_experiments(self) -> Iterator[str]:
        """All names of experiments in it."""
        yield from self.experiments
        yield from (each.experiment for each in self.numbers)
        yield from (name for each in self.statements for name in each.experiments)


class Plan(_Section):
    """A report file: experiments, and the parts that show them, in this order.

    The published numbers are about `dataset`; with any other, the settings under `elsewhere` are
    added and no verdict is given.
    """

    title: Text
    introduction: Text
    dataset: Text
    elsewhere: Settings = {}
    experiments: Annotated[tuple[Experiment, ...], Field(strict=False)]
    parts: Annotated[tuple[Part, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _names_are_known_and_distinct(self) -> Self:
        names = [each.name for each in self.experiments]
        problems = [
            *_repeated("experiment", names),
            *_repeated("part", [part.id for part in self.parts]),
            *(
                f"part {part.id}: unknown experiment {name}{did_you_mean(name, names)}; "
                f"allowed: {', '.join(names)}"
                for part in self.parts
                for name in sorted(set(part.named_experiments) - set(names))
            ),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _repeated(what: str, names: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"{what} {name} is listed {names.count(name)} times; keep one"


@dataclass(frozen=True)
class Report:
    """A checked report file, with the configs of each experiment: one per seed, or one sweep."""

    plan: Plan
    dataset: str
    configs: Mapping[str, tuple[ExperimentConfig, ...]]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of experiments, runs, parts and claims."""
        return {
            "experiments": len(self.configs),
            "runs": sum(_n_runs(config) for each in self.configs.values() for config in each),
            "parts": len(self.plan.parts),
            "claims": sum(len(part.numbers) + len(part.statements) for part in self.plan.parts),
        }

    @property
    def is_comparable(self) -> bool:
        """Whether the published numbers are about this dataset."""
        return self.dataset == self.plan.dataset


def load_report(source: str | Path, dataset: str | None = None) -> Report:
    """Load a report file, or a shipped one by its name, and the configs of its experiments.

    Parameters
    ----------
    source : str or Path
        The file or name.
    dataset : str, optional
        What all experiments are trained on, instead of the dataset of the file.

    Raises
    ------
    ConfigError
        If a file cannot be read or anything in it is not allowed; the message lists all problems.
    """
    path = _find(source)
    with unreadable_as_config_error(f"the report file {path}"):
        text = path.read_text(encoding="utf-8")
    plan = parse_as(Plan, text, str(path))
    dataset = dataset or plan.dataset
    configs: dict[str, tuple[ExperimentConfig, ...]] = {}
    problems: list[str] = []
    for experiment in plan.experiments:
        try:
            elsewhere = plan.elsewhere | experiment.elsewhere if dataset != plan.dataset else {}
            settings = experiment.set | elsewhere | {"data.dataset": dataset}
            configs[experiment.name] = tuple(_configs(experiment, path.parent, settings))
        except ConfigError as error:
            problems.append(f"experiment {experiment.name}: {error}")
    problems += [line for part in plan.parts for line in _wrong_kinds(part, configs)]
    if problems:
        raise ConfigError(listed(str(path), problems))
    return Report(plan, dataset, configs)


def _find(source: str | Path) -> Path:
    if Path(source).is_file():
        return Path(source)
    shipped = shipped_reports()
    if str(source) in shipped:
        return shipped[str(source)]
    raise ConfigError(
        f"the report file {str(source)!r} does not exist; give the path of a YAML file or the name "
        f"of a shipped one: {', '.join(shipped)}{did_you_mean(str(source), shipped)}"
    )


def _n_runs(config: ExperimentConfig) -> int:
    return len(keys_of(config.sweep)) if config.sweep else 1


def _configs(
    experiment: Experiment, folder: Path, settings: Settings
) -> Iterator[ExperimentConfig]:
    own_file = folder / experiment.config
    source = own_file if own_file.is_file() else experiment.config
    config = load_config(source, settings)
    if not experiment.seeds:
        yield config
    elif config.sweep:
        yield load_config(source, settings | {"sweep.seeds": [*experiment.seeds]})
    else:
        for seed in experiment.seeds:
            yield load_config(source, settings | {"training.seed": seed})


def _wrong_kinds(part: Part, configs: Mapping[str, Sequence[ExperimentConfig]]) -> Iterator[str]:
    """Yield problems of parts that ask of a sweep what only a run has, or vice versa."""
    for name in part.experiments:
        if name not in configs:  # its config has problems of its own
            continue
        is_sweep = configs[name][0].sweep is not None
        kind, figures = ("sweep", SWEEP_FIGURES) if is_sweep else ("run", REPORT_RUN_FIGURES)
        for figure in part.figures:
            if figure not in figures:
                yield (
                    f"part {part.id}: experiment {name} is a {kind}, which has no figure {figure}; "
                    f"allowed: {', '.join(figures)}"
                )
        for key in ("overlays", "measures"):
            if is_sweep and getattr(part, key):
                yield f"part {part.id}: {key} need runs, but experiment {name} is a sweep"
    for number in part.numbers:
        if number.experiment in configs and configs[number.experiment][0].sweep:
            yield (
                f"part {part.id}: {number.claim!r} needs a run, but experiment "
                f"{number.experiment} is a sweep"
            )
