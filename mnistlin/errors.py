"""The errors a user can meet, each with the exit code of the command it ends.

Everything that goes wrong in a foreseen way is raised as one of these; the command line turns it
into its message and exit code in one place. Nothing here knows of click, files or arrays.
"""


class MnistlinError(Exception):
    """Something foreseen went wrong; the message says what, where and what to do."""

    exit_code = 1


class RunError(MnistlinError):
    """A run folder cannot be made, written or read."""


class ConfigError(MnistlinError):
    """A config, or an option that overrides one, is not valid."""

    exit_code = 2


class DataError(MnistlinError):
    """A data file is missing, damaged or not what it should be."""

    exit_code = 3


class CacheError(DataError):
    """A data file is missing, and the folder for downloads cannot be written."""

    exit_code = 1
