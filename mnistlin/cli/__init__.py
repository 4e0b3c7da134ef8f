"""The command line: reads options, calls the package, prints what comes back. Nothing is computed.

Only click and the errors are imported at the top of these modules; the rest of the package is
imported by the command that needs it, so that `--help` and a mistyped option answer at once.
"""

from mnistlin.cli.app import main

__all__ = ["main"]
