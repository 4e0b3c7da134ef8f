"""The errors that a user may see, each with the exit code of the command that it ends.

Every expected failure is raised as one of these; the command line turns it into a message and an
exit code in one place. Independent of click, files and arrays.
"""


class MnistlinError(Exception):
    """An expected failure; the message says what, where and what to do."""

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
