"""The command line: reads options, calls the package, prints the results. Nothing is computed.

Only click and the errors are imported at the top of these modules; the rest of the package is
imported by the command that needs it, so that `--help` and a mistyped option answer at once.
"""

import os
import sys

__all__ = ["main"]

_BLAS_THREADS = ("OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""The number of threads of OpenBLAS, MKL and BLIS, and that of Accelerate."""


def main() -> None:
    """Run the command line of this process."""
    for variable in _BLAS_THREADS:  # read when NumPy is imported
        # The trainer has threads of its own. Those of BLAS wait for each other in busy loops, so
        # beside other work a product of a fraction of a millisecond takes forty.
        os.environ.setdefault(variable, "1")
    try:
        from mnistlin.cli import app

        app.main()
    except KeyboardInterrupt:  # while the commands are imported; app handles it from then on
        sys.stderr.write("interrupted\n")
        sys.exit(130)
