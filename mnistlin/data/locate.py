"""Finding the four files of a dataset, and identifying files by their content.

A known dataset is looked for in MNISTLIN_DATA_DIR, in the cache, in the folder that a run recorded,
and at last on its mirrors. Files are found by name; whoever reads them checks the content.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mnistlin.data.catalog import (
    DATASETS,
    PARTS,
    Dataset,
    KnownFile,
    describe,
    find_candidates,
    find_parts,
    is_folder,
    n_dims,
    names_of,
    recognise,
)
from mnistlin.data.download import ELSEWHERE, Progress, cache_folder, complete_cache
from mnistlin.data.idx import IdxError, read_idx
from mnistlin.errors import DataError
from mnistlin.text import did_you_mean


@dataclass(frozen=True)
class Location:
    """Where a dataset is: its folder, and the file of each of `catalog.PARTS`."""

    dataset: str
    folder: Path
    files: Mapping[str, Path]
    known: Dataset | None = None
    """What it must be by its content; None for a folder that the config names."""
    remedy: str = ""
    """What to do if it is something else, as a sentence."""

    def wrong(self, file: KnownFile, what: str) -> DataError:
        """Return the error that a file is not the one it should be but `what`."""
        path = self.files[file.part]
        others = find_candidates(self.folder).get(file.part, [])
        right = next((other for other in others if _content_of(other).known == file), None)
        remedy = f"{right.name} beside it is: remove {path.name}." if right else self.remedy
        return DataError(f"{path} is not {file}; it is {what}. {remedy}")


def locate(
    dataset: str, progress: Progress | None = None, recorded: Path | None = None
) -> Location:
    """Find a dataset, downloading it if it is a known one that is not on this machine.

    Parameters
    ----------
    dataset : str
        The name of a known dataset, or the path of a folder with four IDX files. A folder that
        has the name of a known dataset is written with its path, such as `./mnist`.
    progress : Progress, optional
        Shows a download.
    recorded : Path, optional
        Where a run found it; used if it is not found otherwise, before anything is downloaded.

    Raises
    ------
    DataError
        If there is no such dataset, or it is incomplete.
    """
    known = DATASETS.get(dataset)
    if known is None:
        return _own_folder(dataset, recorded)
    found = find_known(known)
    if found is None and recorded and len(files := find_parts(recorded)) == len(PARTS):
        remedy = "A run recorded this folder: put the right file there."
        found = Location(known.name, recorded, files, known, remedy)
    return found or _fetched(known, progress)


def content_hash(dataset: str) -> str:
    """Return a hash of the files of a dataset; a DataError if it is missing or damaged."""
    digest = hashlib.sha256()
    for _, path in sorted(locate(dataset).files.items()):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def fetch(dataset: str, progress: Progress | None = None) -> Location:
    """Make sure that a known dataset is on this machine with the right content.

    Missing and damaged files of the cache are downloaded; files elsewhere belong to the user and
    are only checked.

    Raises
    ------
    DataError
        If there is no such dataset, it cannot be downloaded, or files outside the cache are wrong.
    """
    known = DATASETS.get(dataset)
    if known is None:
        return _own_folder(dataset)
    found = find_known(known)
    if found is None or found.folder == cache_folder(known.name):
        return _fetched(known, progress)
    for part, path in found.files.items():
        content = _content_of(path)
        if content.known != known.file(part):
            raise found.wrong(known.file(part), content.what)
    return found


def find_known(known: Dataset) -> Location | None:
    """Find a known dataset on this machine, or return None.

    Raises
    ------
    DataError
        If MNISTLIN_DATA_DIR is not a folder, or holds only some of the files.
    """
    if known.bundled_folder is not None:
        return _bundled(known, known.bundled_folder)
    return _in_data_dir(known) or _in_cache(known)


def _fetched(known: Dataset, progress: Progress | None) -> Location:
    complete_cache(known, progress, _about_data_dir(known))
    found = find_known(known)
    if found is None:
        raise DataError(f"the files of {known.title} vanished from {cache_folder(known.name)}")
    return found


def _own_folder(dataset: str, recorded: Path | None = None) -> Location:
    try:
        folder = Path(dataset).expanduser()
    except RuntimeError:  # a ~user that does not exist
        folder = Path(dataset)
    if not find_parts(folder) and recorded and find_parts(recorded):
        folder = recorded
    if not find_parts(folder) and not is_folder(folder):
        also = f", and the run's own folder {recorded} holds no data" if recorded else ""
        raise DataError(
            f"the dataset {dataset!r} is neither a folder nor one of {', '.join(DATASETS)}"
            f"{did_you_mean(dataset, DATASETS)}{also}"
        )
    files = _all_parts(folder)
    for paths in find_candidates(folder).values():
        _check_same_content(paths)
    return Location(dataset, folder, files)


def _check_same_content(paths: list[Path]) -> None:
    """Reject files of one name, raw and .gz, with different contents."""
    if len(paths) < 2:
        return
    first, *others = paths
    for other in others:
        if _content_of(first).sha256 != _content_of(other).sha256:
            raise DataError(
                f"{first} and {other.name} beside it have different contents "
                f"({_content_of(first).what}; {_content_of(other).what}); remove the wrong one"
            )


def _in_data_dir(known: Dataset) -> Location | None:
    data_dir = _data_dir()
    if data_dir is None:
        return None
    remedy = (
        f"MNISTLIN_DATA_DIR is {data_dir}: put the file of {known.title} in its place or all four"
        f" files into {data_dir / known.name}, or unset the variable."
    )
    for folder in (data_dir / known.name, data_dir):
        if (files := find_parts(folder)) and _other_dataset(files, known) is None:
            return Location(known.name, folder, _all_parts(folder), known, remedy)
    return None


def _data_dir() -> Path | None:
    setting = os.environ.get("MNISTLIN_DATA_DIR")
    if not setting:
        return None
    if not is_folder(Path(setting)):
        raise DataError(
            f"MNISTLIN_DATA_DIR is {setting}, which is not a folder; correct or unset it"
        )
    return Path(setting)


def _other_dataset(files: Mapping[str, Path], known: Dataset) -> str | None:
    """Return the title of the dataset that a folder holds if its labels are all of another one."""
    labels = [path for part, path in files.items() if n_dims(part) == 1]
    titles = {content.known.title for content in map(_content_of, labels) if content.known}
    return titles.pop() if len(titles) == 1 and titles != {known.title} else None


def _about_data_dir(known: Dataset) -> str:
    """Explain why MNISTLIN_DATA_DIR did not help, or how to set it."""
    data_dir = _data_dir()
    if data_dir is None:
        return ELSEWHERE
    other = _other_dataset(find_parts(data_dir), known)
    holds = f"holds {other}" if other else _what_is_there(data_dir) or "holds no dataset"
    return f"or into {data_dir / known.name} (MNISTLIN_DATA_DIR is {data_dir}, which {holds})"


def _in_cache(known: Dataset) -> Location | None:
    folder = cache_folder(known.name)
    files = find_parts(folder)
    if len(files) < len(PARTS):
        return None  # a download that was not completed
    remedy = f"`mnistlin data fetch {known.name}` repairs it."
    return Location(known.name, folder, files, known, remedy)


def _bundled(known: Dataset, folder: Path) -> Location:
    remedy = "It comes with mnistlin: install mnistlin again."
    return Location(known.name, folder, _all_parts(folder), known, remedy)


def _all_parts(folder: Path) -> Mapping[str, Path]:
    """Return the files if all are there; otherwise say what is there instead."""
    files = find_parts(folder)
    absent = [names_of(part)[0] for part in PARTS if part not in files]
    if absent:
        there = _what_is_there(folder)
        raise DataError(
            f"the folder {folder} lacks {', '.join(absent)} (raw or .gz)"
            + (f", but {there}" if there else "; a dataset is four files named like MNIST's")
        )
    return files


def _what_is_there(folder: Path) -> str:
    """Describe the data that a folder holds under other names, and what to do; empty if none."""
    try:
        inside = sorted(folder.iterdir())
        below = [
            *(path for path in inside if is_folder(path)),
            *(path for sub in inside if is_folder(sub) for path in sorted(sub.iterdir())),
        ]
        for path in below:
            if is_folder(path) and len(find_parts(path)) == len(PARTS):
                return f"holds all four files in {path}: name that folder"
    except OSError:
        return ""
    names = {name for part in PARTS for name in names_of(part)}
    nested = [path / path.name for path in inside if path.name in names]
    nested = [path for path in nested if path.is_file()]
    if nested:
        return (
            f"holds a folder for each file, such as {nested[0]}: move the four files into one "
            "folder"
        )
    similar = [path.name for path in inside if "-ubyte" in path.name and path.name not in names]
    if similar:
        shown = ", ".join(similar[:4]) + (", ..." if len(similar) > 4 else "")
        return f"holds {shown}: rename or link the files to MNIST's names"
    return ""


@dataclass(frozen=True)
class DatasetStatus:
    """A known dataset, its folder (None if it has to be downloaded), and what is wrong with it."""

    dataset: Dataset
    folder: Path | None
    problem: str = ""


@dataclass(frozen=True)
class FileCheck:
    """What a file is by its content, and what its name or dataset promises."""

    path: Path
    what: str
    should_be: str
    """Empty if the file is that, or if nothing is promised."""
    ok: bool

    def __str__(self) -> str:
        return f"{self.path} is {self.what}" + (
            self.should_be and f"; it should be {self.should_be}"
        )


def list_datasets() -> list[DatasetStatus]:
    """Return the known datasets, each with its folder; downloads nothing."""
    return [_status(dataset) for dataset in DATASETS.values()]


def verify(target: str) -> list[FileCheck]:
    """Identify files by their content.

    Parameters
    ----------
    target : str
        The name of a known dataset that is on this machine, a folder of IDX files, or a file.

    Returns
    -------
    list of FileCheck
        One for a file, at least four for a dataset or folder. The files of a folder should be
        those of the dataset that most of them belong to.

    Raises
    ------
    DataError
        If there is nothing to check.
    """
    if target in DATASETS:
        known = DATASETS[target]
        found = find_known(known)
        if found is None:
            raise DataError(
                f"{known.title} is not on this machine; `mnistlin data fetch {known.name}` "
                "downloads it"
            )
        return _check(found.files.items(), known.title)
    path = Path(target)
    if not is_folder(path):
        content = _content_of(path)
        return [FileCheck(path, content.what, "", ok=content.n_dims > 0)]
    candidates = find_candidates(path)
    if not candidates:
        there = _what_is_there(path)
        raise DataError(
            f"the folder {path} holds no file that is named like one of MNIST's"
            + (f", but {there}" if there else "")
        )
    absent = {part: [path / names_of(part)[0]] for part in PARTS}
    files = absent | candidates
    return _check((part, each) for part, paths in files.items() for each in paths)


def _status(dataset: Dataset) -> DatasetStatus:
    try:
        found = find_known(dataset)
    except DataError as error:
        return DatasetStatus(dataset, None, str(error))
    if found is None:
        return DatasetStatus(dataset, None)
    checks = _check(found.files.items(), dataset.title)
    problem = next((str(check) for check in checks if not check.ok), "")
    return DatasetStatus(dataset, found.folder, problem)


@dataclass(frozen=True)
class _Content:
    what: str
    sha256: str | None = None
    known: KnownFile | None = None
    n_dims: int = 0  # 0 if it cannot be read


def _content_of(path: Path) -> _Content:
    try:
        found = read_idx(path, max_items=0, hashed=True)
    except IdxError as error:
        return _Content(error.what)
    return _Content(describe(found), found.sha256, recognise(found.sha256), len(found.shape))


def _check(files: Iterable[tuple[str, Path]], title: str | None = None) -> list[FileCheck]:
    """Compare files with the parts of a dataset; without a title, of the one they suggest."""
    contents = [(part, path, _content_of(path)) for part, path in files]
    if title is None:
        titles = Counter(content.known.title for *_, content in contents if content.known)
        title = next((title for title, _ in titles.most_common(1)), None)
    return [_compare(path, part, content, title) for part, path, content in contents]


def _compare(path: Path, part: str, content: _Content, title: str | None) -> FileCheck:
    if title is None:
        ok = content.n_dims == n_dims(part)
        promised = f"{part}, of {n_dims(part)} dimension{'s' * (n_dims(part) > 1)}"
    else:
        known = content.known
        ok = known is not None and (known.title, known.part) == (title, part)
        promised = f"{title}'s {part}"
    return FileCheck(path, content.what, "" if ok else promised, ok)
