"""What more images cost: `python -m benchmarks.scale`.

Makes raw IDX sets of 1, 3, 10 and 30 times MNIST's size, by repeating it with noise, trains one
epoch on each in a process of its own, and shows time per step and peak anonymous memory (RssAnon,
sampled). Pages of the mapped file are not counted: they are the kernel's cache, and it takes them
back at need.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from mnistlin.config import DataConfig, TrainingConfig, load_config
from mnistlin.data.idx import encode_idx
from mnistlin.data.splits import load_splits
from mnistlin.experiment import setup_for
from mnistlin.training.sgd import train

BLOCK_ROWS = 10_000
SAMPLE_SECONDS = 0.01


def main() -> None:
    """Measure, and print a Markdown table; --out also writes it with a figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 3, 10, 30])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where the sets are made and deleted again")
    parser.add_argument("--out", type=Path, help="folder for scale.md and scale.png")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure_here(options.child)))
        return
    rows = [_measure(size, options) for size in options.sizes]
    text = _table(rows)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "scale.md").write_text(f"{text}\n", encoding="utf-8")
        _draw(rows, options.out / "scale.png")


def _measure(size, options):
    """Make a set, train on it in child processes, and return the best of their figures."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        n_images = make_set(Path(folder), options.dataset, size)
        command = [sys.executable, "-m", "benchmarks.scale", "--child", folder]
        runs = []
        for _ in range(options.rounds):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout))
    best = {key: min(run[key] for run in runs) for key in runs[0]}
    return {"size": size, "n_images": n_images, **best}


def make_set(folder: Path, dataset: str, size: int) -> int:
    """Write a dataset `size` times over, with noise, as raw IDX files; return its image count."""
    rng = np.random.default_rng(size)
    source = load_splits(DataConfig(dataset=dataset))
    for stem, split in (("train", source.train), ("t10k", source.val)):
        repeats = size if stem == "train" else 1
        n, shape = split.n_samples * repeats, split.image_shape
        labels = np.array(split.classes, np.uint8)[split.targets]
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(encode_idx(np.tile(labels, repeats)))
        with (folder / f"{stem}-images-idx3-ubyte").open("wb") as file:
            file.write(encode_idx(np.empty((0, *shape), np.uint8))[:4])
            file.write(np.array([n, *shape], ">u4").tobytes())
            for first in range(0, n, BLOCK_ROWS):
                rows = np.arange(first, min(first + BLOCK_ROWS, n)) % split.n_samples
                noise = rng.integers(0, 8, (len(rows), split.n_features), dtype=np.uint8)
                file.write((split.images[split.rows[rows]] ^ noise).tobytes())
    return source.train.n_samples * size


def _measure_here(folder: Path):
    """Train one epoch with one check on all images of a folder."""
    softmax = load_config("softmax")
    training = TrainingConfig(epochs=1, batch_size=128, learning_rate=0.01, checks_per_epoch=1)
    config = softmax.model_copy(
        update={"data": DataConfig(dataset=str(folder)), "training": training}
    )
    with _PeakAnonymousMemory() as memory:
        splits = load_splits(config.data)
        began = time.perf_counter()
        segments = list(train(setup_for([config], splits)))
        seconds = time.perf_counter() - began
    n_steps = segments[-1][0].steps.stop
    return {"microseconds_per_step": 1e6 * seconds / n_steps, "anonymous_megabytes": memory.peak}


class _PeakAnonymousMemory:
    """Samples RssAnon of this process from a thread while inside; Linux only."""

    def __enter__(self):
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _sample(self):
        while True:
            status = Path("/proc/self/status").read_text(encoding="ascii")
            kilobytes = int(status.partition("RssAnon:")[2].split()[0])
            self.peak = max(self.peak, kilobytes / 1024)
            if self._done.wait(SAMPLE_SECONDS):
                return


def _table(rows) -> str:
    lines = [
        "| size | training images | microseconds per step | peak anonymous MB |",
        "|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['size']}x | {row['n_images']:,} | {row['microseconds_per_step']:.0f} "
        f"| {row['anonymous_megabytes']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _draw(rows, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6))
    FigureCanvasAgg(figure)
    n_images = [row["n_images"] for row in rows]
    panels = {
        "microseconds_per_step": "time per step, evaluation included (µs)",
        "anonymous_megabytes": "peak anonymous memory (MB)",
    }
    for axes, (key, label) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        values = [row[key] for row in rows]
        axes.plot(n_images, values, "o-", color="#0072B2")
        axes.set(xscale="log", xlabel="training images", ylim=(0, 1.15 * max(values)))
        axes.set_title(label, loc="left", fontsize=10)
        axes.set_xticks(n_images, [f"{n:,}" for n in n_images], fontsize=8)
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
