"""Sweeps: every λ with every seed, in stacks that train wherever there is room.

`plan` says which stacks a config asks for, `work` trains one of them in whatever process it is
called, `workers` are the executors that call it, `drive` hands out stacks and writes what comes
back, and `start` is the way in: begin a sweep, or take up one that was broken off.
"""

from mnistlin.sweep.run import SweepProgress, resume_sweep, run_sweep

__all__ = ["SweepProgress", "resume_sweep", "run_sweep"]
