"""Where the time of one run goes: `python -m benchmarks.profile --config softmax`.

The trainer has no timers of its own; it is run under Python's profiler. The table
shows what the training thread does, its share of evaluation included; its helpers are not in it.
"""

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

from mnistlin import load_config, run_experiment


def main() -> None:
    """Profile one run and print the functions that take longest by themselves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--config", default="softmax")
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()
    profiler = cProfile.Profile()
    with tempfile.TemporaryDirectory() as runs_dir, profiler:
        run_experiment(load_config(options.config), runs_dir)
    _print_table(pstats.Stats(profiler), options.rows)


def _print_table(stats: pstats.Stats, n_rows: int) -> None:
    total = stats.total_tt
    print(f"{total:.2f} s under the profiler\n")
    print("| share | seconds | calls | function |\n|--:|--:|--:|---|")
    profile = stats.get_stats_profile().func_profiles
    by_own_time = sorted(profile.items(), key=lambda item: -item[1].tottime)
    for name, function in by_own_time[:n_rows]:
        where = f"{Path(function.file_name).name}:{function.line_number}"
        print(
            f"| {function.tottime / total:.1%} | {function.tottime:.3f} | {function.ncalls} "
            f"| {name} ({where}) |"
        )


if __name__ == "__main__":
    main()
