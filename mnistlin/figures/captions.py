"""The text of figures: titles, settings and footers, labels that distinguish runs, and numbers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from mnistlin.config import WITHOUT_EFFECT, ExperimentConfig, flat
from mnistlin.runs.folder import Run
from mnistlin.runs.scan import is_sweep
from mnistlin.runs.sweep_folder import Sweep, column_of, value_text
from mnistlin.text import shortened

__all__ = [
    "SHORT_NAME",
    "classes_text",
    "differing_keys",
    "ending",
    "footer",
    "has_short_names",
    "in_order",
    "of_run",
    "of_runs",
    "of_sweep",
    "ordered_values",
    "plain",
    "run_labels",
    "scaling_text",
    "settings",
    "title",
    "unstable",
]

UNORDERED = frozenset({"training.seed"})
"""Keys whose values are numbers without an order."""

MAX_KEYS = 4

MAX_UNSTABLE = 3
"""Unstable settings of a sweep that a figure names."""

SHORT_NAME = 3
"""Maximum length of a class name that fits in place of a label."""


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Return the config keys in which runs differ, by path, such as "training.shuffle".

    The name counts only if nothing else differs.
    """
    configs = [flat(run.config) for run in runs]
    paths = dict.fromkeys(path for config in configs for path in config)
    differing = [path for path in paths if len({_text(config, path) for config in configs}) > 1]
    telling = [path for path in differing if path not in WITHOUT_EFFECT]
    return telling or [path for path in differing if path == "name"]


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Return one label per run, all different, such as "shuffle: false", with one line per key.

    If only names differ, or more than MAX_KEYS keys do, the label is the name. Runs that still have
    the same label are distinguished by their folders.
    """
    keys = differing_keys(runs)
    is_name_enough = keys == ["name"] or len(keys) > MAX_KEYS
    labels = [
        plain(run.config.name) if is_name_enough else _label(flat(run.config), keys) for run in runs
    ]
    times = Counter(labels)
    return [
        label
        if label and times[label] == 1
        else "\n".join(filter(None, [label, plain(run.path.name)]))
        for label, run in zip(labels, runs, strict=True)
    ]


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Return runs sorted by the one key in which they differ if it holds numbers, else as given."""
    numbers = _numbers(runs)
    if numbers is None:
        return list(runs)
    return [runs[i] for i in sorted(range(len(runs)), key=numbers.__getitem__)]


def ordered_values(runs: Sequence[Run]) -> list[float] | None:
    """Return each run's value of the one key in which runs differ, if it is one of a quantity."""
    return None if UNORDERED.intersection(differing_keys(runs)) else _numbers(runs)


def _numbers(runs: Sequence[Run]) -> list[float] | None:
    keys = differing_keys(runs)
    values: list[Any] = [flat(run.config).get(key) for key in keys for run in runs]
    are_numbers = len(keys) == 1 and all(type(value) in (int, float) for value in values)
    return [float(value) for value in values] if are_numbers else None


def _label(config: dict[str, Any], keys: Sequence[str]) -> str:
    return "\n".join(
        plain(f"{key.rpartition('.')[2]}: {_text(config, key)}") for key in keys if key in config
    )


def _text(config: dict[str, Any], path: str) -> str:
    """Return a value as in YAML."""
    value = config.get(path, "absent")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


MAX_NAME = 40
MAX_NAMES = 110


