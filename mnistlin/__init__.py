"""mnistlin: a laboratory for linear classifiers on MNIST-like images.

The public Python interface; names are imported on first use, so that `mnistlin --help` is quick.
"""

from typing import TYPE_CHECKING, Any

from mnistlin._version import __version__ as __version__

if TYPE_CHECKING:
    from mnistlin.analysis.choice import explain_choice
    from mnistlin.analysis.compare import compare
    from mnistlin.analysis.dips import explain_dips
    from mnistlin.analysis.early_stopping import explain_early_stopping
    from mnistlin.analysis.evaluate import evaluate
    from mnistlin.analysis.identify import identify
    from mnistlin.analysis.lambda_path import explain_lambda
    from mnistlin.analysis.optimum import find_optimum
    from mnistlin.analysis.predict import predict
    from mnistlin.analysis.stability import explain_stability
    from mnistlin.analysis.sweep_effect import explain_sweep
    from mnistlin.config import ExperimentConfig, load_config
    from mnistlin.errors import ConfigError, DataError, MnistlinError, RunError
    from mnistlin.experiment import resume_experiment, run_experiment
    from mnistlin.figures.draw import draw_run
    from mnistlin.runs.folder import Run, load_run
    from mnistlin.runs.index import find_runs
    from mnistlin.runs.sweep_folder import Sweep, load_sweep
    from mnistlin.sweep import resume_sweep, run_sweep

_MODULES = {
    "ConfigError": "mnistlin.errors",
    "DataError": "mnistlin.errors",
    "ExperimentConfig": "mnistlin.config",
    "MnistlinError": "mnistlin.errors",
    "Run": "mnistlin.runs.folder",
    "RunError": "mnistlin.errors",
    "Sweep": "mnistlin.runs.sweep_folder",
    "compare": "mnistlin.analysis.compare",
    "draw_run": "mnistlin.figures.draw",
    "evaluate": "mnistlin.analysis.evaluate",
    "explain_choice": "mnistlin.analysis.choice",
    "explain_dips": "mnistlin.analysis.dips",
    "explain_early_stopping": "mnistlin.analysis.early_stopping",
    "explain_lambda": "mnistlin.analysis.lambda_path",
    "explain_stability": "mnistlin.analysis.stability",
    "explain_sweep": "mnistlin.analysis.sweep_effect",
    "find_optimum": "mnistlin.analysis.optimum",
    "find_runs": "mnistlin.runs.index",
    "identify": "mnistlin.analysis.identify",
    "load_config": "mnistlin.config",
    "load_run": "mnistlin.runs.folder",
    "load_sweep": "mnistlin.runs.sweep_folder",
    "predict": "mnistlin.analysis.predict",
    "resume_experiment": "mnistlin.experiment",
    "resume_sweep": "mnistlin.sweep",
    "run_experiment": "mnistlin.experiment",
    "run_sweep": "mnistlin.sweep",
}

__all__ = [
    "ConfigError",
    "DataError",
    "ExperimentConfig",
    "MnistlinError",
    "Run",
    "RunError",
    "Sweep",
    "compare",
    "draw_run",
    "evaluate",
    "explain_choice",
    "explain_dips",
    "explain_early_stopping",
    "explain_lambda",
    "explain_stability",
    "explain_sweep",
    "find_optimum",
    "find_runs",
    "identify",
    "load_config",
    "load_run",
    "load_sweep",
    "predict",
    "resume_experiment",
    "resume_sweep",
    "run_experiment",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    import importlib  # noqa: PLC0415 (kept out of start-up)

    if name not in _MODULES:
        raise AttributeError(f"module 'mnistlin' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
