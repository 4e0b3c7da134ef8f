"""Pictures of runs: a pure function of run folders, and the only room that knows matplotlib.

`style` is the look that all figures share, `captions` and `labels` their words; `curves`,
`weights`, `confusion`, `overlay`, `lambdas` and `lambda_weights` each make figures; `draw` writes
them to files. Whoever wants figures imports this package when it draws, not before: matplotlib is
slow to import.
"""

from mnistlin.figures.draw import draw_overlay, draw_run, draw_sweep

__all__ = ["draw_overlay", "draw_run", "draw_sweep"]
