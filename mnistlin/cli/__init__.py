"""The command line: reads options, calls the package, prints the results. Nothing is computed.

Only click and the errors are imported at the top of these modules; the rest of the package is
imported by the command that needs it, so that `--help` and a mistyped option answer at once.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process."""
    try:
        from mnistlin.cli import app

        app.main()
    except KeyboardInterrupt:  # while the commands are imported; app handles it from then on
        sys.stderr.write("interrupted\n")
        sys.exit(130)
