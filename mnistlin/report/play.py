"""The page of `play`: draw a digit in the browser, and watch a run, or all λ of a sweep, answer.

The page needs no other file and no network. Its script, play.js, brings the drawing into the form
of the training images by the steps of `mnistlin.data.drawing`.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from mnistlin._version import __version__
from mnistlin.data.catalog import fills_image
from mnistlin.data.splits import Split
from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.model.heads import CrossEntropy
from mnistlin.runs.classifier import Classifier, WeightsName
from mnistlin.runs.files import write_into
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.runs.sweep_folder import Sweep

MAX_BYTES = 2_000_000
"""Maximum size of the page, so that it can be sent by e-mail."""

MAX_SAMPLES = 20
_PAD_PIXELS = 280
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class PlayPage:
    """A written page.

    Attributes
    ----------
    path : Path
        The file.
    runs : tuple of Run
        Whose weights it holds, by increasing λ.
    n_left_out : int
        How many other λ of the sweep do not fit into MAX_BYTES.
    """

    path: Path
    runs: tuple[Run, ...]
    n_left_out: int


def members_by_lambda(sweep: Sweep, seed: int | None = None) -> list[Run]:
    """Return the runs of one seed by increasing λ.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    seed : int, optional
        Default: the first of the sweep.

    Raises
    ------
    RunError
        If the sweep is not over λ alone, has no such seed, or no member that has ended well.
    """
    if not sweep.by_lambda:
        raise RunError(f"{sweep.path} is not a sweep over λ alone; name one of its run folders")
    seeds = sweep.settings.seeds
    if seed is not None and seed not in seeds:
        raise RunError(f"{sweep.path} has no seed {seed}; it may be {', '.join(map(str, seeds))}")
    wanted = seeds[0] if seed is None else seed
    found = {value: runs[wanted] for value, runs in sweep.by_lambda.items() if wanted in runs}
    if not found:
        raise RunError(f"{sweep.path} has no finished run with seed {wanted}, so there is no model")
    return [found[value] for value in sorted(found)]


def write_play_page(
    runs: Sequence[Run], weights: WeightsName = "last", out_dir: Path | None = None
) -> PlayPage:
    """Write play.html.

    Parameters
    ----------
    runs : sequence of Run
        One run, or several that differ in λ alone, by increasing λ.
    weights : {"last", "best"}
        Those of the last check, or of the check with the lowest validation loss.
    out_dir : Path, optional
        Default: the folder of a single run, or that of the sweep.

    Raises
    ------
    RunError
        If weights cannot be read, the page cannot be written, one model alone is too large, or the
        softmax of its logits, which the page shows, is not the probability of a class.
    DataError
        If the data of the samples is missing, or not what the run was trained with.
    """
    if not isinstance(runs[0].head, CrossEntropy):
        raise RunError(
            f"{runs[0].path}: the page shows probabilities, but model: {runs[0].head.name} gives "
            "none; train with model: softmax"
        )
    split = load_own_splits(runs[0]).val
    classifiers = [run.classifier(weights) for run in runs]
    models = [_model(run, classifier) for run, classifier in zip(runs, classifiers, strict=True)]
    model_bytes = max(len(json.dumps(model)) for model in models) + 2  # and what separates them
    page_bytes = len(_render(runs, models[:2], classifiers[0], split).encode())
    other_bytes = page_bytes - sum(len(json.dumps(model)) for model in models[:2])
    n_shown = min(len(runs), (MAX_BYTES - other_bytes) // model_bytes)
    if n_shown < 1:
        raise RunError(
            f"{runs[0].path}: its weights would take {model_bytes / 1e6:.1f} MB of a page that may "
            f"have {MAX_BYTES / 1e6:g} MB; train on smaller images or fewer classes"
        )
    shown = np.linspace(0, len(runs) - 1, n_shown).round().astype(int)
    html = _render(runs, [models[i] for i in shown], classifiers[0], split)
    folder = out_dir or (runs[0].path if len(runs) == 1 else runs[0].path.parent)
    path = write_into(folder, "play.html", html.encode())
    return PlayPage(path, tuple(runs[i] for i in shown), len(runs) - n_shown)


def _render(
    runs: Sequence[Run], models: Sequence[dict[str, Any]], classifier: Classifier, split: Split
) -> str:
    """Return the page as HTML."""
    first, samples = runs[0], _choose_samples(split)
    names = dict(zip(first.classes, first.class_names, strict=True))
    labels = [names[label] for label in sorted(names)]
    height, width = first.image_shape
    script = (_TEMPLATES / "play.js").read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("play.html.jinja").render(
        title=f"Play with {captions.title('', first).removeprefix(' of ')}",
        lead=f"A linear model, trained on {captions.of_runs('', runs)[1]}.",
        origin=captions.footer([first]),
        version=__version__,
        height=height,
        width=width,
        pad=max(height, width) * -(-_PAD_PIXELS // max(height, width)),
        labels=labels,
        outputs=labels[-len(classifier.coef_) :],
        samples=[names[split.classes[split.targets[k]]] for k in samples],
        n_models=len(models),
        payload={
            "shape": [height, width],
            "labels": labels,
            "zero": classifier.zero,
            "fillsImage": fills_image(first.config.data.dataset),
            "models": models,
            "samples": [{"pixels": _base64(split.images[split.rows[k]])} for k in samples],
        },
        script=script,
        script_hash=f"sha256-{digest}",
    )


def _model(run: Run, classifier: Classifier) -> dict[str, Any]:
    return {
        "name": f"λ = {run.config.training.l2_lambda:g}",
        "coef": _base64(classifier.coef_.astype("<f4")),
        "intercept": classifier.intercept_.tolist(),
    }


def _base64(values: NDArray[Any]) -> str:
    return b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _choose_samples(split: Split) -> list[int]:
    """Return the first samples of each class, class by class, at most MAX_SAMPLES in all."""
    order = np.argsort(split.classes)
    per_class = max(1, MAX_SAMPLES // len(order))
    samples = [np.flatnonzero(split.targets == k)[:per_class] for k in order]
    return [int(sample) for sample in np.concatenate(samples)[:MAX_SAMPLES]]
