"""Speed of our trainer and of others that do the same work: `python -m benchmarks.peers`.

Each trainer runs in a process of its own, and they alternate for several rounds, so that a
machine whose speed drifts is equally unfair to all. Medians are shown, final accuracies beside
them as proof of the same work, and how near each comes to the machine's own rate of arithmetic.

Needs the extra `bench`, and MNIST: `mnistlin data fetch mnist`.
"""

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.workloads import all_workloads

TRAINERS = {
    "mnistlin": ("mnistlin_stack", "train", "float32, one stack, no black pixels in evaluation"),
    "plain NumPy": ("plain_numpy", "train", "float64, row-major, BLAS threads at default"),
    "PyTorch, by hand": ("torch_loop", "train", "float32 tensors in memory, no autograd"),
    "PyTorch, tuned": ("torch_tuned", "train", "one thread for steps, checks of an epoch at once"),
    "PyTorch, tutorial": ("torch_tutorial", "train", "DataLoader, autograd, SGD, .item()"),
    "JAX": ("jax_scan", "train", "jit(vmap(scan)), compilation included"),
    "JAX, second call": ("jax_scan", "train_again", "the same, already compiled"),
    "scikit-learn": ("scikit_learn", "train", "L-BFGS to the optimum: another algorithm"),
}

SLOW_SECONDS = 60
"""A trainer that took longer is not run again: no median is needed to place it."""


def main() -> None:
    """Measure, and print a table for each workload; --out also writes them with a figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--workloads", nargs="+", default=list(all_workloads()), choices=list(all_workloads())
    )
    parser.add_argument("--trainers", nargs="+", default=list(TRAINERS), choices=list(TRAINERS))
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--out", type=Path, help="folder for peers.md, peers.json and peers.png")
    parser.add_argument("--child", nargs=2, metavar=("TRAINER", "WORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure_here(*options.child, options.dataset)))
        return
    measured = _measure_all(options.workloads, options.trainers, options.rounds, options.dataset)
    rate = max(_sgemm_rate() for _ in range(10))  # what the machine can, not what it is left
    workloads = all_workloads(options.dataset)
    text = "\n\n".join(_table(workloads[name], measured[name], rate) for name in options.workloads)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "peers.md").write_text(f"{text}\n", encoding="utf-8")
        (options.out / "peers.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
        _draw(measured, options.out / "peers.png")


def _measure_all(workloads, trainers, rounds, dataset):
    """Return a list of results for each trainer of each workload."""
    measured = {workload: defaultdict(list) for workload in workloads}
    for workload in workloads:
        for number in range(rounds):
            for trainer in trainers:
                done = measured[workload][trainer]
                if done and done[-1]["seconds"] > SLOW_SECONDS:
                    continue
                print(f"{workload}: round {number + 1} of {rounds}, {trainer}", file=sys.stderr)
                done.append(_measure_in_child(trainer, workload, dataset))
    return measured


def _measure_in_child(trainer, workload, dataset):
    command = [sys.executable, "-m", "benchmarks.peers", "--child", trainer, workload]
    done = subprocess.run(
        [*command, "--dataset", dataset], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _measure_here(trainer, workload, dataset):
    module, function, _ = TRAINERS[trainer]
    train = getattr(importlib.import_module(f"benchmarks.trainers.{module}"), function)
    result = train(all_workloads(dataset)[workload])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**vars(result), "peak_megabytes": peak}


def _sgemm_rate() -> float:
    """Return the float32 operations per second of one large matrix product."""
    A = np.ones((2048, 2048), np.float32)
    A @ A
    started = time.perf_counter()
    for _ in range(5):
        A @ A
    return 5 * 2 * 2048**3 / (time.perf_counter() - started)


def _table(workload, results, rate) -> str:
    """Return a Markdown table of the medians."""
    seconds = {name: _median(runs, "seconds") for name, runs in results.items()}
    ours, limit = seconds["mnistlin"], workload.flops / rate
    lines = [
        f"### {workload.name}",
        "",
        f"{workload.flops / 1e9:.0f} GFLOP of matrix products; at the {rate / 1e9:.0f} GFLOP/s "
        f"that sgemm reaches on this machine, the limit is {limit:.2f} s.",
        "",
        "| trainer | runs | seconds | x mnistlin | x limit | peak MB | train | validation | how |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for name, runs in results.items():
        lines.append(
            f"| {name} | {len(runs)} | {seconds[name]:.2f} | {seconds[name] / ours:.1f} "
            f"| {seconds[name] / limit:.1f} | {_median(runs, 'peak_megabytes'):.0f} "
            f"| {_median(runs, 'train_accuracy'):.4f} | {_median(runs, 'val_accuracy'):.4f} "
            f"| {TRAINERS[name][2]} |"
        )
    return "\n".join(lines)


def _median(runs, key):
    return statistics.median(run[key] for run in runs)


def _draw(measured, path: Path) -> None:
    """Draw the seconds of all trainers, one panel per workload, on one logarithmic axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.1 + 1.9 * len(measured)))
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(measured), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (workload, results) in zip(panels, measured.items(), strict=True):
        names = sorted(results, key=lambda name: -_median(results[name], "seconds"))
        seconds = [_median(results[name], "seconds") for name in names]
        colours = ["#D55E00" if name == "mnistlin" else "#0072B2" for name in names]
        bars = axes.barh(names, seconds, color=colours, height=0.7)
        axes.bar_label(bars, [f" {each:.2f}" for each in seconds], fontsize=8)
        axes.set_xscale("log")
        axes.tick_params(which="both", bottom=axes is panels[-1])
        axes.set_title(workload, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].xaxis.set_major_formatter("{x:g}")
    panels[-1].set_xlim(0.3, 600)
    panels[-1].set_xlabel("training phase (seconds, logarithmic)")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
