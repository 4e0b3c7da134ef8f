"""Which known datasets lie on this machine, and what files really are, told by their content.

Answers questions and changes nothing. Each answer reads the files in question to their end.
"""

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
from mnistlin.data.idx import IdxError, read_idx
from mnistlin.data.locate import find_known
from mnistlin.errors import DataError


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
