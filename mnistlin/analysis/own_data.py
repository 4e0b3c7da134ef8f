"""Are these the images that a run was trained and validated on? Loads them again and makes sure."""

from mnistlin.data.splits import Split, Splits, load_splits
from mnistlin.errors import ConfigError, DataError
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import data_changes, describe_data

SPLIT_NAMES = ("train", "val", "test")


def load_own_splits(run: Run) -> Splits:
    """Load the images and labels of a run again.

    Raises
    ------
    DataError
        If they are missing, or not the same as they were, which the hashes in run.json tell.
    ConfigError
        If the files do not have the rows or classes of the config any more.
    """
    splits = load_splits(run.config.data, run.info.data.recorded_folder, run.config.training)
    changed = data_changes(run.info.data, describe_data(splits))
    if changed:
        raise DataError(
            f"{splits.folder} holds other data than {run.path} was made with: {', '.join(changed)} "
            "differ from run.json; put the old files back, or train the run again"
        )
    return splits


def n_train_of(run: Run) -> int:
    """Return how many images a run was trained on, as run.json has it."""
    return run.info.data.splits.train.n_samples


def split_named(splits: Splits, name: str) -> Split:
    """Return one of the splits.

    Raises
    ------
    ConfigError
        If there is no such split.
    """
    split: Split | None = getattr(splits, name) if name in SPLIT_NAMES else None
    if split is None:
        raise ConfigError(
            f"there is no {name} set: with data.val_from: test, the images of the test file are "
            "the validation set; ask for val"
        )
    return split
