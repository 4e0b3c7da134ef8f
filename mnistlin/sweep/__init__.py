"""Sweeps: every λ with every seed, trained in stacks on one machine or on a cluster.

`plan` derives the stacks from the config, `workers` trains one of them and holds the executors of
one machine, `cluster` those of Dask, and `run` hands stacks to workers and writes the results.
"""

from mnistlin.sweep.run import SweepProgress, resume_sweep, run_sweep

__all__ = ["SweepProgress", "resume_sweep", "run_sweep"]
