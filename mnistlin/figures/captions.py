"""The words on a figure: its title, the line of settings, the footer, and how a run ended.

Only words: nothing here draws.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep

MODEL_NAMES = {"logistic": "logistic regression", "softmax": "softmax regression"}
MAX_NAME = 40
MAX_NAMES = 110


def plain(text: str, limit: int = MAX_NAME) -> str:
    """Return text that others wrote as one line of at most `limit` letters that means only itself.

    matplotlib would read $...$ as mathematics, and leave out of a legend what begins with _.
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    if len(line) > limit:
        line = f"{line[: limit // 2]}…{line[-(limit - limit // 2 - 1) :]}"
    line = line.replace("$", r"\$")
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
    return heading, ", ".join(filter(None, [shared, seeds])), footer([sweep])


def title(what: str, run: Run) -> str:
    """Return such as "Loss of softmax regression on mnist, 0–9"."""
    dataset = plain(PurePath(run.config.data.dataset).name or run.config.data.dataset)
    return f"{what} of {MODEL_NAMES[run.config.model]} on {dataset}, {classes_text(run)}"


def classes_text(run: Run) -> str:
    """Return such as "0–9", "2 against 3", "1, 4 and 7" or "26 classes"."""
    classes = run.classes
    if run.config.model == "logistic":
        return " against ".join(map(str, classes))
    if len(classes) > 2 and classes == tuple(range(classes[0], classes[-1] + 1)):
        return f"{classes[0]}–{classes[-1]}"
    if len(classes) > 8:
        return f"{len(classes)} classes"
    return " and ".join(filter(None, [", ".join(map(str, classes[:-1])), str(classes[-1])]))


def settings(run: Run) -> list[str]:
    """Return the settings that decide a run's numbers, in words."""
    training, stopping = run.config.training, run.config.early_stopping
    words = [
        _n_images(run),
        f"learning rate {training.learning_rate:g}",
        f"batch {training.batch_size:,}",
        f"λ = {training.l2_lambda:g}",
        *(["shuffled", f"seed {training.seed}"] if training.shuffle else ["not shuffled"]),
        f"patience {stopping.patience}" if stopping else "",
    ]
    return [each for each in words if each]


def ending(run: Run) -> str:
    """Return how the run ended if it did not take all its steps, else nothing."""
    if run.status == "finished":
        return ""
    steps = run.steps["step"]
    when = f"after step {steps[-1]:,}" if len(steps) else "before a step was done"
    words = {"early_stopped": "stopped early", "running": "unfinished, drawn"}
    return f"{words.get(run.status, plain(run.status))} {when}"


def footer(runs: Sequence[Run | Sweep]) -> str:
    """Return which folders, which version, and which doubt there is about the numbers."""
    names = ", ".join(plain(run.path.name, MAX_NAMES) for run in runs)
    if len(names) > MAX_NAMES:
        names = f"{plain(runs[0].path.name, MAX_NAMES)} and {len(runs) - 1} more"
    versions = ", ".join(sorted({plain(str(run.info.get("mnistlin", "?"))) for run in runs}))
    doubts = sorted({plain(str(run.info["doubt"])) for run in runs if run.info.get("doubt")})
    return "  ·  ".join([names, f"mnistlin {versions}", *doubts])


def _n_images(run: Run) -> str:
    """Return how many images were trained on, which only the data knows: classes are filtered."""
    splits: Any = run.info["data"].get("splits")
    try:
        return f"{splits['train']['n_samples']:,} training images"
    except (KeyError, TypeError, ValueError):  # a folder from elsewhere may lack it
        return ""
