"""The known datasets: names, contents by hash, class names, and mirrors.

Also what a file is by its content, and which files of a dataset a folder holds.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mnistlin.data.idx import IdxFile, by_text
from mnistlin.errors import DataError

PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
"""The four files of every dataset, by the names that MNIST gave them."""


_MAX_NAMES = 256  # an unsigned byte holds the labels 0 to 255
_MAX_NAME = 60


@dataclass(frozen=True)
class KnownFile:
    """One file of a known dataset, identified by its content, raw or compressed in any way."""

    title: str
    part: str
    raw_bytes: int
    """Size of the content without gzip."""
    gzip_bytes: int
    gzip_sha256: str
    """Size and hash of the file as published, in gzip."""
    sha256: str
    """Hash of the content without gzip."""

    @property
    def file_name(self) -> str:
        """The name under which it is published."""
        return f"{self.part}-idx{n_dims(self.part)}-ubyte.gz"

    def __str__(self) -> str:
        return f"{self.title}'s {self.part}"


@dataclass(frozen=True)
class Dataset:
    """A known dataset."""

    name: str
    """Name in configs."""
    title: str
    """Name in messages."""
    description: str
    files: tuple[KnownFile, ...]
    """One for each of `PARTS`, in that order."""
    mirrors: tuple[str, ...] = ()
    """URLs below which the files are published, best first. Empty: it comes with the package."""
    class_names: tuple[str, ...] = ()
    """Names of the labels 0, 1, ...; empty if the labels are the names."""
    fills_image: bool = False
    """Whether objects fill the image; otherwise they are placed like MNIST's digits."""
    hint: str = ""
    """Another way to get the dataset, as a sentence."""

    @property
    def gzip_bytes(self) -> int:
        """Size of the four files as published."""
        return sum(file.gzip_bytes for file in self.files)

    @property
    def bundled_folder(self) -> Path | None:
        """Folder of its files if it comes with the package; None if it has to be downloaded."""
        return None if self.mirrors else Path(__file__).parent / self.name

    def file(self, part: str) -> KnownFile:
        """Return the file of one of `PARTS`."""
        return self.files[PARTS.index(part)]


def _known_files(
    title: str, n_train: int, n_test: int, *facts: tuple[int, str, str]
) -> tuple[KnownFile, ...]:
    """Return the files of a dataset of 28 x 28 images, from the facts about each as published."""
    raw_bytes = [size for n in (n_train, n_test) for size in (16 + 28 * 28 * n, 8 + n)]
    return tuple(
        KnownFile(title, part, size, *fact)
        for part, size, fact in zip(PARTS, raw_bytes, facts, strict=True)
    )


