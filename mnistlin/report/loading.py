"""From a report file to its plan, and from the plan to the configs of all runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mnistlin.config import ExperimentConfig, load_config, parse_as
from mnistlin.config.problems import unreadable_as_config_error
from mnistlin.report.plan import Experiment, Plan


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
