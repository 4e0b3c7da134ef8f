"""What a user waits for, start to exit: `python -m benchmarks.process`.

Commands run in turn, round after round, each beside what any program of its kind pays: an
interpreter, an import, an empty figure. The medians of seconds and of the largest resident memory
are shown. Needs MNIST for `softmax`, and PyTorch (extra `bench`) for its import; what is not
there is left out.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

EMPTY_FIGURE = """
import numpy
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
plt.figure()
plt.savefig("empty.png")
"""

TOOL = (sys.executable, "-m", "mnistlin")
TRAIN = (*TOOL, "train", "--json", "--quiet", "--config")

COMMANDS = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "import numpy": (sys.executable, "-c", "import numpy"),
    "an empty figure": (sys.executable, "-c", EMPTY_FIGURE),
    "import sklearn.linear_model": (sys.executable, "-c", "import sklearn.linear_model"),
    "import torch": (sys.executable, "-c", "import torch"),
    "mnistlin --help": (*TOOL, "--help"),
    "train quickstart, no plots": (*TRAIN, "quickstart", "--no-plots"),
    "train quickstart": (*TRAIN, "quickstart"),
    "train softmax, no plots": (*TRAIN, "softmax", "--no-plots"),
    "train softmax": (*TRAIN, "softmax"),
}
BASELINE = "an empty figure"


def main() -> None:
    """Measure, and print a Markdown table; --out also writes it, with all seconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.process", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--out", type=Path, help="folder for process.md and process.json")
    options = parser.parse_args()
    names = [name for name in options.commands if _can_run(name)]
    measured = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for number in range(options.rounds):
            for name in names:
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
                measured[name].append(_measure(COMMANDS[name]))
    text = _table(measured)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "process.md").write_text(f"{text}\n", encoding="utf-8")
        (options.out / "process.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")


def _can_run(name):
    needed = name.removeprefix("import ").split(".")[0]
    return not name.startswith("import ") or importlib.util.find_spec(needed) is not None


def _measure(command):
    """Run a command; return its seconds and peak megabytes, and how long it trained."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    answer = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{command} failed")
    trained = json.loads(answer)["train_seconds"] if answer.startswith("{") else 0.0
    return {"seconds": seconds, "trained": trained, "megabytes": usage.ru_maxrss / 1024}


def _table(measured) -> str:
    """Return a Markdown table of the medians."""
    baseline = _median(measured[BASELINE], "seconds") if BASELINE in measured else float("nan")
    lines = [
        "| command | seconds | of these training | x an empty figure | peak MB |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, runs in measured.items():
        seconds, trained = _median(runs, "seconds"), _median(runs, "trained")
        lines.append(
            f"| {name} | {seconds:.2f} | {f'{trained:.2f}' if trained else ''} "
            f"| {seconds / baseline:.2f} | {_median(runs, 'megabytes'):.0f} |"
        )
    return "\n".join(lines)


def _median(runs, key):
    return statistics.median(run[key] for run in runs)


if __name__ == "__main__":
    main()
