"""Find the four files of a dataset: a folder, MNISTLIN_DATA_DIR, the cache, at last the mirrors.

Files are found by name here; what is in them is checked by whoever reads them.

Which known datasets lie on this machine, and what files really are, told by their content.

Answers questions and changes nothing. Each answer reads the files in question to their end.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mnistlin.data.catalog import (
    DATASETS,
    PARTS,
    Dataset,
    KnownFile,
    describe,
    find_parts,
    is_folder,
    n_dims,
    recognise,
)
from mnistlin.data.download import Progress, cache_folder, fetch
from mnistlin.data.idx import IdxError, read_idx
from mnistlin.errors import DataError, did_you_mean


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
        raise DataError(
            f"the dataset {dataset!r} is neither a folder nor one of {', '.join(DATASETS)}"
            f"{did_you_mean(dataset, DATASETS)}"
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


@dataclass(frozen=True)
class DatasetStatus:
    """A known dataset and where it is.

    Attributes
    ----------
    dataset : Dataset
        The dataset.
    folder : Path or None
        Where its files are; None if they would have to be downloaded.
    problem : str
        What is wrong with what was found; empty if nothing is.
    """

    dataset: Dataset
    folder: Path | None
    problem: str = ""


@dataclass(frozen=True)
class FileCheck:
    """What a file is, and what it should be.

    Attributes
    ----------
    path : Path
        The file.
    what : str
        What it is by its content, worded to follow "it is".
    should_be : str
        What its name or its dataset promises. Empty if it is that, or if nothing is promised.
    ok : bool
        Whether it can be read and is what was promised.
    """

    path: Path
    what: str
    should_be: str
    ok: bool

    def __str__(self) -> str:
        return f"{self.path} is {self.what}" + (
            self.should_be and f"; it should be {self.should_be}"
        )


def list_datasets() -> list[DatasetStatus]:
    """Return the known datasets, each with where it is; downloads nothing."""
    return [_status(dataset) for dataset in DATASETS.values()]


def verify(target: str) -> list[FileCheck]:
    """Tell what files really are.

    Parameters
    ----------
    target : str
        The name of a known dataset that is on this machine, a folder of IDX files, or a file.

    Returns
    -------
    list of FileCheck
        One for a file, four for a dataset or folder. The files of a folder should be those of the
        dataset that most of them belong to.

    Raises
    ------
    DataError
        If there is nothing to check.
    """
    if target in DATASETS:
        return _verify_known(DATASETS[target])
    path = Path(target)
    if is_folder(path):
        return _verify_folder(path)
    content = _content_of(path)
    return [FileCheck(path, content.what, "", ok=content.n_dims > 0)]


def _status(dataset: Dataset) -> DatasetStatus:
    try:
        found = find_known(dataset)
    except DataError as error:
        return DatasetStatus(dataset, None, str(error))
    if found is None:
        return DatasetStatus(dataset, None)
    checks = _judge(found.files, dataset.title)
    problem = next((str(check) for check in checks if not check.ok), "")
    return DatasetStatus(dataset, found.folder, problem)


def _verify_known(dataset: Dataset) -> list[FileCheck]:
    found = find_known(dataset)
    if found is None:
        raise DataError(
            f"{dataset.title} is not on this machine;"
            f" `mnistlin data fetch {dataset.name}` downloads it"
        )
    return _judge(found.files, dataset.title)


def _verify_folder(folder: Path) -> list[FileCheck]:
    files = find_parts(folder)
    if not files:
        raise DataError(f"the folder {folder} holds no file that is named like one of MNIST's")
    absent = {part: folder / f"{part}-idx{n_dims(part)}-ubyte" for part in PARTS}
    return _judge(absent | files)


@dataclass(frozen=True)
class _Content:
    what: str
    known: KnownFile | None = None
    n_dims: int = 0  # 0 if it cannot be read


def _content_of(path: Path) -> _Content:
    try:
        found = read_idx(path, max_items=0, hashed=True)
    except IdxError as error:
        return _Content(error.what)
    return _Content(describe(found), recognise(found.sha256), len(found.shape))


def _judge(files: Mapping[str, Path], title: str | None = None) -> list[FileCheck]:
    """Compare files with the parts of a dataset; if it is not named, of the one they suggest."""
    contents = {part: _content_of(path) for part, path in files.items()}
    if title is None:
        titles = Counter(content.known.title for content in contents.values() if content.known)
        title = next((title for title, _ in titles.most_common(1)), None)
    return [_compare(files[part], part, content, title) for part, content in contents.items()]


def _compare(path: Path, part: str, content: _Content, title: str | None) -> FileCheck:
    if title is None:
        ok = content.n_dims == n_dims(part)
        promised = f"{part}, of {n_dims(part)} dimension{'s' * (n_dims(part) > 1)}"
    else:
        ok = content.known is not None and (content.known.title, content.known.part) == (
            title,
            part,
        )
        promised = f"{title}'s {part}"
    return FileCheck(path, content.what, "" if ok else promised, ok)