MNIST = Dataset(
    name="mnist",
    title="MNIST",
    description="60,000 + 10,000 handwritten digits, 28 x 28 pixels",
    files=_known_files(
        "MNIST",
        60_000,
        10_000,
        (
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
)

FASHION_MNIST = Dataset(
    name="fashion-mnist",
    title="Fashion-MNIST",
    description="60,000 + 10,000 images of clothing, 28 x 28 pixels",
    files=_known_files(
        "Fashion-MNIST",
        60_000,
        10_000,
        (
            26421880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        (
            29515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        (
            4422102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            5148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    class_names=(  # https://github.com/zalandoresearch/fashion-mnist#labels
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    fills_image=True,
    hint="Debian and Ubuntu have it as the package dataset-fashion-mnist; with that installed, set"
    " MNISTLIN_DATA_DIR=/usr/share/datasets.",
)

MNIST_5K = Dataset(
    name="mnist-5k",
    title="mnist-5k",
    description="4,000 + 1,000 digits of MNIST's training images, bundled",
    files=_known_files(
        "mnist-5k",
        4_000,
        1_000,
        (
            650371,
            "0dfe3d2109433fd6982a92f2c9002c850f569fca0d78c8ee54a9a6e929fa98aa",
            "74422b12132c7d8b0957cdb994d971a505f77a57ddac808ef1ea84f4bb9e7a2e",
        ),
        (
            58,
            "f00a1d76fbde0e1e8cd9645b2057f755ee5a82ffaf61b49ba7432df3d5616e9f",
            "5dbd7686910cb66a8a6303f16940c2fae43896243c187897cd3976aab00f4817",
        ),
        (
            163695,
            "cddcbcf013893dac2ca5ae24aaadd24633c332f30dadfaf7a91284767f3f5d92",
            "39a5f23fe7320d50d2b650bd96c756db7999a84cb13541d939296ed59f1e0663",
        ),
        (
            46,
            "4be2bdca844401fb73e73e8be1b32300cb4554c0dbd42f4943c88fea46497d5a",
            "66e4c6deb5f2a061f7d8cd5ec53025fdb9dabb08265e449acb8cf64b8cd36cac",
        ),
    ),
)

DATASETS = {dataset.name: dataset for dataset in (MNIST, FASHION_MNIST, MNIST_5K)}


def fills_image(dataset: str) -> bool:
    """Return whether the images of a dataset, or of a folder of its name, are filled."""
    known = DATASETS.get(Path(dataset).name)
    return known is not None and known.fills_image


def n_dims(part: str) -> int:
    """Return the number of dimensions of a part's IDX file: 3 for images, 1 for labels."""
    return 3 if part.endswith("images") else 1


def recognise(sha256: str | None) -> KnownFile | None:
    """Return the known file that has this content, or None."""
    return next((file for file in _known() if file.sha256 == sha256), None)


def may_be_known(path: Path) -> bool:
    """Return whether a raw file has the size of a known one, so that hashing it is worthwhile."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        return False
    return any(file.raw_bytes == size for file in _known())


def describe(found: IdxFile) -> str:
    """Describe a file by its content: a known one by name, any other by its shape."""
    known = recognise(found.sha256)
    return str(known) if known else f"{by_text(found.shape)} unsigned bytes of no known dataset"


def find_candidates(folder: Path) -> dict[str, list[Path]]:
    """Return the files in a folder for each of `PARTS`, the one to use first.

    A file may be raw or .gz and have MNIST's name (`train-images-idx3-ubyte`) or the variant with
    a dot (`train-images.idx3-ubyte`). Raw goes first: it is memory-mapped instead of decompressed.

    Raises
    ------
    DataError
        If the folder exists and cannot be read.
    """
    try:
        present = {path.name for path in folder.iterdir()}
        found = {part: [folder / name for name in names_of(part)] for part in PARTS}
        # Some archives hold a folder with the name of the file, and the file next to it.
        files = {
            part: [path for path in paths if path.name in present and path.is_file()]
            for part, paths in found.items()
        }
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        return {}
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from None
    return {part: paths for part, paths in files.items() if paths}


def find_parts(folder: Path) -> Mapping[str, Path]:
    """Return which of `PARTS` a folder holds, each with the file to use; see `find_candidates`."""
    return {part: paths[0] for part, paths in find_candidates(folder).items()}


def class_names_in(folder: Path) -> tuple[str, ...]:
    """Return the names of the labels 0, 1, ... in `classes.txt`, one per line; empty without it.

    Raises
    ------
    DataError
        If it is not a short UTF-8 text of distinct names.
    """
    path = folder / "classes.txt"
    if not path.is_file():
        return ()
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_NAMES * 4 * _MAX_NAME + 1).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from None
    names = tuple(line.strip() for line in lines)
    problem = ""
    if len(names) > _MAX_NAMES:
        problem = f"{len(names)} lines; there are at most {_MAX_NAMES} labels"
    elif bad := [name for name in names if len(name) > _MAX_NAME or not name.isprintable()]:
        problem = (
            f"the name {bad[0][:_MAX_NAME]!r}; a name has 1 to {_MAX_NAME} printable characters"
        )
    elif repeated := [name for name in names if name and names.count(name) > 1]:
        problem = f"{repeated[0]!r} twice"
    if problem:
        raise DataError(f"{path}: found {problem}; it needs one name per line, for label 0, 1, ...")
    return names


def is_folder(path: Path) -> bool:
    """Return whether there is a folder; False for a path that is not allowed or not accessible."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises for such paths


def names_of(part: str) -> tuple[str, ...]:
    """Return the file names under which one of `PARTS` is found, the preferred one first."""
    raw = (f"{part}-idx{n_dims(part)}-ubyte", f"{part}.idx{n_dims(part)}-ubyte")
    return (*raw, *(f"{name}.gz" for name in raw))


def _known() -> list[KnownFile]:
    return [file for dataset in DATASETS.values() for file in dataset.files]
