"""Find the four files of a dataset: a folder, MNISTLIN_DATA_DIR, the cache, at last the mirrors.

Files are found by name here; what is in them is checked by whoever reads them.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mnistlin.data.cache import Progress, fetch
from mnistlin.data.catalog import DATASETS, PARTS, Dataset, KnownFile, find_parts, is_folder, n_dims
from mnistlin.data.fetch import cache_folder
from mnistlin.errors import DataError


@dataclass(frozen=True)
class Location:
    """Where a dataset lies.

    Attributes
    ----------
    dataset : str
        What the config calls it.
    folder : Path
        The folder of its files.
    files : mapping of str to Path
        The file of each of `catalog.PARTS`.
    known : Dataset or None
        What it must be by its content. None for a folder that the config names.
    remedy : str
        What to do if it is something else, as a sentence.
    """

    dataset: str
    folder: Path
    files: Mapping[str, Path]
    known: Dataset | None = None
    remedy: str = ""

    def wrong(self, file: KnownFile, what: str) -> DataError:
        """Return the error that a file is not the one it should be but `what`."""
        return DataError(f"{self.files[file.part]} is not {file}; it is {what}. {self.remedy}")


def locate(dataset: str, progress: Progress | None = None) -> Location:
    """Find a dataset, downloading it if it is a known one that is not on this machine.

    Parameters
    ----------
    dataset : str
        The name of a known dataset, or the path of a folder with four IDX files. A folder that
        has the name of a known dataset is written with its path, such as `./mnist`.
    progress : Progress, optional
        Shows a download.

    Raises
    ------
    DataError
        If there is no such dataset, or it is not there as a whole.
    """
    known = DATASETS.get(dataset)
    if known is None:
        return _own_folder(dataset)
    found = find_known(known)
    if found is None:
        fetch(known, progress)
        found = _in_cache(known)
    if found is None:
        raise DataError(f"the files of {known.title} vanished from {cache_folder(known.name)}")
    return found


def find_known(known: Dataset) -> Location | None:
    """Find a known dataset on this machine, or return None.

    Raises
    ------
    DataError
        If MNISTLIN_DATA_DIR is no folder, or holds a part of the files only.
    """
    if known.bundled_folder is not None:
        return _bundled(known, known.bundled_folder)
    return _in_data_dir(known) or _in_cache(known)


def _own_folder(dataset: str) -> Location:
    try:
        folder = Path(dataset).expanduser()
    except RuntimeError:  # a ~user that does not exist
        folder = Path(dataset)
    files = find_parts(folder)
    if not files and not is_folder(folder):
        close = difflib.get_close_matches(dataset, DATASETS, n=1)
        guess = f"; did you mean {close[0]}?" if close else ""
        raise DataError(
            f"the dataset {dataset!r} is neither a folder nor one of {', '.join(DATASETS)}{guess}"
        )
    return Location(dataset, folder, _all_parts(folder, files))


def _in_data_dir(known: Dataset) -> Location | None:
    setting = os.environ.get("MNISTLIN_DATA_DIR")
    if not setting:
        return None
    data_dir = Path(setting)
    if not is_folder(data_dir):
        raise DataError(
            f"MNISTLIN_DATA_DIR is {setting}, which is not a folder; correct or unset it"
        )
    remedy = (
        f"MNISTLIN_DATA_DIR leads there: put the file of {known.title} in its place or all four"
        f" files into {data_dir / known.name}, or unset the variable."
    )
    for folder in (data_dir / known.name, data_dir):
        if files := find_parts(folder):
            return Location(known.name, folder, _all_parts(folder, files), known, remedy)
    return None


def _in_cache(known: Dataset) -> Location | None:
    folder = cache_folder(known.name)
    files = find_parts(folder)
    if len(files) < len(PARTS):
        return None  # a download that did not come to its end
    remedy = f"`mnistlin data fetch {known.name}` downloads it again."
    return Location(known.name, folder, files, known, remedy)


def _bundled(known: Dataset, folder: Path) -> Location:
    remedy = "It should have come with mnistlin: install mnistlin again."
    return Location(known.name, folder, _all_parts(folder, find_parts(folder)), known, remedy)


def _all_parts(folder: Path, files: Mapping[str, Path]) -> Mapping[str, Path]:
    """Return the files if they are all there."""
    absent = [f"{part}-idx{n_dims(part)}-ubyte" for part in PARTS if part not in files]
    if absent:
        raise DataError(
            f"the folder {folder} lacks {', '.join(absent)} (raw or .gz); a dataset is four files"
            " named like MNIST's"
        )
    return files
