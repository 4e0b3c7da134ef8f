"""Run folders: the one place that knows their files, for writing and for reading."""