def plain(text: str, limit: int = MAX_NAME) -> str:
    """Return untrusted text as one line of at most `limit` characters without markup.

    matplotlib would read $...$ as mathematics, and leave out of a legend what begins with _.
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    line = shortened(line, limit).replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line


def of_run(what: str, run: Run) -> tuple[str, str, str]:
    """Return title, settings and footer of a figure that shows `what` of one run."""
    words = (", ".join(settings(run)), ending(run))
    return title(what, run), "; ".join(filter(None, words)), footer([run])


def of_runs(what: str, runs: Sequence[Run]) -> tuple[str, str, str]:
    """Return title, settings and footer of a figure of several runs: what all have in common."""
    titles = {title(what, run) for run in runs}
    shared = [words for words in settings(runs[0]) if all(words in settings(run) for run in runs)]
    return (
        titles.pop() if len(titles) == 1 else f"{what} of {len(runs)} runs",
        ", ".join(shared),
        footer(runs),
    )


def of_sweep(what: str, sweep: Sweep, runs: Sequence[Run]) -> tuple[str, str, str]:
    """Return title, settings and footer of a figure of some runs of a sweep."""
    heading, shared, _ = of_runs(what, runs)
    n_seeds = len({run.config.training.seed for run in runs})
    seeds = f"mean ± sd of {n_seeds} seeds" if n_seeds > 1 else ""
    words = ", ".join(filter(None, [shared, seeds]))
    return heading, "; ".join(filter(None, [words, unstable(sweep)])), footer([sweep])


def unstable(sweep: Sweep) -> str:
    """Return which settings of a sweep cannot stay at their minimum; nothing if none."""
    if not sweep.unstable:
        return ""
    names = ["λ" if key == "training.l2_lambda" else column_of(key) for key in sweep.settings.swept]
    named = [
        ", ".join(f"{name} {_number(value)}" for name, value in zip(names, key, strict=True))
        for key in sweep.unstable
    ]
    more = f" and {len(named) - MAX_UNSTABLE} more" if len(named) > MAX_UNSTABLE else ""
    shown = "; ".join(named[:MAX_UNSTABLE])
    return f"unstable at their learning rate: {shown}{more}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else plain(value_text(value))


def title(what: str, run: Run) -> str:
    """Return a title such as "Loss of softmax regression on mnist, 0–9"."""
    dataset = plain(PurePath(run.config.data.dataset).name or run.config.data.dataset)
    return f"{what} of {run.head.title} on {dataset}, {classes_text(run)}"


def classes_text(run: Run) -> str:
    """Return the classes as "0–9", "2 against 3", "1, 4 and 7" or "26 classes"."""
    classes = run.classes
    if run.weights_shape[1] == 1:  # one output for two classes
        return " against ".join(plain(name, 14) for name in run.class_names)
    if len(classes) > 2 and classes == tuple(range(classes[0], classes[-1] + 1)):
        return f"{classes[0]}–{classes[-1]}"
    if len(classes) > 8:
        return f"{len(classes)} classes"
    return " and ".join(filter(None, [", ".join(map(str, classes[:-1])), str(classes[-1])]))


def settings(run: Run) -> list[str]:
    """Describe the settings that determine a run's numbers."""
    training, stopping = run.config.training, run.config.early_stopping
    words = [
        _n_images(run),
        f"learning rate {training.learning_rate:g}",
        f"batch {training.batch_size:,}",
        f"λ = {training.l2_lambda:g}",
        *_randomness(run.config),
        f"patience {stopping.patience}" if stopping else "",
    ]
    return [each for each in words if each]


def _randomness(config: ExperimentConfig) -> list[str]:
    """Return whether images are shuffled or rows sampled, and with which seed."""
    training, is_sampled = (
        config.training,
        "sample" in {config.data.train_rows, config.data.val_rows},
    )
    words = ["shuffled" if training.shuffle else "not shuffled"]
    if training.shuffle and training.order == "legacy":
        words = ["shuffled (legacy order)"]
    if is_sampled:
        words.append("sampled rows")
    return [*words, f"seed {training.seed}"] if training.shuffle or is_sampled else words


def scaling_text(run: Run) -> str:
    """Return how pixels became inputs: "scaled to [−1, 1]"."""
    fixed = {"symmetric": "scaled to [−1, 1]", "unit": "scaled to [0, 1]"}
    name = run.config.data.scaling
    if name in fixed:
        return fixed[name]
    return f"standardised (mean {run.scaling.mean:.2f}, sd {run.scaling.divisor:.2f})"


def has_short_names(run: Run) -> bool:
    """Return whether the names of all classes are as short as labels are."""
    return all(len(name) <= SHORT_NAME for name in run.class_names)


def ending(run: Run) -> str:
    """Return how the run ended if it did not take all its steps, else nothing."""
    if run.status == "finished":
        return ""
    steps = run.steps["step"]
    when = f"after step {steps[-1]:,}" if len(steps) else "before a step was done"
    words = {"early_stopped": "stopped early", "running": "unfinished, drawn"}
    return f"{words.get(run.status, plain(run.status))} {when}"


def footer(runs: Sequence[Run | Sweep]) -> str:
    """Return the folders, the versions of the package, and the warnings of runs."""
    names = ", ".join(plain(_folder(run), MAX_NAMES) for run in runs)
    if len(names) > MAX_NAMES:
        names = f"{plain(_folder(runs[0]), MAX_NAMES)} and {len(runs) - 1} more"
    versions = ", ".join(sorted({plain(run.info.mnistlin or "?") for run in runs}))
    warnings = sorted({plain(warning, MAX_NAMES) for run in runs for warning in run.warnings})
    return "  ·  ".join([names, f"mnistlin {versions}", *warnings])


def _folder(run: Run | Sweep) -> str:
    """Return the name of a folder, after that of its sweep if it is a member of one."""
    parent = run.path.parent
    return f"{parent.name}/{run.path.name}" if is_sweep(parent) else run.path.name


def _n_images(run: Run) -> str:
    """Return how many images were trained on, which only the data knows: classes are filtered."""
    return f"{run.info.data.splits.train.n_samples:,} training images"
