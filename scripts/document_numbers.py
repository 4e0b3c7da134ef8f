"""Write the measured numbers of the documents: blocks between `numbers` comments are recomputed.

    python scripts/document_numbers.py                              # on MNIST, into the documents
    python scripts/document_numbers.py --dataset mnist-5k --check   # in CI: compute, write nothing

A block begins with `<!-- numbers: NAME -->` and ends with `<!-- /numbers -->`; NAME is a key of
BLOCKS. With --runs-dir, runs are kept there and reused.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mnistlin import load_config
from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.analysis.compare import compare
from mnistlin.analysis.dips import explain_dips
from mnistlin.analysis.lambda_path import explain_lambda
from mnistlin.analysis.optimum import find_optimum
from mnistlin.analysis.stability import explain_stability, fluctuation
from mnistlin.analysis.statistics import with_spread
from mnistlin.analysis.sweep_effect import explain_sweep
from mnistlin.report.runner import train_all
from mnistlin.text import signed

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "docs" / "sweeps.md", ROOT / "docs" / "explain.md")
BLOCK = re.compile(r"(<!-- numbers: ([a-z-]+) -->\n).*?(<!-- /numbers -->)", re.DOTALL)


class Runs:
    """Trains or reuses runs of shipped configs on one dataset."""

    def __init__(self, dataset: str, runs_dir: Path) -> None:
        self._settings: dict[str, object] = {"data.dataset": dataset}
        if dataset != "mnist":
            self._settings |= {"data.train_size": None, "data.val_size": None}
        self._runs_dir = runs_dir

    def get(self, config: str, settings: Mapping[str, object]) -> TrainedExperiment:
        """Return the run or sweep of a shipped config with some settings."""
        loaded = load_config(config, self._settings | dict(settings))
        return (train_all({config: [loaded]}, self._runs_dir) or {})[config]


def sweep_table(runs: Runs) -> str:
    """`sweep-lambda --seeds 0-4` of softmax: the accuracy that is tested, and its tests."""
    sweep = runs.get("softmax-lambda-sweep", {"sweep.seeds": [0, 1, 2, 3, 4]}).whole_sweep
    rows = []
    for each in explain_sweep(sweep).summaries:
        test = each.difference
        tested = [""] * 4
        if test is not None and test.low is not None and test.high is not None:
            interval = f"{signed(test.low, '.4f')} to {signed(test.high, '.4f')}"
            tested = [signed(test.mean, ".4f"), interval, _p(test.p_value), test.verdict]
        accuracy = with_spread(each.final_val_accuracy, ".4f")
        norm = f"{each.weight_norm.mean:.3f}" if each.weight_norm else ""
        rows.append([f"{each.l2_lambda:g}", accuracy, norm, *tested])
    heads = ["λ", "accuracy over the last epoch", "weight norm", "minus λ = 0", "95 % interval"]
    return table([*heads, "p (Holm)", ""], rows)


def compare_table(runs: Runs) -> str:
    """`compare`: two runs image by image."""
    pairs = {
        "softmax, λ = 0 / 0.01": ("softmax", "training.l2_lambda", (0.0, 0.01)),
        "softmax, λ = 0 / 0.001": ("softmax", "training.l2_lambda", (0.0, 0.001)),
        "2-vs-3, shuffling off / on": ("binary", "training.shuffle", (False, True)),
    }
    rows = []
    for name, (config, key, values) in pairs.items():
        (pair,) = compare([runs.get(config, {key: value}).run for value in values]).pairs
        counts, (low, high) = pair.counts, pair.counts.interval
        interval = f"({signed(low, '.4f')} to {signed(high, '.4f')})"
        smallest = pair.smallest_gap
        rows.append(
            [
                name,
                str(counts.only_a),
                str(counts.only_b),
                f"{signed(counts.difference, '.4f')} {interval}",
                _p(pair.p_value),
                "-" if smallest is None else f"{smallest:.4f}",
            ]
        )
    heads = ["A / B", "only A correct", "only B correct", "difference (95 %)", "p"]
    return table([*heads, "smallest difference that the images detect"], rows)


def optimum_table(runs: Runs) -> str:
    """`explain optimum`: runs beside the minimum of their objective."""
    rows = []
    for name, config, l2_lambda in (
        ("softmax, λ = 1", "softmax", 1.0),
        ("2-vs-3, λ = 1, no shuffling", "binary", 1.0),
        ("softmax, λ = 0", "softmax", 0.0),
        ("2-vs-3, λ = 0, no shuffling", "binary", 0.0),
    ):
        found = find_optimum(runs.get(config, {"training.l2_lambda": l2_lambda}).run)
        is_minimum = found.kind == "minimum"
        rows.append(
            [
                name,
                f"{found.of_run.point.value:.4f}",
                f"{found.found.point.value:.4f}" if is_minimum else found.kind,
                f"{found.of_run.val_accuracy:.4f}",
                f"{found.found.val_accuracy:.4f}" if is_minimum else "-",
                _p(found.paired.p_value) if is_minimum else "-",
            ]
        )
    return table(
        ["run", "J of the run", "J*", "accuracy of the run", "at the minimum", "p (McNemar)"], rows
    )


def lambda_table(runs: Runs) -> str:
    """`explain lambda`: each λ after training and at the minimum."""
    path = explain_lambda(runs.get("binary-shuffled", BINARY_LAMBDAS).whole_sweep)
    rows = []
    for pair in reversed(path.pairs):
        minimum = "-" if pair.minimum is None else f"{pair.minimum.val_accuracy:.4f}"
        p_value = "-" if pair.p_value is None else _p(pair.p_value)
        accuracy = f"{pair.trained.val_accuracy:.4f}"
        rows.append([f"λ = {pair.l2_lambda:g}", accuracy, minimum, p_value, pair.verdict])
    return table(["2-vs-3, shuffled, rate 0.05", "run", "minimum", "p (Holm)", ""], rows)


def stability_table(runs: Runs) -> str:
    """`explain stability`: sharpness and fluctuation of the members of the same sweep."""
    sweep = runs.get("binary-shuffled", BINARY_LAMBDAS).whole_sweep
    rows = []
    for l2_lambda, members in sorted(sweep.by_lambda.items()):
        found = explain_stability(members[0])
        minimum = found.sharpness_of_minimum
        rows.append(
            [
                f"λ = {l2_lambda:g}",
                f"{found.sharpness_of_run:.1f}",
                "-" if minimum is None else f"{minimum:.1f}",
                f"{fluctuation(found.batches):.2g}",
                f"{fluctuation(found.full_batch):.1g}",
                found.verdict,
            ]
        )
    heads = [
        "2-vs-3, shuffled, rate 0.05 (limit 40)",
        "sharpness at the last weights",
        "at the minimum",
    ]
    return table([*heads, "fluctuation with batches", "with a full batch", ""], rows)


def dips_table(runs: Runs) -> str:
    """`explain dips`: the predicted and the measured period by batch size."""
    columns = []
    for config, size in (
        ("binary", 128),
        ("binary", 100),
        ("binary", 64),
        ("binary", 150),
        ("binary-shuffled", 128),
    ):
        found = explain_dips(runs.get(config, {"training.batch_size": size}).run)
        periods = [
            "none" if each.period is None else f"{each.period} steps"
            for each in (found.predicted, found.measured)
        ]
        head = f"{size}{', shuffled' * (config == 'binary-shuffled')}"
        columns.append([head, *periods, f"{found.measured.highest_correlation:.2f}"])
    heads, *rows = zip(
        ["batch size", "predicted", "measured", "correlation"], *columns, strict=True
    )
    return table(heads, rows)


BINARY_LAMBDAS: Mapping[str, object] = {"sweep.l2_lambdas": [0, 0.0001, 0.01, 0.316, 1]}

BLOCKS: dict[str, Callable[[Runs], str]] = {
    "sweep": sweep_table,
    "compare": compare_table,
    "optimum": optimum_table,
    "lambda": lambda_table,
    "stability": stability_table,
    "dips": dips_table,
}


def _p(p_value: float) -> str:
    """Return a p-value with two digits, such as 4.8e-8."""
    return re.sub("e-0?", "e-", f"{p_value:.2g}")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Compute every block of every document."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--runs-dir", type=Path, help="where runs are kept; default: nowhere")
    parser.add_argument("--check", action="store_true", help="compute everything, write nothing")
    options = parser.parse_args()
    if options.dataset != "mnist" and not options.check:
        parser.error("the documents are about mnist; give --check with another dataset")
    with tempfile.TemporaryDirectory() as temporary:
        runs = Runs(options.dataset, options.runs_dir or Path(temporary))
        found = {name: make(runs) for name, make in BLOCKS.items()}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        unknown = {name for _, name, _ in BLOCK.findall(text)} - set(BLOCKS)
        if unknown:
            sys.exit(f"{path}: unknown blocks {', '.join(sorted(unknown))}")
        new = BLOCK.sub(lambda block: f"{block[1]}{found[block[2]]}{block[3]}", text)
        if options.check:
            print("\n".join(found[name] for _, name, _ in BLOCK.findall(text)))
        elif new != text:
            path.write_text(new, encoding="utf-8")
            print(f"updated {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
