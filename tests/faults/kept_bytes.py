"""The files of a run or a sweep that must be the same however it was trained."""

RESULTS = ("metrics.csv", "steps.csv", "weights.npz", "confusion.csv")


def bytes_of_run(folder):
    """Return the bytes of a run's results."""
    return {name: (folder / name).read_bytes() for name in RESULTS}


def bytes_of_sweep(folder):
    """Return the bytes of a sweep's results, and those of its members."""
    members = {path.name: bytes_of_run(path) for path in folder.glob("lambda-*")}
    return members | {"sweep.csv": (folder / "sweep.csv").read_bytes()}
